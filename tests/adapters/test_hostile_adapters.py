"""Adapter folders that somebody else made: every value of the card, and every byte of the tensors, may be anything.

A table of (what is changed in a valid folder -> what the one sentence says). Nothing may hang, or allocate by what a
file claims: `without_content` counts before anything is built, so the sizes below would take terabytes.
"""

from __future__ import annotations

import hashlib
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from samtune.adapters import card_of, copy_specialist, load_specialist, save
from samtune.bases import Base
from samtune.errors import WeightsError
from samtune.methods import METHODS, adapt, delta, make_method
from samtune.predict.models import load_models
from tests.hostile import BROKEN_JSON, NO_FILES, replace_by
from tests.methods.contract import ROWS
from tests.tiny import tiny_library, tiny_sam

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"
KEY = "mask_decoder.prompts.tokens"


def make(folder: Path, method: str = "ptsam") -> Path:
    model = adapt(tiny_sam(), make_method(method), num_classes=2, seed=3)
    save(model, folder, card_of(model, ("cell", "debris")))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make(tmp_path / "specialist")


def edit(folder: Path, **values: Any) -> None:
    file = folder / CONFIG
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def write_tensors(folder: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, folder / TENSORS)
    edit(folder, adapter_sha256=hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest())


def write_bytes(folder: Path, content: bytes) -> None:
    (folder / TENSORS).write_bytes(content)
    edit(folder, adapter_sha256=hashlib.sha256(content).hexdigest())


def refusal(folder: Path, base: Any = None) -> str:
    with pytest.raises(WeightsError) as caught:
        load_specialist(folder, tiny_sam() if base is None else base)
    return str(caught.value)


CARDS: list[tuple[str, Any, str]] = [
    ("side", 0, "Expected 1 <= `side` <= 8192, got 0"),
    ("side", 10**9, "Expected 1 <= `side` <= 8192, got 1000000000"),
    ("side", -96, "got -96"),
    ("side", 96.0, "Expected `side` to be a whole number, got 96.0"),
    ("side", "96", "Expected `side` to be a whole number, got '96'"),
    ("side", True, "Expected `side` to be a whole number, got True"),
    ("side", None, "Expected `side` to be a whole number, got None"),
    ("side", [96], "Expected `side` to be a whole number, got [96]"),
    ("side", 10**400, "got a number of about 401 digits"),
    ("side", 97, "97 pixels"),
    ("threshold", math.nan, "Expected `threshold` to be a finite number, got nan"),
    ("threshold", math.inf, "Expected `threshold` to be a finite number, got inf"),
    ("threshold", -0.1, "Expected 0 <= `threshold` <= 1, got -0.1"),
    ("threshold", 1.1, "Expected 0 <= `threshold` <= 1, got 1.1"),
    ("threshold", "0.5", "Expected `threshold` to be a finite number, got '0.5'"),
    ("threshold", True, "Expected `threshold` to be a finite number, got True"),
    ("pixel_std", [0, 0, 0], "Expected three numbers from 0.001 to 255 as `pixel_std`, got (0.0, 0.0, 0.0)"),
    ("pixel_std", [58.4, math.nan, 57.4], "a list with each item a finite number"),
    ("pixel_std", [58.395, 57.12], "Expected `pixel_std` to be a list of 3 items"),
    ("pixel_std", 58.0, "Expected `pixel_std` to be a list, got 58.0"),
    ("pixel_mean", [1, 2, 3, 4], "Expected `pixel_mean` to be a list of 3 items"),
    ("pixel_mean", "abc", "Expected `pixel_mean` to be a list, got 'abc'"),
    ("pixel_mean", [1e300, 0, 0], "Expected three numbers from 0 to 255 as `pixel_mean`"),
    ("pixel_mean", [0, 0, 0], "was trained with pixel_mean (0.0, 0.0, 0.0)"),
    ("class_names", [], "Expected 1 to 254 different `class_names`, got ()"),
    ("class_names", ["a"] * 2, "Expected 1 to 254 different `class_names`"),
    ("class_names", [str(number) for number in range(255)], "got a tuple of 255 items"),
    ("class_names", [1, 2], "Expected `class_names` to be a list with each item text, got [1, 2]"),
    ("class_names", "ab", "Expected `class_names` to be a list, got 'ab'"),
    ("class_names", {"a": 1}, "Expected `class_names` to be a list"),
    ("class_names", None, "Expected `class_names` to be a list, got None"),
    ("class_names", ["a", ""], "Expected `class_names` of 1 to 200 characters"),
    ("class_names", ["a", "b" * 10_000], "Expected `class_names` of 1 to 200 characters"),
    ("class_names", ["a", "\ud800"], "text without NUL characters and lone surrogates"),
    ("class_names", ["a", "b\0"], "text without NUL characters"),
    ("metrics", [], "Expected `metrics` to be a table of names and values, got []"),
    ("metrics", {"iou": "good"}, "Expected `metrics` to be a finite number, got {'iou': 'good'}"),
    ("fields", [], "Expected `fields` to be a table"),
    ("fields", {"num_tokens": 10**9}, "Expected `ptsam.num_tokens` <= 4096, got 1000000000"),
    ("fields", {"num_tokens": 8.0}, "Expected `ptsam.num_tokens` to be a whole number"),
    ("fields", {"num_tokens": 9}, "(2, 9, 16)"),
    ("fields", {"num_tokens": None}, "Expected `ptsam.num_tokens` to be a whole number, got None"),
    ("fields", {"ensemble": 4096}, "Expected 1 <= `ptsam.ensemble` <= 64, got 4096"),
    ("fields", {"dense": "probe"}, "`ptsam.dense`, which is no longer a hyper-parameter"),
    ("fields", {"name": "lora"}, "names a method this samtune cannot build"),
    ("fields", {"self": 1}, "names a method this samtune cannot build"),
    ("fields", {"rank": 4}, "names a method this samtune cannot build"),
    ("fields", {"x" * 100_000: 4}, "names a method this samtune cannot build"),
    ("fields", {str(number): 1 for number in range(1000)}, "Expected at most 100 `fields`, got 1000"),
    ("method", 1, "Expected `method` to be text, got 1"),
    ("method", [], "Expected `method` to be text, got []"),
    ("method", "x" * 5000, "Expected 1 to 4096 characters in `method`, got 5000"),
    ("base_sha256", "", "Expected 64 hexadecimal digits as `base_sha256`, got ''"),
    ("base_sha256", "0" * 64, "was trained on the base tiny (weights sha256 0000000000000000)"),
    ("adapter_sha256", 5, "Expected `adapter_sha256` to be text, got 5"),
    ("adapter_sha256", "../" * 30, "Expected 64 hexadecimal digits as `adapter_sha256`"),
    ("num_images", -1, "Expected 0 <= `num_images`"),
    ("num_images", 2.5, "Expected `num_images` to be a whole number, got 2.5"),
    ("square", 1, "Expected `square` to be true or false, got 1"),
    ("square", "no", "Expected `square` to be true or false, got 'no'"),
    ("tta", [], "Expected `tta` to be one of none, mirror, d4, got []"),
    ("recipe", "magic", "Expected `recipe` to be auto or paper, got 'magic'"),
    ("format_version", True, "Expected format version 1"),
    ("format_version", "1", "Expected format version 1"),
    ("format_version", [], "Expected format version 1"),
    ("base", 7, "Expected `base` to be text, got 7"),
    ("data_fingerprint", {}, "Expected `data_fingerprint` to be text, got {}"),
    ("samtune_version", None, "Expected `samtune_version` to be text, got None"),
]


