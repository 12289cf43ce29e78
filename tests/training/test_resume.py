"""`--resume` continues the same run on the same data, or says what differs or which file is damaged."""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from samtune.config import RunConfig, claim_run
from samtune.data import make_samples, open_dataset
from samtune.errors import ConfigError, DataError, SamTuneError, WeightsError
from samtune.methods import Probe
from samtune.training import RunFolder, TrainSettings, finished_result, read_result, train
from samtune.training.trainer import Trainer
from tests.training.test_interruption import at_call
from tests.training.tiny_run import run

SETTINGS: dict[str, Any] = {"updates": 6, "evaluations": 3}


@pytest.fixture(scope="module")
def interrupted(prepared: Path) -> Path:
    """A run that was interrupted after four of its six updates, in a folder with its own data."""
    folder = prepared / "interrupted after four"
    folder.mkdir()
    for name in ("base", "data"):
        shutil.copytree(prepared / name, folder / name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SAMTUNE_CACHE", str(prepared / "cache"))
        patch.setattr(Trainer, "update", at_call(4, Trainer.update))
        assert run(folder, **SETTINGS).stopped == "interrupted"
    return folder


@pytest.fixture
def own(interrupted: Path, tmp_path: Path) -> Path:
    shutil.copytree(interrupted, tmp_path / "own")
    return tmp_path / "own"


def repaint(file: Path, place: int = 0) -> None:
    pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
    assert pixels is not None
    flat = pixels.reshape(len(pixels), -1)
    flat[place, :12] = np.where(flat[place, :12] > 0, 0, flat.max())
    cv2.imwrite(str(file), pixels)


def seen(folder: Path) -> list[str]:
    record = json.loads((folder / "run" / "split.json").read_text())
    return [row["stem"] for row in record["train"] + record["val"]]


def add(folder: Path) -> None:
    for part in ("images", "masks"):
        files = sorted((folder / "data" / part).iterdir())
        shutil.copy(files[0], files[0].with_stem("zzz"))


def remove(folder: Path) -> None:
    stem = seen(folder)[0]
    for part in ("images", "masks"):
        next((folder / "data" / part).glob(f"{stem}.*")).unlink()


def change(part: str) -> Callable[[Path], None]:
    def work(folder: Path) -> None:
        repaint(next((folder / "data" / part).glob(f"{seen(folder)[1]}.*")))

    return work


def rename(folder: Path) -> None:
    for part in ("images", "masks"):
        for file in (folder / "data" / part).iterdir():
            file.rename(file.with_stem(f"new-{file.stem}"))


CHANGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "added": (add, r"1 images added \(`zzz`\)"),
    "removed": (remove, r"1 images removed \(`\w+`\)"),
    "image": (change("images"), r"1 images changed \(`\w+`\)"),
    "mask": (change("masks"), r"1 masks changed \(`\w+`\)"),
    "all renamed": (rename, r"8 images added \(`new-.*` and 3 more\); 8 images removed \(.* and 3 more\)"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_changed_data_are_refused_by_name(own: Path, what: str) -> None:
    work, words = CHANGES[what]
    work(own)
    before = {file: file.read_bytes() for file in (own / "run").rglob("*") if file.is_file()}
    with pytest.raises(DataError, match=f"data changed since this run was started.*{words}"):
        run(own, resume=True, **SETTINGS)
    assert {file: file.read_bytes() for file in (own / "run").rglob("*") if file.is_file()} == before


def test_data_that_moved_or_were_encoded_anew_are_the_same(own: Path) -> None:
    shutil.move(own / "data", own / "moved")
    (own / "data").symlink_to(own / "moved")
    for file in list((own / "moved" / "masks").iterdir()):
        pixels = cv2.imread(str(file), cv2.IMREAD_UNCHANGED)
        assert pixels is not None
        cv2.imwrite(str(file), pixels, [cv2.IMWRITE_PNG_COMPRESSION, 0])
    assert run(own, resume=True, **SETTINGS).stopped == "finished"


def test_a_validation_set_is_compared_too(prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_samples("cells", tmp_path / "val", num=3, seed=9, size_hw=(64, 64))
    dataset = open_dataset(prepared / "data" / "images", prepared / "data" / "masks")
    settings = TrainSettings(base=str(prepared / "base"), updates=4, views=1, device="cpu")

    def go(*, resume: bool, alone: bool = False) -> Any:
        validation = None if alone else open_dataset(tmp_path / "val" / "images", tmp_path / "val" / "masks")
        return train(settings, dataset, tmp_path / "run", validation=validation, resume=resume)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "update", at_call(2, Trainer.update))
        go(resume=False)
    with pytest.raises(DataError, match="validation no longer has images of its own"):
        go(resume=True, alone=True)
    file = sorted((tmp_path / "val" / "masks").iterdir())[1]
    content = file.read_bytes()
    repaint(file)
    with pytest.raises(DataError, match=r"1 validation masks changed"):
        go(resume=True)
    file.write_bytes(content)
    assert go(resume=True).stopped == "finished"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"learning_rate": 0.5}, "learning_rate was None and is 0.5"),
        ({"ema": 0.5}, "ema was None and is 0.5"),
        ({"updates": 8}, "updates was 6 and is 8"),
        ({"method_fields": {"num_tokens": 4}}, "method_fields was {} and is {'num_tokens': 4}"),
    ],
)
def test_other_settings_are_refused(own: Path, changed: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match="started with other settings") as caught:
        run(own, resume=True, **(SETTINGS | changed))
    assert words in str(caught.value)
    assert run(own, resume=True, **SETTINGS, checkpoint_every_s=3.0).stopped == "finished"


