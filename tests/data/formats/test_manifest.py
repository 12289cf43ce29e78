"""Manifests: the bytes of a file -> the pairs that are read, or the message that refuses it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from samtune.data import open_dataset
from samtune.data.formats.manifest import read_manifest
from samtune.errors import DataError
from tests.data.folders import binary_folder

BIG = b"x" * 140_000

READ: list[tuple[bytes, list[str]]] = [
    (b"image,mask\na.png,b.png\n", ["a"]),
    (b"image,mask\r\na.png,b.png\r\n", ["a"]),
    (b"image,mask\ra.png,b.png\r", ["a"]),
    (b"\xef\xbb\xbfimage,mask\na.png,b.png", ["a"]),
    (b"mask;note;IMAGE\nb.png;,,,;a.png\n", ["a"]),
    (b"image\tmask\na.png\tb.png\n\n\n", ["a"]),
    (b"image,mask,note\na.png,b.png," + BIG + b"\n", ["a"]),
    (b'image,mask,note\na.png,b.png,"two\nlines"\n', ["a"]),
    (b"image,mask\na.png,b.png,,\n", ["a"]),
    (b'image,mask\n"new\nline.png",b.png\n', ["new\nline"]),
    ('image,mask\n"sep\u2028arator.png",b.png\n'.encode(), ["sep\u2028arator"]),
    (b"image,mask\nbytes\xff.png,b.png\n", ["bytes\udcff"]),
    ("image,mask\n😀.png,b.png\n".encode(), ["😀"]),
    (b"image,mask\n./a.png,b.png\n", ["a"]),
    (b"image,mask,group,split\na.png,b.png,g,valid\n", ["a"]),
]


def write(tmp_path: Path, content: bytes) -> Path:
    for name in (
        b"a.png",
        b"b.png",
        b"new\nline.png",
        "sep\u2028arator.png".encode(),
        b"bytes\xff.png",
        "😀.png".encode(),
    ):
        with open(os.path.join(os.fsencode(tmp_path), name), "wb"):
            pass
    (tmp_path / "pairs.csv").write_bytes(content)
    return tmp_path / "pairs.csv"


@pytest.mark.parametrize(("content", "stems"), READ, ids=lambda value: str(value)[:40])
def test_manifest_is_read(tmp_path: Path, content: bytes, stems: list[str]) -> None:
    pairs, problems = read_manifest(write(tmp_path, content))
    assert [pair.stem for pair in pairs] == stems
    assert not problems


REFUSED: list[tuple[bytes, str]] = [
    (b"", "expected the columns image,mask[,group,split] in the first line, got ''"),
    (b"\n\n", "expected the columns image,mask[,group,split] in the first line, got ''"),
    (b"a.png,b.png", "expected the columns image,mask[,group,split] in the first line, got 'a.png,b.png'"),
    (b"image,mask,mask\na.png,b.png,b.png", "expected each column once in the first line"),
    (b"image,Image,mask\na.png,a.png,b.png", "got image twice"),
    ("image,mask\na.png,b.png".encode("utf-16"), "found UTF-16 or binary data"),
    ("image,mask\na.png,b.png".encode("utf-16-le"), "found UTF-16 or binary data"),
    (b"image,mask\na\0.png,b.png", "found UTF-16 or binary data"),
    (b"image,mask\n.,b.png", "line 2: expected the name of an image"),
    (b"image,mask\n/,b.png", "line 2: expected the name of an image"),
    (b"image,mask\n..,b.png", "line 2: expected the name of an image"),
    (b"image,mask\na.png,", "expected an image and a mask, got an empty cell"),
    (b"image,mask\na.png", "expected an image and a mask, got an empty cell"),
    (b"image,mask\na, b.png,b.png", "line 2: expected at most 2 cells"),
    (b'image,mask\n"a.png,b.png\na.png,b.png', "unexpected end of data"),
    (b'image,mask\n"a.png"x,b.png', "check its quotes"),
    (
        b"image,mask,split\na.png,b.png,\x1b[2Jholdout",
        r"expected train, val or test as the split, got '\x1b[2jholdout'",
    ),
    (b"\x1b[2J" + BIG, "got '\\x1b[2Jxxx"),
]


@pytest.mark.parametrize(("content", "words"), REFUSED, ids=lambda value: str(value)[:40])
def test_manifest_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    with pytest.raises(DataError) as caught:
        read_manifest(write(tmp_path, content))
    assert words in str(caught.value)
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("name", [b"none.png", b"folder", b"pipe", b"x" * 5000, b"a.png/b.png", b"loop"])
def test_a_path_that_is_not_a_file_is_a_problem(tmp_path: Path, name: bytes) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    pairs, problems = read_manifest(write(tmp_path, b"image,mask\n" + name + b",b.png\n"))
    assert not pairs
    assert [problem.kind for problem in problems] == ["missing_file"]
    assert "is named in line 2 of pairs.csv but is not an existing file" in problems[0].what


def test_a_named_pipe_is_refused_without_being_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pairs.csv")
    with pytest.raises(DataError, match="found a named pipe"):
        read_manifest(tmp_path / "pairs.csv")


@pytest.mark.parametrize("delimiter", [",", "\t", ";"])
def test_manifest(delimiter: str, tmp_path: Path) -> None:
    binary_folder(tmp_path, 3)
    rows = [("image", "mask", "group", "split")]
    rows += [(f"images/{i}.png", f"masks/{i}.png", f"g{i % 2}", ("train", "valid", "")[i]) for i in range(3)]
    path = tmp_path / ("pairs.tsv" if delimiter == "\t" else "pairs.csv")
    path.write_text("\n".join(delimiter.join(row) for row in rows), encoding="utf-8-sig")
    dataset = open_dataset(path)
    assert [(p.stem, p.group, p.split) for p in dataset.pairs] == [
        ("0", "g0", "train"), ("1", "g1", "val"), ("2", "g0", None)
    ]  # fmt: skip
    with pytest.raises(DataError, match="manifest names the masks itself"):
        open_dataset(path, tmp_path / "masks")


def test_a_manifest_may_call_its_masks_labels(tmp_path: Path) -> None:
    binary_folder(tmp_path, 2)
    path = tmp_path / "train.csv"
    path.write_text(",image,label\n0,images/0.png,masks/0.png\n1,images/1.png,masks/1.png\n")
    assert [pair.mask.name for pair in open_dataset(path).pairs] == ["0.png", "1.png"]


def test_bad_manifests_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pairs.csv"
    cases = {
        "file,label\na,b": "image,mask",
        "image,mask\nimages/0.png,": "line 2",
        "image,mask,split\na.png,b.png,perhaps": "perhaps",
        "image,mask\nabsent.png,b.png": "absent.png",
    }
    for text, message in cases.items():
        path.write_text(text)
        with pytest.raises(DataError, match=message):
            open_dataset(path)
