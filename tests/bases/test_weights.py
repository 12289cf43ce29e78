"""Tensors of checkpoints: digest, aligned memory, and the check against the architecture."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from samtune.bases import load_base
from tests.bases.tiny_checkpoints import digest, library, original, refused


def test_the_digest_follows_every_number() -> None:
    state = library().state_dict()
    before = digest(state)
    assert digest({key: state[key] for key in reversed(state)}) == before
    changed = {key: tensor.clone() for key, tensor in state.items()}
    changed["mask_decoder.iou_token.weight"][0, 0] += 1e-6
    assert digest(changed) != before


@pytest.mark.parametrize("kind", ["folder", "shards", "half", "original", "transposed original", "nano"])
def test_weights_lie_in_aligned_memory_whatever_file_they_come_from(tmp_path: Path, kind: str) -> None:
    base = tmp_path / "base"
    if kind == "nano":
        base = Path("nano")
    elif "original" in kind:
        base = base.with_suffix(".pth")
        state = original(library().state_dict())
        if "transposed" in kind:
            state = {key: t.T.contiguous().T if t.ndim == 2 else t for key, t in state.items()}
        torch.save(state, base)
    else:
        model = library().half() if kind == "half" else library()
        model.save_pretrained(base, max_shard_size="50KB" if kind == "shards" else "1GB")
    for key, tensor in load_base(base).state_dict().items():
        assert tensor.data_ptr() % 64 == 0, key
        assert tensor.is_contiguous(), key
        assert tensor.dtype == torch.float32, key


@pytest.mark.parametrize(
    ("key", "told"), [("mask_decoder.iou_token.weight", "1 missing"), (None, "1 unknown (first: stranger)")]
)
def test_a_missing_or_an_extra_tensor_is_refused(folder: Path, key: str | None, told: str) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    if key is None:
        state["stranger"] = torch.zeros(1)
    else:
        del state[key]
    save_file(state, folder / "model.safetensors")
    refused(folder, told, "download it again")
