"""Manifests, TOML and options, damaged and drawn: pairs and settings, or one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from samtune.cli.options import data_values, method_settings
from samtune.config import SETTINGS as KNOWN
from samtune.config import claim_run, config_text, make_config, parse_toml, read_config
from samtune.data.formats.table import find_pairs
from samtune.data.options import DataOptions
from samtune.errors import SamTuneError
from samtune.methods import make_method
from samtune.run_folder import CONFIG_FILE
from samtune.training import TrainSettings
from tests.fuzz.guard import cases, survives
from tests.fuzz.mutations import NAMES, damaged, swapped, values

MANIFESTS = [
    b"image,mask\na.png,b.png\nb.png,a.png\n",
    b"\xef\xbb\xbfimage;mask;group;split\r\na.png;b.png;g;train\r\n",
    b'image\tlabel\n"a.png"\t"b.png"\n',
    "image,mask\na.png,b.png".encode("utf-16"),
]
cells = st.one_of(
    st.sampled_from(["a.png", "b.png", "./a.png", "train", "x" * 140_000, '"', '"a.png"', "a\\b", *NAMES]),
    st.text(max_size=6),
)


@st.composite
def manifests(draw: st.DrawFn) -> bytes:
    separator = draw(st.sampled_from([",", ";", "\t", "|"]))
    columns = draw(st.lists(st.sampled_from(["image", "mask", "group", "split", "label", " Image ", ""]), max_size=5))
    rows = draw(st.lists(st.lists(cells, max_size=5), max_size=4))
    lines = [separator.join(row) for row in [columns, *rows]]
    return draw(st.sampled_from(["\n", "\r\n", "\r"])).join(lines).encode(errors="surrogatepass")


@cases(300)
@given(content=damaged(MANIFESTS) | manifests(), suffix=st.sampled_from([".csv", ".tsv", ".txt", ".CSV", ".xlsx"]))
def test_a_manifest_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes, suffix: str) -> None:
    root = Path(tmp_path_factory.getbasetemp()) / "fuzz-manifest"
    root.mkdir(exist_ok=True)
    for name in ("a.png", "b.png"):
        (root / name).touch()
    file = root / f"pairs{suffix}"
    file.write_bytes(content)
    survives(lambda: find_pairs(file))


SETTINGS = {
    "images": "i", "masks": "m", "class_names": ["a", "b"], "ids": [1, 2], "ignore_label": 255, "instances": False,
    "colours": {"a": [1, 2, 3], "b": [4, 5, 6]}, "method": "lora", "method_fields": {"rank": 4}, "base": "nano",
    "side": 64, "shots": 4, "val": 0.25, "seed": 1, "updates": 10, "learning_rate": 0.1, "square": True, "tta": "d4",
    "loss": "auto", "augmentation": "flip", "precision": "fp32", "checkpoint_every_s": 5.0, "device": "cpu",
}  # fmt: skip
KEYS = sorted({*SETTINGS, *TrainSettings.__dataclass_fields__, *DataOptions.__dataclass_fields__})


def configure(settings: dict[str, Any], run: Path) -> Any:
    """Build a configuration and its method, and write and read it: what comes back is what went in."""
    config = make_config(settings)
    make_method(config.train.method, **config.train.method_fields)
    written = make_config(parse_toml(config_text(config), "it"))
    assert repr(written) == repr(config)  # NaN is itself
    claim_run(run, config, resume=False)
    assert repr(make_config(read_config(run / CONFIG_FILE))) == repr(config)
    return config


@cases(250)
@given(
    settings=swapped(SETTINGS)
    | st.dictionaries(st.sampled_from(KEYS), values, max_size=4).map(lambda d: {"images": "i"} | d)
)
def test_settings_are_taken_or_refused(tmp_path_factory: pytest.TempPathFactory, settings: dict[str, Any]) -> None:
    run = tmp_path_factory.mktemp("run")
    survives(lambda: configure(settings, run))


TOML = [
    config_text(make_config({"images": "wells 😀", "class_names": ["a"], "method_fields": {"num_tokens": 4}})).encode(),
    b"images = 'i'\nids = [1, 2]\ncolours.a = [1, 2, 3]\n[method_fields]\nrank = 4\n",
]


@cases(150)
@given(content=damaged(TOML))
def test_a_configuration_file_is_read_or_refused(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    root = tmp_path_factory.mktemp("toml")
    (root / "a.toml").write_bytes(content)
    survives(lambda: configure(read_config(root / "a.toml"), root / "run"))


def as_words(value: Any) -> str:
    try:
        return value if isinstance(value, str) else json.dumps(value)
    except ValueError:  # a number of too many digits
        return "9" * 5000


words = st.one_of(st.sampled_from(NAMES), st.text(max_size=12), values.map(as_words), st.just("1" * 5000))


@cases(150)
@given(
    given_=st.lists(st.tuples(st.sampled_from([*KEYS, "method.rank", "lora.rank", *NAMES]), words), max_size=3),
    classes=st.none() | words,
    colours=st.none() | st.lists(words | st.sampled_from(["a=#010203", "a=#010203,b=#040506"]), max_size=2),
    ignore=st.none() | words,
    ids=st.none() | words,
)
def test_options_are_taken_or_refused(
    tmp_path_factory: pytest.TempPathFactory,
    given_: list[tuple[str, str]],
    classes: str | None,
    colours: list[str] | None,
    ignore: str | None,
    ids: str | None,
) -> None:
    run = tmp_path_factory.mktemp("run")

    def work() -> Any:
        settings, fields = method_settings([f"{key}={word}" for key, word in given_], "lora", KNOWN)
        settings = {"images": "i", "method": "lora"} | settings | data_values(classes, colours, ignore, None, ids=ids)
        return configure(settings | ({"method_fields": fields} if fields else {}), run)

    result = survives(work)
    assert isinstance(result, SamTuneError) or result.images
