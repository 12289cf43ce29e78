from __future__ import annotations

import errno
import json
import os
from pathlib import Path
from typing import Any

import pytest

from samtune.errors import OutputError
from samtune.files import PARTIAL_PREFIX, make_folder, reported, whole, write_json, write_text


@pytest.mark.skipif(os.name != "posix", reason="permissions of POSIX")
def test_a_file_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    """Also where the writer is a library that keeps its files to their owner, as safetensors does."""
    (tmp_path / "plain").touch()
    with whole(tmp_path / "tensors") as partial:
        partial.touch(mode=0o600)
    assert (tmp_path / "tensors").stat().st_mode == (tmp_path / "plain").stat().st_mode


def write_half(file: Path, error: type[BaseException], *, shared: bool) -> None:
    with whole(file, shared=shared) as partial:
        partial.write_text("half")
        raise error


@pytest.mark.parametrize("shared", [False, True])
def test_a_file_changes_whole_or_not_at_all(tmp_path: Path, shared: bool) -> None:
    file = tmp_path / "a.json"
    write_json(file, {"ä": 1}, shared=shared)
    assert json.loads(file.read_text(encoding="utf-8")) == {"ä": 1}
    with whole(file, shared=shared) as partial:
        partial.write_text("new")
        assert json.loads(file.read_text(encoding="utf-8")) == {"ä": 1}
        assert partial.parent == tmp_path
        assert f"-{os.getpid()}-" in partial.name
    assert file.read_text() == "new"
    for error, raised in ((OSError, OutputError), (KeyboardInterrupt, KeyboardInterrupt), (ValueError, ValueError)):
        with pytest.raises(raised):
            write_half(file, error, shared=shared)
    with pytest.raises(TypeError):
        write_json(file, {"a": object()}, shared=shared)
    assert file.read_text() == "new"
    write_text(file, "ü\n", shared=shared)
    assert file.read_text(encoding="utf-8") == "ü\n"
    assert list(tmp_path.iterdir()) == [file]


def test_a_partial_file_is_never_written_through_a_link_or_over_another(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    (tmp_path / "a.json.partial").write_text("foreign")
    with whole(file) as first, whole(file) as second:
        assert first != second
        for partial in (first, second):
            assert not partial.read_bytes()
            partial.write_text(partial.name)
    assert (tmp_path / "a.json.partial").read_text() == "foreign"
    long = tmp_path / ("n" * 251 + ".txt")
    write_text(long, "as long as a name may be")
    assert long.is_file()


@pytest.mark.skipif(os.name != "posix", reason="asks for a process by its number")
def test_what_a_killed_process_left_is_removed_and_what_another_writes_stays(tmp_path: Path) -> None:
    """The parent of this process is alive; no process has the largest number."""
    file, lives = tmp_path / "a.json", os.getppid()
    with whole(file) as partial:
        left = partial.with_name(partial.name.replace(f"-{os.getpid()}-", "-999999999-"))
        others = partial.with_name(partial.name.replace(f"-{os.getpid()}-", f"-{lives}-"))
        of_b = partial.with_name(PARTIAL_PREFIX + "0" * 16 + left.name.removeprefix(PARTIAL_PREFIX)[16:])
    for path in (left, others, of_b):
        path.touch()
    write_text(file, "new")
    assert sorted(tmp_path.iterdir()) == sorted([file, others, of_b])


class SafetensorError(Exception):
    """As safetensors' own, which has no number of the system."""


REFUSED = [
    (OSError(errno.ENOSPC, "No space left on device"), "no space is left on the disk .* free.; free some space"),
    (OSError(errno.EDQUOT, "x"), "quota is used up"),
    (OSError(errno.EFBIG, "x"), "larger than the disk"),
    (OSError(errno.EROFS, "x"), "read-only; choose another folder, then repeat"),
    (OSError(errno.EACCES, "x"), "permission is denied"),
    (OSError(errno.ENAMETOOLONG, "x"), "shorten the names"),
    (OSError(errno.EIO, "x"), "the disk reports an error"),
    (OSError(errno.EMFILE, "Too many open files"), "Too many open files"),
    (OSError("100000 requested and 8176 written"), "100000 requested and 8176 written"),
    (SafetensorError("I/O error: No space left on device (os error 28)"), "no space is left"),
    (SafetensorError("I/O error: File too large (os error 27)"), "larger than the disk"),
    (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 576 vs 534"), "unexpected pos"),
    (RuntimeError("PytorchStreamWriter failed writing file data/0"), "PytorchStreamWriter failed"),
]
"""What libraries raise in writing, and a part of what the user reads."""


@pytest.mark.parametrize(("error", "sentence"), REFUSED)
def test_what_the_disk_refuses_is_one_sentence(tmp_path: Path, error: Exception, sentence: str) -> None:
    with pytest.raises(OutputError, match=sentence) as refused, reported(tmp_path, "a.bin"):
        raise error
    assert str(refused.value).startswith(f"Cannot write `a.bin` in {tmp_path}: ")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    "error", [OSError(errno.EACCES, "x", "/elsewhere/source.png"), SafetensorError("a bad header"), ValueError("x")]
)
def test_other_errors_stay_as_they_are(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as same, reported(tmp_path):
        raise error
    assert same.value is error


def test_the_cache_is_named_by_its_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMTUNE_CACHE", str(tmp_path / "cache"))
    for number in (errno.ENOSPC, errno.EROFS):
        with pytest.raises(OutputError, match="set SAMTUNE_CACHE to a folder"), reported(tmp_path / "cache" / "ab"):
            raise OSError(number, "x")


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(OutputError, match=r"is a file|file of that name"):
            make_folder(folder)


@pytest.mark.parametrize("error", [FileExistsError, FileNotFoundError])
def test_a_folder_that_another_process_removes_is_made_again(
    error: type[OSError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, real = tmp_path / "a" / "b", Path.mkdir
    left = [error(), error()]

    def mkdir(self: Path, *args: Any, **named: Any) -> None:
        if left:
            raise left.pop()
        real(self, *args, **named)

    monkeypatch.setattr(Path, "mkdir", mkdir)
    make_folder(made)
    assert made.is_dir()


def test_a_folder_whose_path_is_a_file_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").touch()
    for folder in (tmp_path / "a", tmp_path / "a" / "b"):
        with pytest.raises(OutputError, match="Cannot write"):
            make_folder(folder)
