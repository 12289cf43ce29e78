"""Settings from files, the command line and keyword arguments: a configuration, or one ConfigError, whatever comes in.

Two tables: a setting and its value -> what the sentence says; a file's bytes -> what the sentence says.
"""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from samtune import Specialist
from samtune.config import claim_run, config_text, make_config, parse_toml, read_config
from samtune.errors import ConfigError, SamTuneError
from samtune.printable import shown
from samtune.run_folder import CONFIG_FILE
from samtune.training import TrainSettings

WHOLE, FINITE, SWITCH = "to be a whole number, got", "to be a finite number, got", "to be true or false, got"

SETTINGS: list[tuple[str, Any, str]] = [
    ("learning_rate", math.inf, f"Expected `learning_rate` {FINITE} inf"),
    ("learning_rate", math.nan, f"Expected `learning_rate` {FINITE} nan"),
    ("learning_rate", "1e-3", f"Expected `learning_rate` {FINITE} '1e-3'"),
    ("learning_rate", -1, "Expected 0 <= `learning_rate` <= 1000000, got -1.0"),
    ("learning_rate", True, f"Expected `learning_rate` {FINITE} True"),
    ("learning_rate", 10**400, "got a number of about 401 digits"),
    ("weight_decay", [], f"Expected `weight_decay` {FINITE} []"),
    ("updates", 3.7, f"Expected `updates` {WHOLE} 3.7"),
    ("updates", 3.0, f"Expected `updates` {WHOLE} 3.0"),
    ("updates", "3", f"Expected `updates` {WHOLE} '3'"),
    ("updates", True, f"Expected `updates` {WHOLE} True"),
    ("updates", 0, "Expected 1 <= `updates` <= 1000000000, got 0"),
    ("updates", 10**4999, "got a number of about 5000 digits"),
    ("updates", {}, f"Expected `updates` {WHOLE} {{}}"),
    ("epochs", 1.5, f"Expected `epochs` {WHOLE} 1.5"),
    ("batch_size", math.inf, f"Expected `batch_size` {WHOLE} inf"),
    ("accumulate", 0, "Expected 1 <= `accumulate`"),
    ("evaluations", "all", f"Expected `evaluations` {WHOLE} 'all'"),
    ("patience", -1, "Expected 0 <= `patience`"),
    ("views", 0.5, f"Expected `views` {WHOLE} 0.5"),
    ("shots", 2.5, f"Expected `shots` {WHOLE} 2.5"),
    ("seed", 1.5, f"Expected `seed` {WHOLE} 1.5"),
    ("seed", 2**40, "Expected 0 <= `seed` <= 2147483647"),
    ("seed", "²", f"Expected `seed` {WHOLE} '²'"),
    ("val", "0.25", f"Expected `val` {FINITE} '0.25'"),
    ("val", 0.95, "Expected 0 <= `val` <= 0.9, got 0.95"),
    ("val", math.nan, f"Expected `val` {FINITE} nan"),
    ("side", "64", f"Expected `side` {WHOLE} '64'"),
    ("side", 64.0, f"Expected `side` {WHOLE} 64.0"),
    ("side", 10**9, "Expected 1 <= `side` <= 8192, got 1000000000"),
    ("side", [64, 64], f"Expected `side` {WHOLE} [64, 64]"),
    ("ema", 1, "Expected 0 <= `ema` <= 0.99999, got 1.0"),
    ("clip_norm", math.inf, f"Expected `clip_norm` {FINITE} inf"),
    ("checkpoint_every_s", math.inf, f"Expected `checkpoint_every_s` {FINITE} inf"),
    ("square", "no", f"Expected `square` {SWITCH} 'no'"),
    ("square", 0, f"Expected `square` {SWITCH} 0"),
    ("recompute", "true", f"Expected `recompute` {SWITCH} 'true'"),
    ("recompute", 1, f"Expected `recompute` {SWITCH} 1"),
    ("method", [], "Expected `method` to be text, got []"),
    ("method", 5, "Expected `method` to be text, got 5"),
    ("method_fields", [], "Expected `method_fields` to be a table"),
    ("method_fields", "rank=4", "Expected `method_fields` to be a table"),
    ("base", 1, "Expected `base` to be text, got 1"),
    ("base", "a\0b", "Expected `base` to be text without NUL characters"),
    ("device", 0, "Expected `device` to be text, got 0"),
    ("loss", None, "Expected `loss` to be text, got None"),
    ("loss", {"bce": 1}, "Expected `loss` to be text"),
    ("loss_side", "both", "Expected `loss_side` to be one of"),
    ("precision", 16, "Expected `precision` to be one of auto, fp32, bf16, got 16"),
    ("recipe", ["auto"], "Expected `recipe` to be one of auto, paper, got ['auto']"),
    ("schedule", "cosine", "Expected `schedule` to be one of"),
    ("augmentation", 1, "Expected `augmentation` to be one of"),
    ("tta", True, "Expected `tta` to be one of none, mirror, d4, got True"),
    ("images", 1, "Expected `images` to be text, got 1"),
    ("images", ["a"], "Expected `images` to be text, got ['a']"),
    ("masks", {}, "Expected `masks` to be text, got {}"),
    ("images", "a\0", "Expected `images` to be text without NUL characters"),
    ("images", "\ud800", "lone surrogates"),
    ("instances", "no", "instances"),
    ("instances", 1, "instances"),
    ("ids", 5, "ids"),
    ("ids", "12", "ids"),
    ("ids", [[1]], "ids"),
    ("class_names", 3, "class_names"),
    ("class_names", "ab", "class_names"),
    ("class_names", [1], "class_names"),
    ("num_classes", 1.5, "num_classes"),
    ("num_classes", "2", "num_classes"),
    ("ignore_label", "void", "ignore_label"),
    ("colours", [], "colours"),
    ("colours", {"a": 5}, "colours"),
    ("colours", {"a": [1, 2]}, "colours"),
    ("colours", {"a": ["1", "2", "3"]}, "colours"),
    ("x" * 10_000, 1, "Expected known settings in the settings, got 'xxx"),
    ("\x1b[2J", 1, r"got '\x1b[2J'"),
    ("learningrate", 1, "did you mean 'learning_rate'?"),
]