def flipped(content: bytes) -> bytes:
    return content[:-40] + bytes([content[-40] ^ 4]) + content[-39:]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "other": lambda content: b"[1, 2]\n",
    "not text": lambda content: b"\xff\xfe\x00" + content,
    "a bit": flipped,
}


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        (name, damage)
        for name in ("split.json", "metrics.json", "last/state.safetensors", "history.jsonl")
        for damage in DAMAGES
        if damage != "a bit" or not name.endswith(".json")  # those have no checksum
    ],
)
def test_a_damaged_file_is_named_before_anything_changes(own: Path, name: str, damage: str) -> None:
    file = own / "run" / name
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    before = file.read_bytes()
    with pytest.raises(SamTuneError) as caught:
        run(own, resume=True, **SETTINGS)
    assert str(file) in str(caught.value)
    assert file.read_bytes() == before
    assert len(str(caught.value).splitlines()) == 1


def test_a_torn_last_line_is_mended(own: Path) -> None:
    run(own, "whole", **SETTINGS)
    with (own / "run" / "history.jsonl").open("ab") as file:
        file.write(b'{"step": 5, "lo')
    assert [row["step"] for row in RunFolder(own / "run").read_history()] == [
        1,
        2,
        3,
    ]  # the fourth waits for its scores
    run(own, resume=True, **SETTINGS)
    assert (own / "run" / "history.jsonl").read_bytes() == (own / "whole" / "history.jsonl").read_bytes()


def test_a_missing_history_is_named(own: Path) -> None:
    (own / "run" / "history.jsonl").unlink()
    with pytest.raises(DataError, match=r"history\.jsonl is damaged.*delete .*last"):
        run(own, resume=True, **SETTINGS)
    shutil.rmtree(own / "run" / "last")
    assert run(own, resume=True, **SETTINGS).stopped == "finished"  # as the sentence says


@pytest.mark.parametrize("line", ["", "{", "[]", "{}", '"text"', "null"])
def test_a_damaged_line_of_the_history_is_named(tmp_path: Path, line: str) -> None:
    folder = RunFolder(tmp_path)
    folder.append_history([{"step": 1}])
    with folder.history.open("a") as file:
        file.write(line + "\n" + '{"step": 3}\n')
    with pytest.raises(DataError, match=r"history\.jsonl is damaged: line 2"):
        folder.read_history()


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "7", "{}", '{"stopped": "finished"}'])
def test_a_damaged_result_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "metrics.json").write_text(text)
    for read in (read_result, finished_result):
        with pytest.raises(DataError, match=r"metrics\.json is damaged"):
            read(tmp_path)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_probe_is_named(own: Path, damage: str) -> None:
    file = own / "run" / "probe.safetensors"
    file.write_bytes(DAMAGES[damage](file.read_bytes()))
    if damage == "a bit":  # of a number; a probe is a baseline, and has no checksum
        Probe.load(file)
        return
    with pytest.raises(WeightsError, match=r"probe\.safetensors is damaged"):
        Probe.load(file)
    file.unlink()
    with pytest.raises(WeightsError, match="is damaged"):
        Probe.load(file)


@pytest.mark.parametrize("text", ["updates = ", "\x00", "[", "updates = 3\nupdates = 4", "nonsense = 3"])
def test_a_damaged_configuration_is_named(tmp_path: Path, text: str) -> None:
    config = RunConfig("images")
    claim_run(tmp_path, config, resume=False)
    (tmp_path / "config.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"config\.toml"):
        claim_run(tmp_path, config, resume=True)


def test_what_a_kill_left_of_a_beginning_does_not_block_the_folder(tmp_path: Path) -> None:
    (tmp_path / "samtune.lock").write_text("")
    (tmp_path / ".samtune-0123456789abcdef-00000000-1-00000000.partial").touch()
    claim_run(tmp_path, RunConfig("images"), resume=False)
    assert (tmp_path / "config.toml").is_file()


@pytest.mark.parametrize(
    ("when", "damage"),
    [
        pytest.param(when, damage, marks=[] if when == "before" or damage == "cut" else pytest.mark.slow)
        for when in ("before", "between", "while training")
        for damage in ("empty", "cut", "zeros", "a bit", "gone")
    ],
)
def test_damaged_features_are_computed_again(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, damage: str,
    when: str,
) -> None:  # fmt: skip
    """Before the run, between its look at the cache and its training, and while it trains; and this is said."""
    cache = tmp_path / "cache"
    monkeypatch.setenv("SAMTUNE_CACHE", str(cache))
    whole = prepared / "features"
    if not whole.exists():
        run(prepared, "features", **SETTINGS)
    run(prepared, "warm", updates=1, views=2)

    def harm() -> None:
        for file in cache.rglob("*.npy"):
            if damage == "gone":
                file.unlink()
            else:
                file.write_bytes(DAMAGES[damage](file.read_bytes()))

    real = Trainer.update

    def harmed(self: Trainer, step: int) -> None:
        if (when, step) in (("between", 0), ("while training", 3)):
            harm()
        real(self, step)

    if when == "before":
        harm()
    monkeypatch.setattr(Trainer, "update", harmed)
    shutil.rmtree(prepared / "own", ignore_errors=True)
    with caplog.at_level(logging.INFO, logger="samtune"):
        run(prepared, "own", **SETTINGS)
    if (damage, when) != ("gone", "before") and when != "while training":
        assert "computed again" in caplog.text
    for file in ("history.jsonl", "metrics.csv", "probe.safetensors", "specialist/adapter_model.safetensors"):
        assert (whole / file).read_bytes() == (prepared / "own" / file).read_bytes()
