from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from samtune.files import whole, write_json, write_text
from samtune.spelling import did_you_mean


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
        assert (str(os.getpid()) in partial.name) == shared
    assert file.read_text() == "new"
    for error in (OSError, KeyboardInterrupt):
        with pytest.raises(error):
            write_half(file, error, shared=shared)
    with pytest.raises(TypeError):
        write_json(file, {"a": object()}, shared=shared)
    assert file.read_text() == "new"
    write_text(file, "ü\n", shared=shared)
    assert file.read_text(encoding="utf-8") == "ü\n"
    assert list(tmp_path.iterdir()) == [file]


def test_the_nearest_word_is_asked_for() -> None:
    assert did_you_mean("rnk", ("rank", "alpha")) == " (did you mean 'rank'?)"
    assert did_you_mean("zzzz", {"rank": 1}) == ""