@pytest.mark.parametrize(("key", "value", "words"), CARDS, ids=lambda value: str(value)[:24])
def test_a_value_of_the_card_is_refused(folder: Path, key: str, value: Any, words: str) -> None:
    edit(folder, **{key: value})
    sentence = refusal(folder)
    assert words in sentence
    assert CONFIG in sentence or str(folder) in sentence
    assert len(sentence) < 1200


INCOMPLETE = (b'{"format_version": 1}', "missing ['adapter_sha256'")


@pytest.mark.parametrize(("content", "words"), [*BROKEN_JSON, INCOMPLETE], ids=lambda value: str(value)[:24])
def test_a_card_that_is_no_card_is_refused(folder: Path, content: bytes, words: str) -> None:
    (folder / CONFIG).write_bytes(content)
    assert words in refusal(folder)


@pytest.mark.parametrize("name", [CONFIG, TENSORS])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_without_being_opened(folder: Path, name: str, kind: str) -> None:
    replace_by(folder / name, kind)
    assert f"found {kind}" in refusal(folder)


DTYPES = [torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.uint8, torch.int64, torch.bool]


@pytest.mark.parametrize("dtype", [*DTYPES, torch.float8_e4m3fn], ids=str)
def test_tensors_of_another_dtype_are_refused(folder: Path, dtype: torch.dtype) -> None:
    tensors = load_file(folder / TENSORS)
    write_tensors(folder, {key: tensor.to(dtype) for key, tensor in tensors.items()})
    assert f"Expected {KEY} in {folder} to be float32, got " in refusal(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_tensors_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    tensors = load_file(folder / TENSORS)
    tensors[KEY][0, 0, :3] = value
    write_tensors(folder, tensors)
    assert f"Expected finite values in {KEY} of {folder}, got 3 NaN or infinite of 256" in refusal(folder)


HEADERS: list[tuple[bytes, str]] = [
    (b"", "no header in its 0 bytes"),
    (b"\xff" * 8, "no header in its 8 bytes"),
    ((2**40).to_bytes(8, "little") + b"{}", "no header in its 10 bytes"),
    ((2).to_bytes(8, "little") + b"{}", "missing ['mask_decoder.prompts.tokens']"),
    ((4).to_bytes(8, "little") + b"null", "not a readable safetensors file"),
    ((100_000).to_bytes(8, "little") + b"[" * 100_000, "not a readable safetensors file"),
]


@pytest.mark.parametrize(("content", "words"), HEADERS, ids=lambda value: str(value)[:24])
def test_a_broken_header_is_refused(folder: Path, content: bytes, words: str) -> None:
    write_bytes(folder, content)
    assert words in refusal(folder)


@pytest.mark.parametrize(
    ("shape", "offsets"),
    [([10**12], [0, 4 * 10**12]), ([2**63], [0, 4]), ([-1], [0, 4]), ([2, 8, 16], [0, 4]), ([1], [4, 0])],
)
def test_a_header_that_claims_more_than_the_file_holds_is_refused(
    folder: Path, shape: list[int], offsets: list[int]
) -> None:
    header = json.dumps({KEY: {"dtype": "F32", "shape": shape, "data_offsets": offsets}}).encode()
    write_bytes(folder, len(header).to_bytes(8, "little") + header + bytes(4))
    assert "not a readable safetensors file" in refusal(folder)


def test_a_name_of_a_tensor_cannot_write_to_the_terminal(folder: Path) -> None:
    write_tensors(folder, load_file(folder / TENSORS) | {"\x1b[2J\nsamtune: all is well": torch.zeros(1)})
    sentence = refusal(folder)
    assert "\\x1b[2J\\n" in sentence
    assert "\x1b" not in sentence
    assert "\n" not in sentence


@pytest.mark.parametrize("row", sorted(ROWS))
def test_every_form_of_every_method_passes(tmp_path: Path, row: str) -> None:
    model = ROWS[row].adapted()
    save(model, tmp_path, card_of(model, ("cell",)))
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    expected, got = delta(model), delta(loaded)
    assert list(expected) == list(got)
    assert all(torch.equal(expected[key], got[key]) for key in expected)


@pytest.mark.parametrize("method", sorted(set(METHODS) - {"sam_adapter"}))  # its one number divides
def test_no_hyper_parameter_builds_more_than_the_file_holds(tmp_path: Path, method: str) -> None:
    """Every whole number of every method at its largest: refused before the loaded base is touched."""
    model = adapt(tiny_sam(num_hidden_layers=2), make_method(method), num_classes=2)
    save(model, tmp_path, card_of(model, ("cell", "debris")))
    numbers = {k: v for k, v in json.loads((tmp_path / CONFIG).read_text())["fields"].items() if type(v) is int}
    base = tiny_sam()
    for name in numbers:
        if (method, name) == ("ts_sam", "refinements"):  # at most as many as there are blocks, so none too many
            continue
        edit(tmp_path, fields={name: 4096})
        assert str(tmp_path) in refusal(tmp_path, base)
        assert all(parameter.device.type == "cpu" for parameter in base.parameters())


def test_copying_refuses_what_loading_refuses(folder: Path, tmp_path: Path) -> None:
    edit(folder, threshold=2)
    with pytest.raises(WeightsError, match="`threshold`"):
        copy_specialist(folder, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


@pytest.mark.parametrize("load", [load_specialist, lambda path: load_models(path, None, "cpu")])
@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("somebody/sam-with-a-surprise", "pass --base somebody/sam-with-a-surprise to fetch it"),
        ("https://example.org/sam", "neither on this machine nor one that samtune knows"),
        ("../../elsewhere", "neither on this machine"),
        ("", "Expected 1 to 4096 characters in `base`, got 0"),
        ("nowhere.pth", "No such file"),
        ("/dev/zero", "neither on this machine"),
        ("a/\x1b[31m", "\\x1b[31m"),
    ],
)
def test_a_card_cannot_have_a_base_fetched(
    folder: Path, name: str, words: str, load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    edit(folder, base=name)
    with pytest.raises(WeightsError) as caught:
        load(folder)
    assert words in str(caught.value)
    assert "\x1b" not in str(caught.value)


@pytest.mark.parametrize(("card", "given"), [("facebook/sam-vit-base", None), ("x/y", "x/y"), ("x/y", "nobody/other")])
def test_a_known_base_and_one_that_the_user_names_are_fetched(
    folder: Path, tmp_path: Path, card: str, given: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny_library().save_pretrained(tmp_path / "hub")
    asked: list[str] = []

    def fetch(name: str, **_: Any) -> str:
        asked.append(name)
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    edit(folder, base=card)
    model, _ = load_specialist(folder, given)
    assert isinstance(model, Base)
    assert asked == [given or card]
