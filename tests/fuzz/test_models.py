"""Adapter folders and bases, damaged: a model, or one sentence; nothing is built by what a file claims."""

from __future__ import annotations

import hashlib
import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from samtune.adapters import card_of, load_specialist, save
from samtune.bases import Base, load_base
from samtune.errors import SamTuneError
from samtune.methods import adapt, make_method
from tests.bases.tiny_checkpoints import library, original
from tests.fuzz.guard import cases, survives
from tests.fuzz.mutations import damaged, swapped, values
from tests.tiny import tiny_sam

CARD, TENSORS, CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors", "config.json", "model.safetensors"
METHODS = ("ptsam", "lora", "ts_sam", "conv_lora")


@pytest.fixture(scope="module")
def adapters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {method: tmp_path_factory.mktemp(method) for method in METHODS}
    for method, folder in folders.items():
        model = adapt(tiny_sam(), make_method(method), num_classes=2)
        save(model, folder, card_of(model, ("cell", "debris")))
    return folders


def finite(value: Any) -> Any:
    """JSON text of any values: numbers of too many digits become large ones."""
    if isinstance(value, dict):
        return {key: finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [finite(item) for item in value]
    return 10**300 if isinstance(value, int) and abs(value) > 10**300 else value


def with_header(draw: st.DrawFn, content: bytes) -> bytes:
    """A safetensors file with values of its header swapped."""
    (length,) = struct.unpack("<Q", content[:8])
    header = json.dumps(finite(draw(swapped(json.loads(content[8 : 8 + length]))))).encode()
    return struct.pack("<Q", len(header)) + header + content[8 + length :]


@cases(200)
@given(
    data=st.data(),
    method=st.sampled_from(METHODS),
    part=st.sampled_from(["card", "fields", "bytes", "tensors", "header"]),
)
def test_an_adapter_is_loaded_or_refused(
    adapters: dict[str, Path], tmp_path_factory: pytest.TempPathFactory, data: Any, method: str, part: str
) -> None:
    folder = Path(tmp_path_factory.getbasetemp()) / "fuzz-adapter"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(adapters[method], folder)
    card = json.loads((folder / CARD).read_text())
    if part == "card":
        (folder / CARD).write_text(json.dumps(finite(data.draw(swapped(card)))))
    elif part == "fields":
        fields = card["fields"] | data.draw(
            st.dictionaries(st.sampled_from(sorted(card["fields"])), values, max_size=2)
        )
        (folder / CARD).write_text(json.dumps(finite(card | {"fields": fields})))
    elif part == "bytes":
        (folder / CARD).write_bytes(data.draw(damaged([(folder / CARD).read_bytes()])))
    else:
        content = (folder / TENSORS).read_bytes()
        if part == "tensors":
            content = data.draw(damaged([content]))
        else:
            content = data.draw(st.composite(lambda draw: with_header(draw, content))())
        (folder / TENSORS).write_bytes(content)
        (folder / CARD).write_text(json.dumps(card | {"adapter_sha256": hashlib.sha256(content).hexdigest()}))
    result = survives(lambda: load_specialist(folder, tiny_sam())[0])
    if not isinstance(result, SamTuneError):
        assert all(bool(tensor.isfinite().all()) for tensor in result.state_dict().values())


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("base")
    library().save_pretrained(folder)
    torch.save(original(library().state_dict()), folder / "sam.pth")
    return folder


@cases(200)
@given(data=st.data(), part=st.sampled_from(["config", "config", "bytes", "weights", "header", "original"]))
def test_a_base_is_loaded_or_refused(
    bases: Path, tmp_path_factory: pytest.TempPathFactory, data: Any, part: str
) -> None:
    folder = Path(tmp_path_factory.getbasetemp()) / "fuzz-base"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bases, folder)
    name = folder
    if part == "config":
        config = json.loads((folder / CONFIG).read_text())
        (folder / CONFIG).write_text(json.dumps(finite(data.draw(swapped(config)))))
    elif part == "bytes":
        (folder / CONFIG).write_bytes(data.draw(damaged([(folder / CONFIG).read_bytes()])))
    elif part == "original":
        name = folder / "sam.pth"
        name.write_bytes(data.draw(damaged([name.read_bytes()])))
    else:
        content = (folder / WEIGHTS).read_bytes()
        drawn = damaged([content]) if part == "weights" else st.composite(lambda draw: with_header(draw, content))()
        (folder / WEIGHTS).write_bytes(data.draw(drawn))
    result = survives(lambda: load_base(name))
    assert isinstance(result, Base | SamTuneError)
