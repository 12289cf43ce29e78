"""`samtune settings`, and the names that `--set` takes."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path

import pytest
import typer.main

from samtune.cli import app
from samtune.cli.options import method_settings
from samtune.config import SETTINGS, read_config
from samtune.errors import ConfigError
from samtune.methods import METHODS, make_method
from samtune.training import TrainSettings
from samtune.training.names import ALIASES, FIELD_ALIASES, assign
from samtune.training.reference import settings_of
from samtune.training.settings import RANGES
from tests.cli.conftest import Run

METHODS_PAGE = (Path(__file__).parents[2] / "docs" / "methods.md").read_text()


def test_every_setting_is_listed_with_type_range_default_and_help(run: Run) -> None:
    listed = {row["name"]: row for row in run("settings", "--method", "lora", "--json").json["settings"]}
    expected = {f.name for f in fields(TrainSettings)} - {"method_fields"}
    assert set(listed) == expected | {f"method.{f.name}" for f in fields(METHODS["lora"])}
    assert listed["learning_rate"]["default"] == f"{METHODS['lora'].recipe.learning_rate:g}"
    assert (listed["learning_rate"]["source"], listed["learning_rate"]["aliases"]) == ("recipe", ["lr"])
    assert (listed["updates"]["type"], listed["updates"]["low"]) == ("whole number", RANGES["updates"][0])
    assert listed["schedule"]["words"] == ["warmup_cosine", "linear", "epoch_cosine"]
    assert listed["method"]["default"] == "lora"
    rank = listed["method.rank"]
    assert (rank["type"], rank["low"], rank["high"], rank["default"]) == ("whole number", 1, 4096, "3")
    assert listed["method.roles"]["default"] == '["qkv"]'


@pytest.mark.parametrize("method", METHODS.own)
def test_every_field_has_a_sentence_a_true_range_and_a_line_in_the_docs(method: str) -> None:
    for setting in settings_of(method):
        assert len(setting.help.split()) >= 3, setting
        assert not re.search(r"None|`\w+[./]|\.py|  ", setting.help), setting
        assert setting.default, setting
        if not setting.name.startswith("method."):
            continue
        name = setting.name.removeprefix("method.")
        assert f"`{name}" in METHODS_PAGE, setting
        for bound, step in ((setting.low, -1), (setting.high, 1)):
            if bound is not None and math.isfinite(bound):
                with pytest.raises(ConfigError, match=re.escape(f"`{method}.{name}`")):
                    make_method(method, **{name: bound + step})


def test_the_text_has_80_columns_and_whole_words(run: Run) -> None:
    text = run("settings", "--method", "ts_sam").out
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    words = set(text.split())
    for setting in settings_of("ts_sam"):
        assert words >= set(setting.help.split())
        assert any(line.startswith(setting.name) for line in lines)
    assert "learning_rate  (also lr)" in lines
    assert "    number, 0 to 1000000; default: 0.0008 (the method's recipe)" in lines


def test_an_unknown_method_is_one_sentence(run: Run) -> None:
    answer = run("settings", "--method", "loar")
    assert (answer.code, answer.out) == (2, "")
    assert "did you mean 'lora'?" in answer.err
    assert answer.err.count("\n") == 1


def test_aliases_name_settings_and_fields_that_exist() -> None:
    assert not set(ALIASES) & set(SETTINGS)
    assert set(ALIASES.values()) <= set(SETTINGS)
    own = {f.name for name in METHODS.own for f in fields(METHODS[name])}
    assert set(FIELD_ALIASES.values()) <= own
    assert not set(FIELD_ALIASES) & own


def test_set_takes_the_names_of_the_field(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", logger="samtune")
    words = ["lr=1e-3", "batch=2", "epochs=5", "image_size=256", "clip-norm=0", "rank=4", "lora.alpha=8"]
    assert method_settings(words, "lora", SETTINGS) == (
        {"learning_rate": 1e-3, "batch_size": 2, "epochs": 5, "side": 256, "clip_norm": 0},
        {"rank": 4, "alpha": 8},
    )
    said = caplog.text + capsys.readouterr().err
    for sentence in ("lr is read as learning_rate", "batch is read as batch_size", "rank is read as method.rank"):
        assert sentence in said
    assert "epochs is read" not in said


@pytest.mark.parametrize(
    ("words", "method", "message"),
    [
        (["lr=1", "learning_rate=2"], "lora", "Expected `learning_rate` once"),
        (["rank=4"], "ptsam", "Expected settings of ptsam in --set, got 'rank' of lora and conv_lora"),
        (["lora.rank=4"], "ptsam", "before the point"),
        (["learnin_rate=1"], "lora", "did you mean 'learning_rate'?"),
        (["method.rnak=1"], "lora", "did you mean 'rank'?"),
        (["lr=1"], "loar", "did you mean 'lora'?"),
    ],
)
def test_set_refuses_with_the_nearest_name(words: list[str], method: str, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        method_settings(words, method, SETTINGS)


def test_a_comparison_gives_a_field_to_the_methods_that_have_it() -> None:
    values = {"rank": 4, "wd": 0.1}
    by_home = {"conv_lora": {"r": 2}, "method": {"num_tokens": 3}}
    assert assign(values, by_home, ["ptsam", "lora", "conv_lora"]) == (
        {"weight_decay": 0.1},
        {"lora": {"rank": 4}, "conv_lora": {"rank": 2}, "ptsam": {"num_tokens": 3}},
    )


def test_files_take_aliases_of_settings(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("images = 'a'\nlr = 0.1\n")
    assert read_config(file) == {"images": "a", "learning_rate": 0.1}


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_wrong_types_are_named_before_data_is_read(run: Run, tmp_path: Path, verb: str) -> None:
    answer = run(verb, tmp_path / "none", "--out", tmp_path / "out", "--set", "lr=fast")
    assert answer.code == 2
    assert "Expected `learning_rate` to be a finite number, got 'fast'." in answer.err


@pytest.mark.parametrize("verb", ["train", "compare"])
def test_help_names_the_default_base(verb: str) -> None:
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    base = next(parameter for parameter in command.params if parameter.name == "base")
    assert f"Default: {TrainSettings.base}." in base.help
