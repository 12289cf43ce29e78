"""Sam1 folders and checkpoints that somebody else made: refused by types, ranges and headers before anything is built.

A table of (what is changed in a valid base -> what the one sentence says); sizes claimed here would take terabytes.
"""

from __future__ import annotations

import json
import math
import os
import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from samtune.bases import build, load_base
from samtune.bases.sam1.config import WITHOUT_EFFECT
from samtune.errors import ConfigError, WeightsError
from tests.bases.tiny_checkpoints import digest, library, original
from tests.hostile import BROKEN_JSON, NO_FILES, replace_by

VISION, PROMPT, DECODER = "vision_config", "prompt_encoder_config", "mask_decoder_config"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    library().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def refusal(name: str | Path, load: Callable[[str | Path], Any] = load_base) -> str:
    with pytest.raises(WeightsError) as caught:
        load(name)
    return str(caught.value)


def edit(folder: Path, part: str | None, **values: Any) -> None:
    file = folder / "config.json"
    config = json.loads(file.read_text())
    if part is None:
        config |= values
    else:
        config[part] |= values
    file.write_text(json.dumps(config))


CONFIGS: list[tuple[str | None, str, Any, str]] = [
    (VISION, "hidden_size", 0, "Expected 8 <= `hidden_size` <= 16384, got 0 (vision_config)"),
    (VISION, "hidden_size", -32, "got -32"),
    (VISION, "hidden_size", 10**12, "Expected 8 <= `hidden_size` <= 16384, got 1000000000000"),
    (VISION, "hidden_size", 32.0, "Expected `hidden_size` to be a whole number, got 32.0"),
    (VISION, "hidden_size", "32", "Expected `hidden_size` to be a whole number, got '32'"),
    (VISION, "hidden_size", None, "Expected `hidden_size` to be a whole number, got None"),
    (VISION, "hidden_size", True, "Expected `hidden_size` to be a whole number, got True"),
    (VISION, "hidden_size", [32], "Expected `hidden_size` to be a whole number, got [32]"),
    (VISION, "hidden_size", {}, "Expected `hidden_size` to be a whole number, got {}"),
    (VISION, "hidden_size", 16_384, "of another shape"),
    (VISION, "num_hidden_layers", 10**9, "Expected 1 <= `num_hidden_layers` <= 256, got 1000000000"),
    (VISION, "num_hidden_layers", 256, "missing"),
    (VISION, "num_attention_heads", 0, "Expected 1 <= `num_attention_heads` <= 256, got 0"),
    (VISION, "num_attention_heads", 5, "Expected `hidden_size` to be a multiple of `num_attention_heads`"),
    (VISION, "num_channels", 4, "Expected 3 <= `num_channels` <= 3, got 4"),
    (VISION, "image_size", 10**9, "Expected 1 <= `image_size` <= 8192, got 1000000000"),
    (VISION, "image_size", 97, "Expected `image_size` to be a multiple of `patch_size`"),
    (VISION, "image_size", 112, "Expected one image and patch size in both encoders"),
    (VISION, "patch_size", 0, "Expected 1 <= `patch_size` <= 256, got 0"),
    (VISION, "mlp_dim", 10**9, "Expected 1 <= `mlp_dim` <= 65536"),
    (VISION, "mlp_ratio", math.nan, "Expected `mlp_ratio` to be a finite number, got nan"),
    (VISION, "layer_norm_eps", 0, "`layer_norm_eps`"),
    (VISION, "layer_norm_eps", "small", "Expected `layer_norm_eps` to be a finite number, got 'small'"),
    (VISION, "attention_dropout", 2, "Expected 0 <= `attention_dropout` <= 0.9, got 2.0"),
    (VISION, "window_size", -1, "Expected 0 <= `window_size` <= 1024, got -1"),
    (VISION, "window_size", 1024, "of another shape"),
    (VISION, "global_attn_indexes", [10**9], "Expected `global_attn_indexes` to be indices of different blocks"),
    (VISION, "global_attn_indexes", [0, 0], "Expected `global_attn_indexes` to be indices of different blocks"),
    (VISION, "global_attn_indexes", "1", "Expected `global_attn_indexes` to be a list, got '1'"),
    (VISION, "global_attn_indexes", [0.5], "Expected `global_attn_indexes` to be a whole number, got [0.5]"),
    (VISION, "hidden_act", "os.system", "Expected `hidden_act` to be one of gelu, "),
    (VISION, "hidden_act", 3, "Expected `hidden_act` to be one of gelu, "),
    (VISION, "hidden_act", "xielu", "Expected `hidden_act` to be one of gelu, "),
    (VISION, "qkv_bias", "yes", "Expected `qkv_bias` to be true or false, got 'yes'"),
    (VISION, "qkv_bias", False, "unknown"),
    (VISION, "use_rel_pos", 1, "Expected `use_rel_pos` to be true or false, got 1"),
    (VISION, "num_pos_feats", 16, "Expected one width in prompt encoder, decoder and neck"),
    (VISION, "output_channels", 32, "Expected one width in prompt encoder, decoder and neck"),
    (PROMPT, "mask_input_channels", 10**9, "Expected 4 <= `mask_input_channels` <= 4096"),
    (PROMPT, "mask_input_channels", 5, "Expected `mask_input_channels` to be a multiple of 4"),
    (PROMPT, "num_point_embeddings", 5, "Expected 4 <= `num_point_embeddings` <= 4, got 5"),
    (PROMPT, "image_embedding_size", 7, "Expected `image_embedding_size` to be the grid of patches"),
    (PROMPT, "image_embedding_size", [6, 6], "Expected `image_embedding_size` to be a whole number"),
    (
        DECODER,
        "num_hidden_layers",
        10**6,
        "Expected 1 <= `num_hidden_layers` <= 256, got 1000000 (mask_decoder_config)",
    ),
    (DECODER, "num_attention_heads", 3, "Expected the decoder's inner width to be a multiple of its heads"),
    (DECODER, "attention_downsample_rate", 0, "Expected 1 <= `attention_downsample_rate` <= 64, got 0"),
    (DECODER, "attention_downsample_rate", 64, "Expected the decoder's inner width to be a multiple of its heads"),
    (DECODER, "num_multimask_outputs", 10**7, "Expected 1 <= `num_multimask_outputs` <= 64"),
    (DECODER, "iou_head_depth", 0, "Expected 2 <= `iou_head_depth` <= 64, got 0"),
    (DECODER, "iou_head_depth", 10**7, "Expected 2 <= `iou_head_depth` <= 64"),
    (None, VISION, [], "Expected `vision_config` to be a table, got []"),
    (None, DECODER, "default", "Expected `mask_decoder_config` to be a table, got 'default'"),
    (None, PROMPT, None, "Expected one image and patch size in both encoders"),
    (None, "model_type", ["sam"], "got ['sam']"),
    (None, "model_type", "\x1b[2Jsam", "got '\\x1b[2Jsam'"),
]


