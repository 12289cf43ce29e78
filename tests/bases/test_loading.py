"""Where bases come from: folders, shards, the hub's cache, Meta's own files; and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch

from samtune.bases import build, load_base, published
from samtune.bases.sam1.model import Sam1
from tests.bases.tiny_checkpoints import digest, library, original_keys, refused


def test_a_folder_loads_bit_equal(folder: Path) -> None:
    base, state = load_base(folder), library().state_dict()
    assert set(base.state_dict()) == set(state)
    assert all(torch.equal(base.state_dict()[key], tensor) for key, tensor in state.items())
    assert base.sha256 == digest(state)
    assert not any(parameter.requires_grad for parameter in base.parameters())


def test_a_sharded_folder_loads(tmp_path: Path) -> None:
    library().save_pretrained(tmp_path, max_shard_size="50KB")
    assert len(list(tmp_path.glob("model-*.safetensors"))) > 1
    assert load_base(tmp_path).sha256 == digest(library().state_dict())


def test_metas_own_file_gives_the_same_model(folder: Path, checkpoint: Path) -> None:
    one, other = load_base(folder), load_base(checkpoint)
    assert len(original_keys(12)) == 314, "as many tensors as sam_vit_b_01ec64.pth holds"
    assert one.sha256 == other.sha256
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        left, right = one.encode(pixels), other.encode(pixels)
        torch.testing.assert_close(left.embedding, right.embedding, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(one.decode(left), other.decode(right), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("raised", [ImportError("torchvision is broken"), NameError("x")])
@pytest.mark.parametrize(
    ("target", "base"),
    [
        ("samtune.tensor_files.safe_open", "folder"),
        ("torch.load", "original.pth"),
        ("transformers.SamConfig.__init__", "original.pth"),
        ("transformers.SamModel.__init__", "original.pth"),
        ("transformers.SamConfig.__init__", "folder"),
        ("transformers.SamModel.__init__", "folder"),
        ("huggingface_hub.snapshot_download", "facebook/sam-vit-base"),
    ],
)
def test_a_broken_installation_is_not_called_a_bad_checkpoint(
    folder: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch, target: str, base: str, raised: Exception
) -> None:
    def broken(*_: Any, **__: Any) -> Any:
        raise raised

    made = {"folder": folder, "original.pth": checkpoint}
    monkeypatch.setattr(target, broken)
    with pytest.raises(type(raised)) as caught:
        load_base(made.get(base, base))
    assert caught.value is raised


@pytest.mark.parametrize("value", [None, "text", 3, {"weight": 1}])
def test_an_original_with_something_else_than_tensors_is_refused(checkpoint: Path, value: Any) -> None:
    state = torch.load(checkpoint, weights_only=True)
    torch.save(state | {"mask_decoder.iou_token.weight": value}, checkpoint)
    refused(checkpoint, "mask_decoder.iou_token.weight", "plain state dict of tensors")


class Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def test_a_pickle_with_code_is_refused(tmp_path: Path) -> None:
    torch.save({"image_encoder.patch_embed.proj.weight": Dangerous()}, tmp_path / "bad.pth")
    refused(tmp_path / "bad.pth", "read safely", "download it again")


@pytest.mark.parametrize("key", ["image_encoder.pos_embed", "mask_decoder.iou_token.weight"])
def test_an_incomplete_original_is_refused(checkpoint: Path, key: str) -> None:
    state = torch.load(checkpoint, weights_only=True)
    del state[key]
    torch.save(state, checkpoint)
    refused(checkpoint, "download it again")


def test_a_wrapped_original_is_refused(checkpoint: Path) -> None:
    torch.save({"model": torch.load(checkpoint, weights_only=True)}, checkpoint)
    refused(checkpoint, "unwrap a fine-tuned or wrapped state dict first")


def test_another_architecture_is_refused(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"model_type": "sam2"}))
    refused(folder, "model_type 'sam'", "got 'sam2'", "does not support yet", "samtune.bases")


def test_missing_and_broken_files_are_refused(folder: Path, tmp_path: Path) -> None:
    refused(tmp_path / "none.pth", "No such file or directory; check the path")
    (folder / "model.safetensors").write_bytes(b"nothing")
    refused(folder, "not a readable safetensors file")
    (folder / "model.safetensors").unlink()
    refused(folder, "model.safetensors", "save_pretrained")
    (folder / "config.json").write_text("{")
    refused(folder, "broken", "download it again")
    (folder / "config.json").unlink()
    refused(folder, "config.json")


@pytest.mark.parametrize("name", ["vit_b", "./nowhere", "a/b/c"])
def test_a_bad_name_is_refused(name: str) -> None:
    refused(name, repr(name), "check the spelling or the path")


def test_a_hub_id_without_a_network_says_how_to_get_it() -> None:
    refused("nobody/no-such-sam", "hf download nobody/no-such-sam", "`nano`")


def test_the_hub_path_loads_what_the_hub_gives(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def fetch(name: str, allow_patterns: list[str]) -> str:
        asked.append(name)
        assert not any(pattern.endswith(".bin") for pattern in allow_patterns)
        return str(folder)

    monkeypatch.setattr("huggingface_hub.snapshot_download", fetch)
    base = load_base("facebook/sam-vit-base")
    assert asked == [base.name] == ["facebook/sam-vit-base"]
    assert base.sha256 == digest(library().state_dict())


@pytest.mark.parametrize(("name", "total"), list(zip(published(), (93_735_472, 312_342_832, 641_090_608), strict=True)))
def test_the_three_sizes_have_the_published_counts(name: str, total: int) -> None:
    """The published totals leave out the 256 numbers of the positional encoding, a buffer in Meta's code."""
    base = build(name)
    assert isinstance(base, Sam1)
    assert next(base.parameters()).device.type == "meta"
    counts = {key: p.numel() for key, p in base.named_parameters() if "shared" not in key}
    assert sum(counts.values()) == total
    assert sum(p.numel() for p in base.shared_image_embedding.parameters()) == 256