@pytest.mark.parametrize(("key", "value", "words"), SETTINGS, ids=lambda value: shown(value, 24))
def test_a_setting_is_refused(key: str, value: Any, words: str) -> None:
    if key == "loss" and value is None:  # None leaves a setting as it is, but from Python
        with pytest.raises(ConfigError) as caught:
            TrainSettings(loss=value)  # type: ignore[arg-type]
    else:
        with pytest.raises(ConfigError) as caught:
            make_config({"images": "x"} | {key: value})
    sentence = str(caught.value)
    assert words in sentence
    assert len(sentence) < 600
    assert "\x1b" not in sentence


@pytest.mark.parametrize(("key", "value", "words"), [row for row in SETTINGS if hasattr(TrainSettings(), row[0])][::5])
def test_a_keyword_argument_is_refused_before_anything_is_read(key: str, value: Any, words: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Specialist.fit("nowhere", **{key: value})
    assert words in str(caught.value)


def test_what_loses_nothing_passes() -> None:
    settings = TrainSettings(updates=np.int64(3), learning_rate=1, val=np.float32(0.25), method_fields={})  # type: ignore[arg-type]
    assert (settings.updates, settings.learning_rate, settings.val) == (3, 1.0, 0.25)
    assert [type(value) for value in (settings.updates, settings.learning_rate, settings.val)] == [int, float, float]


def test_all_that_is_wrong_is_said_together() -> None:
    with pytest.raises(ConfigError, match=r"`seed`.*`updates`"):
        TrainSettings(seed=-1, updates=0)
    with pytest.raises(ConfigError, match=r"Expected `updates` or `epochs`, got both \(2 and 3\)\."):
        TrainSettings(updates=2, epochs=3)


FILES: list[tuple[bytes, str]] = [
    (b"images = ", "Expected TOML in"),
    (b"updates = " + b"9" * 5000, "Expected TOML in"),
    (b"class_names = " + b"[" * 1500 + b"]" * 1500, "Expected TOML in"),
    (b"x = " + b"{a = " * 1500, "Expected TOML in"),
    (b"\xff\xfei\0m\0", "found UTF-16 or binary data"),
    (b"images = 'a\0b'", "found UTF-16 or binary data"),
    (b"\0" * 10, "found UTF-16 or binary data"),
    (b"seed = 2020-13-45", "Expected TOML in"),
    (b"a = 1\na = 2", "Expected TOML in"),
    (b"colour = 'red'", "did you mean 'colours'?"),
    (b"[train]\nseed = 1", "Expected known settings in"),
    (b"\x1b = 1", "Expected TOML in"),
    (b"# " + b"x" * (64 * 2**20), "Expected at most 67,108,864 bytes"),
]


@pytest.mark.parametrize(("content", "words"), FILES, ids=lambda value: shown(value, 24))
def test_a_file_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.toml").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read_config(tmp_path / "a.toml")
    assert words in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("kind", ["nothing", "a folder", "a named pipe", "a device", "a\0b", "x" * 5000])
def test_what_is_no_file_is_refused_without_being_opened(tmp_path: Path, kind: str) -> None:
    file = tmp_path / "a.toml"
    if kind == "a folder":
        file.mkdir()
    elif kind == "a named pipe":
        os.mkfifo(file)
    elif kind == "a device":
        file = Path("/dev/zero")
    elif len(kind) != len("nothing"):
        file = tmp_path / kind
    with pytest.raises(ConfigError, match=kind if kind.startswith("a ") else "Cannot read"):
        read_config(file)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfimages = 'x'\r\nseed = 3\r\n")
    assert read_config(tmp_path / "a.toml") == {"images": "x", "seed": 3}


NAMES = [
    "plain",
    "😀/wells 🧪",
    'quote " and \\ backslash',
    "new\nline\rtab\t",
    "\x01\x1b\x7f",
    "\x85\u2028\ufeff",
    "bytes \udcff\udc80",
    "'''\"\"\"",
    "é",
    "# no comment = [1]",
]


@pytest.mark.parametrize("name", NAMES, ids=ascii)
def test_a_configuration_is_read_back_as_it_was(tmp_path: Path, name: str) -> None:
    values = {
        "images": name,
        "masks": f"{name}/masks",
        "class_names": [name.replace("\udcff", "").replace("\udc80", ""), "b"],
        "method": "lora",
        "method_fields": {"rank": 2, "roles": ["qkv"], "alpha": 0.5},
        "learning_rate": 1e-5,
        "square": False,
    }
    config = make_config(values)
    claim_run(tmp_path / "run", config, resume=False)
    assert make_config(read_config(tmp_path / "run" / CONFIG_FILE)) == config
    claim_run(tmp_path / "run", config, resume=True)


def test_settings_that_are_none_are_left_out() -> None:
    config = make_config({"images": "x", "method_fields": {"side_channels": None, "refinements": 2}})
    values = parse_toml(config_text(config), "it")
    assert "masks" not in values
    assert values["method_fields"] == {"refinements": 2}


@pytest.mark.parametrize("path", [".", "./", "a/..", "", "\n", "x" * 5000, "/dev/null", "/dev/zero", "a\0b", "\udcff"])
def test_a_path_of_images_that_is_no_folder_of_them_is_refused(
    tmp_path: Path, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").mkdir()
    with pytest.raises(SamTuneError):
        Specialist.fit(path, base="nano")