@pytest.mark.parametrize(("part", "key", "value", "words"), CONFIGS, ids=lambda value: str(value)[:24])
def test_a_value_of_the_configuration_is_refused(
    folder: Path, part: str | None, key: str, value: Any, words: str
) -> None:
    edit(folder, part, **{key: value})
    sentence = refusal(folder)
    assert words in sentence
    assert str(folder) in sentence
    if "another shape" not in words and words not in ("missing", "unknown"):  # those are seen in the weights alone
        assert words in refusal(folder, build)


@pytest.mark.parametrize(("content", "words"), BROKEN_JSON, ids=lambda value: str(value)[:24])
@pytest.mark.parametrize("load", [load_base, build])
def test_a_configuration_that_is_none_is_refused(
    folder: Path, content: bytes, words: str, load: Callable[[str | Path], Any]
) -> None:
    (folder / "config.json").write_bytes(content)
    assert words in refusal(folder, load)


@pytest.mark.parametrize(
    "values",
    [
        {"auto_map": {"AutoModel": "evil.Model"}, "trust_remote_code": True},
        {"attn_implementation": "evil/kernels:sam", "_attn_implementation": "flash_attention_2"},
        {"_attn_implementation_internal": "evil/kernels", "use_kernels": True},
        {"quantization_config": {"quant_method": "evil"}},
        {"torch_dtype": "os.system", "dtype": "float8", "architectures": ["Evil"], "_name_or_path": "evil/evil"},
        {"initializer_range": "wide", "tie_word_embeddings": False, "id2label": {"x": 1}, "num_labels": 10**9},
    ],
    ids=lambda values: next(iter(values)),
)
@pytest.mark.parametrize("part", [None, VISION, PROMPT, DECODER])
def test_what_asks_for_other_code_or_another_way_to_load_has_no_effect(
    folder: Path, part: str | None, values: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    edit(folder, part, **values)
    with caplog.at_level("INFO", "samtune"):
        base = load_base(folder)
    assert base.sha256 == digest(library().state_dict())
    pixels = torch.zeros(1, 3, 96, 96)
    with torch.no_grad():
        torch.testing.assert_close(base.encode(pixels).embedding, load_base_again(folder).encode(pixels).embedding)
    told = [record.getMessage() for record in caplog.records if "have no effect" in record.getMessage()]
    assert bool(told) == any(key in WITHOUT_EFFECT for key in values)


def load_base_again(folder: Path) -> Any:
    library().save_pretrained(folder.parent / "untouched")
    return load_base(folder.parent / "untouched")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
@pytest.mark.parametrize("kind", NO_FILES)
def test_what_is_no_file_is_refused_without_being_opened(folder: Path, name: str, kind: str) -> None:
    replace_by(folder / name, kind)
    assert f"found {kind}" in refusal(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.int64, torch.bool, torch.float8_e4m3fn], ids=str)
