"""What a terminal, a spreadsheet and a JSON reader get to see of names that somebody else chose."""

from __future__ import annotations

import io
import json
import os
import shutil
from pathlib import Path

import pytest

from samtune.cli.compare_verb import parse_shots
from samtune.cli.options import values_by_method
from samtune.cli.output import emit, print_safely
from samtune.errors import ConfigError
from samtune.outputs import OutputFolder, without_formula
from samtune.progress import say
from tests.cli.conftest import Run, write_specialist

NAMES = [b"=1+1\x1b[2J", b"new\nline", b"bytes\xff", "😀 \u202egnp".encode(), b"tab\tx"]


def files_named(source: Path, target: Path) -> Path:
    """A copy of images and masks under the names above."""
    for part in ("images", "masks"):
        (target / part).mkdir(parents=True)
        for name, file in zip(NAMES, sorted((source / part).iterdir()), strict=False):
            shutil.copy(file, target / part / os.fsdecode(name + b".png"))
    return target


def unsafe(text: str) -> set[str]:
    return {c for c in text if (ord(c) < 32 and c != "\n") or 0xD800 <= ord(c) <= 0xDFFF or c in "\x7f\u202e"}


@pytest.mark.parametrize("verb", ["doctor", "predict", "evaluate"])
@pytest.mark.parametrize("form", [(), ("--json",)])
def test_odd_names_are_shown_escaped_and_nothing_crashes(
    run: Run, base: Path, samples: Path, tmp_path: Path, verb: str, form: tuple[str, ...]
) -> None:
    data = files_named(samples, tmp_path / "data")
    folder = write_specialist(base, tmp_path / "adapter", method="ptsam")
    if verb == "doctor":
        answer = run("doctor", data / "images", data / "masks", *form)
    elif verb == "predict":
        answer = run("predict", folder, data / "images", "--out", tmp_path / "out", *form)
        assert sorted(file.suffix for file in (tmp_path / "out").glob("*.png"))
    else:
        table = tmp_path / "scores.csv"
        answer = run("evaluate", folder, data / "images", data / "masks", "--per-image", table, *form)
        assert "'=1+1" in table.read_text(encoding="utf-8")
        assert "\n=1+1" not in table.read_text(encoding="utf-8")
    assert answer.code == 0, answer.err
    assert not unsafe(answer.out), unsafe(answer.out)
    assert not unsafe(answer.err), unsafe(answer.err)
    if form:
        assert json.loads(answer.out)


def test_a_file_that_cannot_be_read_is_named_in_one_line(run: Run, tmp_path: Path) -> None:
    for part in ("images", "masks"):
        (tmp_path / part).mkdir()
        Path(tmp_path / part / "a\x1b[31m\nsamtune: all is well.png").write_bytes(b"no image")
    answer = run("doctor", tmp_path / "images", tmp_path / "masks")
    assert answer.code == 2
    assert "\x1b" not in answer.out + answer.err
    assert "\nsamtune: all is well" not in answer.out + answer.err


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp1252", "utf-8"])
def test_no_terminal_is_too_small_for_a_name(encoding: str) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding, errors="strict")
    print_safely("é 😀 \udcff \x1b[0m\nend", stream)
    stream.seek(0)
    text = stream.read()
    assert text.endswith("\\xff \\x1b[0m\nend\n")
    assert text.startswith("\\xe9 \\U0001f600" if encoding == "ascii" else "é ")


def test_json_reads_back_what_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    content = {"file": "a\x1b\udcff\u202e😀\n", "score": float("nan")}
    emit(content, "", as_json=True)
    out = capsys.readouterr().out
    assert not unsafe(out)
    assert json.loads(out) == content | {"score": None}


def test_a_note_is_one_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "samtune"):
        say("read a\nsamtune: forged\x1b[2J")
    assert [record.getMessage() for record in caplog.records] == [r"read a\nsamtune: forged\x1b[2J"]


@pytest.mark.parametrize(
    ("cell", "written"),
    [
        ("=1+1", "'=1+1"),
        ("+cmd", "'+cmd"),
        ("-a.png", "'-a.png"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("\t=1", "'\t=1"),
        ("\r=1", "'\r=1"),
        ("-0.5", "-0.5"),
        ("+3", "+3"),
        (-0.5, -0.5),
        ("a=1", "a=1"),
        ("", ""),
        (None, None),
    ],
)
def test_a_cell_is_no_formula(cell: object, written: object) -> None:
    assert without_formula(cell) == written


def test_a_manifest_keeps_its_names(tmp_path: Path) -> None:
    out = OutputFolder(tmp_path, "test")
    assert out.write_csv("a.csv", [("image",), ("=1",)]).read_text() == "image\n'=1\n"
    assert out.write_csv("b.csv", [("image",), ("=1",)], is_manifest=True).read_text() == "image\n=1\n"


SET = [
    ("updates=3", {"updates": 3}),
    ("val=1e-1", {"val": 0.1}),
    ("method=lora", {"method": "lora"}),
    ('method="lora"', {"method": "lora"}),
    ("loss=", {"loss": ""}),
    ("seed=²", {"seed": "²"}),
    ("seed=" + "9" * 5000, {"seed": "9" * 5000}),
    ("ids=" + "[" * 1500, {"ids": "[" * 1500}),
    ("loss=1\nseed = 2", {"loss": "1\nseed = 2"}),
    ("loss=a=b", {"loss": "a=b"}),
    ("base=\udcff", {"base": "\udcff"}),
    ("ids=[1, 2]", {"ids": [1, 2]}),
]


@pytest.mark.parametrize(("word", "settings"), SET, ids=lambda value: ascii(value)[:24])
def test_set_reads_a_value(word: str, settings: dict[str, object]) -> None:
    assert values_by_method([word]) == (settings, {})


@pytest.mark.parametrize("word", ["", "=", "=1", ".", ".=1", "a.=1", " =1", "updates", "\x1b[2J", "²", "x" * 10_000])
def test_set_refuses_what_is_no_setting(word: str) -> None:
    with pytest.raises(ConfigError) as caught:
        values_by_method([word])
    assert len(str(caught.value)) < 300
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize("words", ["²", "", "1,²", "1" * 5000, "-1", "1.5", "\x1b"], ids=ascii)
def test_shots_that_are_no_numbers_are_refused(words: str) -> None:
    with pytest.raises(ConfigError, match="Expected numbers of images as --shots"):
        parse_shots(words)


def test_shots_are_read_with_spaces_and_without() -> None:
    assert parse_shots("4, 8,16") == (4, 8, 16)


@pytest.mark.parametrize("side", ["0", "-1", "1000000000000"])
def test_doctor_refuses_an_impossible_size(run: Run, tmp_path: Path, side: str) -> None:
    assert run("doctor", tmp_path, "--side", side).code == 2
