"""The cache of features: whole entries or none, whoever writes, reads, damages or deletes them at the same time."""

from __future__ import annotations

import errno
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from samtune.array_store import ArrayStore, MissingEntry

KEY = ArrayStore.key("an entry", 1)


def array(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1000, (7, 5, 3), dtype=np.int16)


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "one byte": lambda content: b"x",
    "cut in half": lambda content: content[: len(content) // 2],
    "the last byte is missing": lambda content: content[:-1],
    "a bit of the array flipped": lambda content: flip(content, 200),
    "a bit of the header flipped": lambda content: flip(content, 9),
    "a bit of the checksum flipped": lambda content: flip(content, len(content) - 1),
    "longer": lambda content: content + b"more",
    "zeros": lambda content: bytes(len(content)),
    "no checksum, as before": lambda content: content[:-20],
    "another file": lambda content: b"\x89PNG" * 100,
}


def test_what_was_put_is_got_mapped_from_disk(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    assert not store.has(KEY)
    with pytest.raises(MissingEntry):
        store.get(KEY)
    store.put(KEY, array())
    store.put(KEY, array())
    for own in (store, ArrayStore(tmp_path)):
        assert own.has(KEY)
        found = own.get(KEY)
        assert isinstance(found, np.memmap)
        np.testing.assert_array_equal(found, array())
        np.testing.assert_array_equal(own.read(KEY), array())
    np.testing.assert_array_equal(np.load(store.file(KEY)), array())  # NumPy's own format, with a trailer
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [store.file(KEY)]


@pytest.mark.parametrize("shape", [(), (0,), (1, 0, 3), (1,)])
def test_shapes_of_all_kinds(tmp_path: Path, shape: tuple[int, ...]) -> None:
    store = ArrayStore(tmp_path)
    store.put(KEY, np.ones(shape, np.float32))
    assert store.has(KEY)
    np.testing.assert_array_equal(store.get(KEY), np.ones(shape, np.float32))


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_entry_is_not_there(tmp_path: Path, damage: str) -> None:
    ArrayStore(tmp_path).put(KEY, array())
    file = ArrayStore(tmp_path).file(KEY)
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    store = ArrayStore(tmp_path)
    for read in (store.get, store.read):
        with pytest.raises(MissingEntry):
            read(KEY)
    if "bit" not in damage or "checksum" in damage:
        assert not store.has(KEY) or damage == "a bit of the checksum flipped"
    store.put(KEY, array())
    np.testing.assert_array_equal(store.get(KEY), array())


def test_an_entry_that_is_a_folder_or_a_link_to_nothing(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    store.file(KEY).parent.mkdir(parents=True)
    store.file(KEY).symlink_to(tmp_path / "nowhere")
    assert not store.has(KEY)
    store.put(KEY, array())
    np.testing.assert_array_equal(store.get(KEY), array())


def test_an_entry_that_is_gone_after_it_was_verified(tmp_path: Path) -> None:
    store = ArrayStore(tmp_path)
    store.put(KEY, array())
    store.get(KEY)
    shutil.rmtree(tmp_path)
    with pytest.raises(MissingEntry):
        store.get(KEY)
    store.put(KEY, array())
    np.testing.assert_array_equal(store.get(KEY), array())


def stored(folder: Path, *numbers: int) -> list[Path]:
    """Put arrays, and return their files by path."""
    store = ArrayStore(folder)
    for number in numbers:
        store.put(ArrayStore.key(number), array(number))
    return sorted(store.file(ArrayStore.key(number)) for number in numbers)


def test_entries_are_listed_with_size_and_time(tmp_path: Path) -> None:
    assert ArrayStore(tmp_path / "nowhere").entries() == []
    files = stored(tmp_path, 1, 2, 3)
    os.utime(files[1], ns=(5, 7))
    entries = ArrayStore(tmp_path).entries()
    assert [entry.file for entry in entries] == files
    assert [entry.num_bytes for entry in entries] == [file.stat().st_size for file in files]
    assert entries[1].written_ns == 7


def test_only_the_entries_given_are_removed(tmp_path: Path) -> None:
    files = stored(tmp_path, 1, 2, 3)
    store = ArrayStore(tmp_path)
    first, second, third = store.entries()
    num_bytes = first.num_bytes + third.num_bytes
    done = store.remove([first, third])
    assert (done.removed, done.failed, done.num_bytes) == ((first, third), (), num_bytes)
    assert [entry.file for entry in store.entries()] == [files[1]]
    assert [path for path in tmp_path.iterdir() if path.is_dir()] == [files[1].parent]
    assert store.remove([first]).removed == ()  # gone
    os.utime(files[1], ns=(5, 7))  # written again since it was listed
    assert store.remove([second]).removed == ()
    assert files[1].is_file()
    stored(tmp_path, 1)
    assert store.has(ArrayStore.key(1))


def test_no_link_is_followed_and_no_other_file_removed(tmp_path: Path) -> None:
    """A sub-folder and an entry that are links, before listing or since; files and folders of the user."""
    stored(tmp_path / "theirs", 1, 2, 3, 4)
    theirs = {file: file.read_bytes() for file in (tmp_path / "theirs").rglob("*") if file.is_file()}
    outside = [next(iter(theirs)), *theirs]
    own = tmp_path / "own"
    files = stored(own, 11, 12, 13)
    kept = [own / "notes.npy", own / "ab" / "diary.txt", own / "masks" / "ab" / f"{'0' * 16}.png"]
    for file in kept:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"of the user")
    linked_entry = own / "ab" / f"ab{'0' * 62}.npy"
    linked_entry.symlink_to(outside[0])
    (own / "ab" / f"ac{'0' * 62}.npy").mkdir()
    linked_folder = next(own / f"{n:02x}" for n in range(256) if not (own / f"{n:02x}").exists())
    linked_folder.symlink_to(outside[1].parent)
    store = ArrayStore(own)
    entries = store.entries()
    assert [entry.file for entry in entries] == files
    shutil.move(files[0].parent, tmp_path / "moved")
    files[0].parent.symlink_to(tmp_path / "moved")
    files[1].unlink()
    files[1].symlink_to(outside[0])
    assert [entry.file for entry in store.remove(entries).removed] == [files[2]]
    assert {file: file.read_bytes() for file in theirs} == theirs
    assert all(file.read_bytes() == b"of the user" for file in kept)
    assert linked_entry.is_symlink()
    assert linked_folder.is_symlink()
    assert (tmp_path / "moved" / files[0].name).is_file()


def test_entries_that_cannot_be_removed_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = stored(tmp_path, 1, 2)
    unlink = Path.unlink

    def refused(self: Path, missing_ok: bool = False) -> None:
        if self == files[0]:
            raise PermissionError(errno.EACCES, "in use", str(self))
        unlink(self, missing_ok)

    monkeypatch.setattr(Path, "unlink", refused)
    store = ArrayStore(tmp_path)
    done = store.remove(store.entries())
    assert [entry.file for entry, _ in done.failed] == [files[0]]
    assert [entry.file for entry in done.removed] == [files[1]]


def work(folder: Path, seed: int, rounds: int) -> None:
    """Put, get, delete and make room at random, and never see anything but whole entries."""
    draw, store = np.random.default_rng(seed), ArrayStore(folder)
    for _ in range(rounds):
        number = int(draw.integers(4))
        key = ArrayStore.key(number)
        match int(draw.integers(5)):
            case 0 | 1:
                store.put(key, array(number))
            case 2 | 3:
                with suppress(MissingEntry):
                    read = store.get if number % 2 else store.read
                    np.testing.assert_array_equal(read(key), array(number))
            case 4:
                store.remove(store.entries()[number:])
                store.file(key).unlink(missing_ok=True)
                if draw.random() < 0.2:
                    shutil.rmtree(store.file(key).parent, ignore_errors=True)
                store.make_room(1)


def test_threads_share_a_store(tmp_path: Path) -> None:
    failures: list[BaseException] = []

    def tried(seed: int) -> None:
        try:
            work(tmp_path, seed, 150)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=tried, args=(seed,)) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


@pytest.mark.slow
def test_processes_share_a_store(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=work, args=(tmp_path, seed, 150)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert not [file for file in tmp_path.rglob("*.partial")]
