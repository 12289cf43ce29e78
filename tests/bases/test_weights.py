"""Where weights come from: folders, shards, the hub's cache, Meta's own files; and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import SamConfig, SamModel

from samtune.bases import build, load_base, published, weights
from samtune.bases.sam1.family import Sam1Family
from samtune.bases.sam1.model import Sam1
from samtune.errors import WeightsError
from tests.tiny import tiny_config, tiny_library


def digest(state: dict[str, Tensor]) -> str:
    return weights.digest(state, Sam1Family.aliases)


def library() -> SamModel:
    """A tiny base with eight heads in the decoder, as every original has (no shape tells them)."""
    model, fields = tiny_library(), tiny_config().to_dict()
    fields["mask_decoder_config"]["num_attention_heads"] = 8
    other = SamModel(SamConfig.from_dict(fields)).eval()
    other.load_state_dict(model.state_dict())
    return other


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    library().save_pretrained(tmp_path / "base")
    return tmp_path / "base"


def original_keys(blocks: int) -> dict[str, str]:
    """Meta's key -> the library's, written out by hand for a ViT of so many blocks."""
    keys = {"image_encoder.pos_embed": "vision_encoder.pos_embed"}

    def both(meta: str, other: str) -> None:
        for end in ("weight", "bias"):
            keys[f"{meta}.{end}"] = f"{other}.{end}"

    both("image_encoder.patch_embed.proj", "vision_encoder.patch_embed.projection")
    for i in range(blocks):
        meta, other = f"image_encoder.blocks.{i}", f"vision_encoder.layers.{i}"
        both(f"{meta}.norm1", f"{other}.layer_norm1")
        both(f"{meta}.norm2", f"{other}.layer_norm2")
        for part in ("attn.qkv", "attn.proj", "mlp.lin1", "mlp.lin2"):
            both(f"{meta}.{part}", f"{other}.{part}")
        for part in ("attn.rel_pos_h", "attn.rel_pos_w"):
            keys[f"{meta}.{part}"] = f"{other}.{part}"
    keys["image_encoder.neck.0.weight"] = "vision_encoder.neck.conv1.weight"
    both("image_encoder.neck.1", "vision_encoder.neck.layer_norm1")
    keys["image_encoder.neck.2.weight"] = "vision_encoder.neck.conv2.weight"
    both("image_encoder.neck.3", "vision_encoder.neck.layer_norm2")
    keys["prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"] = "shared_image_embedding.positional_embedding"
    for i in range(4):
        keys[f"prompt_encoder.point_embeddings.{i}.weight"] = f"prompt_encoder.point_embed.{i}.weight"
    for name in ("not_a_point_embed", "no_mask_embed"):
        keys[f"prompt_encoder.{name}.weight"] = f"prompt_encoder.{name}.weight"
    for index, name in ((0, "conv1"), (1, "layer_norm1"), (3, "conv2"), (4, "layer_norm2"), (6, "conv3")):
        both(f"prompt_encoder.mask_downscaling.{index}", f"prompt_encoder.mask_embed.{name}")
    for name in ("iou_token", "mask_tokens"):
        keys[f"mask_decoder.{name}.weight"] = f"mask_decoder.{name}.weight"
    transformer = "mask_decoder.transformer"
    attentions = [f"{transformer}.final_attn_token_to_image"]
    for i in range(2):
        layer = f"{transformer}.layers.{i}"
        attentions += [f"{layer}.{n}" for n in ("self_attn", "cross_attn_token_to_image", "cross_attn_image_to_token")]
        for n in range(1, 5):
            both(f"{layer}.norm{n}", f"{layer}.layer_norm{n}")
        both(f"{layer}.mlp.lin1", f"{layer}.mlp.lin1")
        both(f"{layer}.mlp.lin2", f"{layer}.mlp.lin2")
    for attention in attentions:
        for projection in ("q_proj", "k_proj", "v_proj", "out_proj"):
            both(f"{attention}.{projection}", f"{attention}.{projection}")
    both(f"{transformer}.norm_final_attn", f"{transformer}.layer_norm_final_attn")
    for index, name in ((0, "upscale_conv1"), (1, "upscale_layer_norm"), (3, "upscale_conv2")):
        both(f"mask_decoder.output_upscaling.{index}", f"mask_decoder.{name}")
    mlps = [f"mask_decoder.output_hypernetworks_mlps.{i}" for i in range(4)] + ["mask_decoder.iou_prediction_head"]
    for mlp in mlps:
        for place, name in ((0, "proj_in"), (1, "layers.0"), (2, "proj_out")):
            both(f"{mlp}.layers.{place}", f"{mlp}.{name}")
    return keys


def original(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {meta: state[other].clone() for meta, other in original_keys(2).items()}


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.save(original(library().state_dict()), tmp_path / "sam_tiny.pth")
    return tmp_path / "sam_tiny.pth"


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


def test_the_digest_follows_every_number() -> None:
    state = library().state_dict()
    before = digest(state)
    assert digest({key: state[key] for key in reversed(state)}) == before
    changed = {key: tensor.clone() for key, tensor in state.items()}
    changed["mask_decoder.iou_token.weight"][0, 0] += 1e-6
    assert digest(changed) != before


class Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("true",)


def refused(name: str | Path, *told: str) -> None:
    with pytest.raises(WeightsError) as caught:
        load_base(name)
    for words in told:
        assert words in str(caught.value), str(caught.value)


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
    refused(folder, "model_type 'sam'", "got 'sam2'", "not supported")


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