def test_weights_of_integers_and_8_bit_floats_are_refused(folder: Path, dtype: torch.dtype) -> None:
    state = load_file(folder / "model.safetensors")
    state["mask_decoder.iou_token.weight"] = state["mask_decoder.iou_token.weight"].to(dtype)
    save_file(state, folder / "model.safetensors")
    assert "Expected mask_decoder.iou_token.weight in" in refusal(folder)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_weights_that_are_not_finite_are_refused(folder: Path, value: float) -> None:
    state = load_file(folder / "model.safetensors")
    state["mask_decoder.iou_token.weight"][0, 0] = value
    save_file(state, folder / "model.safetensors")
    assert "got 1 NaN or infinite of 16" in refusal(folder)


def test_a_tensor_in_two_files_is_refused(folder: Path) -> None:
    save_file({"mask_decoder.iou_token.weight": torch.zeros(1, 16)}, folder / "model-extra.safetensors")
    assert "mask_decoder.iou_token.weight is in" in refusal(folder)


@pytest.mark.parametrize(
    "name", ["", ".", "/", "..", "~", "\0", "a/\0", "x" * 5000, "a" * 300 + "/b", "a/b\n", "²", "a/b/"]
)
def test_a_name_that_is_no_base_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def fetch(*_: Any, **__: Any) -> str:
        raise AssertionError("the hub was asked")

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    sentence = refusal(name)
    assert "\n" not in sentence
    assert "\0" not in sentence
    assert len(sentence) < 700


@pytest.mark.parametrize("side", [0, -16, 12, 8200, 16 * 10**8])
def test_an_image_size_out_of_range_is_refused(side: int) -> None:
    with pytest.raises(ConfigError, match=f"multiple of the patch 8 up to 8192, got {side}"):
        load_base("nano", side)


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return self.call


PICKLES: list[tuple[Any, str]] = [
    (Call(os.system, "true"), "it names 'posix system'"),
    (Call(bytearray, 2**40), "it names '__builtin__ bytearray'"),
    (Call(eval, "1"), "it names '__builtin__ eval'"),
    (Call(OrderedDict), "Expected an original checkpoint of sam1"),
    ([1, 2], "plain state dict of tensors"),
]


@pytest.mark.parametrize(("content", "words"), PICKLES, ids=lambda value: str(value)[:30])
def test_a_checkpoint_that_names_anything_but_tensors_is_refused(tmp_path: Path, content: Any, words: str) -> None:
    file = tmp_path / "sam.pth"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(content, protocol=2))
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/byteorder", "little")
    assert words in refusal(file)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "BadZipFile"),
        (b"PK\x03\x04" + bytes(100), "BadZipFile"),
        (pickle.dumps({"image_encoder.patch_embed.proj.weight": 1}), "BadZipFile"),
    ],
    ids=["empty", "header", "pickle"],
)
def test_a_checkpoint_that_is_no_archive_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "sam.pth").write_bytes(content)
    assert words in refusal(tmp_path / "sam.pth")


def test_a_checkpoint_that_unpacks_to_more_than_it_is_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "sam.pth"
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(10**7))
    assert "it is compressed" in refusal(file)


def expanded(state: dict[str, Tensor]) -> None:
    state["image_encoder.pos_embed"] = torch.zeros(1).expand(1, 10**6, 10**6, 32)


def quantised(state: dict[str, Tensor]) -> None:
    state["mask_decoder.iou_token.weight"] = state["mask_decoder.iou_token.weight"].to(torch.int8)


def flat(state: dict[str, Tensor]) -> None:
    state["image_encoder.patch_embed.proj.weight"] = torch.zeros(3)


def wide(state: dict[str, Tensor]) -> None:
    state["image_encoder.neck.0.weight"] = torch.zeros(0, 32, 1, 1)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (expanded, "to fit in"),
        (quantised, "it names 'torch CharStorage'"),
        (flat, "got 3 (vision_config)"),
        (wide, "Expected 8 <= `output_channels`"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_original_with_impossible_tensors_is_refused(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], None], words: str
) -> None:
    state = original(library().state_dict())
    change(state)
    torch.save(state, tmp_path / "sam.pth")
    assert words in refusal(tmp_path / "sam.pth")


def test_a_pipe_in_the_place_of_a_checkpoint_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "sam.pth")
    assert "found a named pipe" in refusal(tmp_path / "sam.pth")
