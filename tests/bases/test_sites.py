"""The named places: empty by default, of the promised shapes, and their answers are used."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.bases import Base, Call, ClassHeads, is_base_module
from samtune.bases.sam1.encoder import ImageEncoder, Sam1Block
from samtune.bases.sam1.model import Sam1
from samtune.errors import MethodError
from samtune.types import Features
from tests.tiny import tiny_library, tiny_sam


class Spy(nn.Module):
    """Keeps the shapes it saw; answers twice what came."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []

    def forward(self, tokens: Tensor) -> Tensor:
        self.seen.append(tuple(tokens.shape))
        return 2 * tokens


def embedding(base: Sam1) -> Tensor:
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        return base.encode(pixels).embedding


def test_sites_are_empty_and_cost_no_key() -> None:
    base = tiny_sam()
    assert set(base.state_dict()) == set(tiny_library().state_dict())
    for block in base.blocks:
        assert block.before is block.after_attn is block.after_mlp is block.prompts is None
    assert not any((base.vision_encoder.side, base.decoder.prompts, base.decoder.classes, base.head))


@pytest.mark.parametrize("index", [0, 1])
@pytest.mark.parametrize("site", ["before", "after_attn", "after_mlp"])
def test_places_of_a_block_see_the_grid_and_are_heard(site: str, index: int) -> None:
    base, spy = tiny_sam(), Spy()
    setattr(base.blocks[index], site, spy)
    assert not torch.allclose(embedding(base), embedding(tiny_sam()), atol=1e-3)
    assert spy.seen == [(2, 6, 6, 32)]
    setattr(base.blocks[index], site, nn.Identity())
    torch.testing.assert_close(embedding(base), embedding(tiny_sam()))


class SideSpy(nn.Module):
    def __init__(self, factor: float = 1.0, last: float = 1.0) -> None:
        super().__init__()
        self.factor, self.last = factor, last
        self.calls: list[tuple[Any, ...]] = []
        self.patches = torch.empty(0)

    def begin(self, pixels: Tensor, patches: Tensor) -> Any:
        self.calls.append(("begin", tuple(pixels.shape), tuple(patches.shape)))
        self.patches = patches
        return "first"

    def forward(self, index: int, tokens: Tensor, state: Any, call: Call) -> tuple[Tensor, Any]:
        self.calls.append((index, tuple(tokens.shape), state))
        return tokens * self.factor, index

    def end(self, embedding: Tensor, state: Any, call: Call) -> tuple[Tensor, dict[str, Tensor]]:
        self.calls.append(("end", tuple(embedding.shape), state))
        return embedding * self.last, {"last": embedding}


def test_side_sees_the_pixels_the_patches_each_block_and_the_neck() -> None:
    base, side = tiny_sam(), SideSpy()
    base.vision_encoder.side = side
    torch.testing.assert_close(embedding(base), embedding(tiny_sam()))
    grid = (2, 6, 6, 32)
    assert side.calls == [
        ("begin", (2, 3, 96, 96), grid), (-1, grid, "first"), (0, grid, -1), (1, grid, 0), ("end", (2, 16, 6, 6), 1),
    ]  # fmt: skip
    pixels = torch.ones(1, 3, 96, 96)
    assert list(base.encode(pixels).extras) == ["last"]
    plain = tiny_sam().encoder.patch_embed.projection(pixels).permute(0, 2, 3, 1)
    torch.testing.assert_close(side.patches, plain)  # the position embedding is not in them yet


def test_side_is_heard_in_the_stream_and_after_the_neck() -> None:
    base, plain = tiny_sam(), embedding(tiny_sam())
    base.vision_encoder.side = SideSpy(factor=1.5)
    assert not torch.allclose(embedding(base), plain, atol=1e-3)
    base.vision_encoder.side = SideSpy(last=2.0)
    torch.testing.assert_close(embedding(base), 2 * plain)


@pytest.mark.parametrize("role", Sam1Block.role_paths)
def test_put_stands_at_the_role_and_a_second_is_refused(role: str) -> None:
    base = tiny_sam()

    class Doubled(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, tokens: Tensor) -> Tensor:
            seen.append(tuple(tokens.shape))
            return self.inner(tokens) * 2  # type: ignore[no-any-return]

    seen: list[tuple[int, ...]] = []
    block = base.blocks[1]
    module = Doubled(block.at(role))
    block.put(role, module)
    assert block.at(role) is module
    assert not torch.allclose(embedding(base), embedding(tiny_sam()), atol=1e-3)
    assert seen == [(2, 6, 6, 48 if role == "mlp_out" else 32)]
    with pytest.raises(MethodError, match="to be free, got Doubled"):
        block.put(role, nn.Identity())


@pytest.mark.parametrize("role", ImageEncoder.role_paths)
def test_put_outside_the_blocks_is_heard_and_a_second_is_refused(role: str) -> None:
    base = tiny_sam()
    encoder = base.vision_encoder

    class Changed(nn.Module):
        def __init__(self, inner: nn.Module) -> None:
            super().__init__()
            self.inner = inner

        def forward(self, planes: Tensor) -> Tensor:
            seen.append(tuple(planes.shape))
            return self.inner(planes) ** 2  # type: ignore[no-any-return]

    seen: list[tuple[int, ...]] = []
    assert is_base_module(encoder.at(role))
    module = Changed(encoder.at(role))
    assert not is_base_module(module)
    encoder.put(role, module)
    assert encoder.at(role) is module
    assert not torch.allclose(embedding(base), embedding(tiny_sam()), atol=1e-3)
    assert seen == [{"patch": (2, 3, 96, 96), "neck_conv1": (2, 32, 6, 6)}.get(role, (2, 16, 6, 6))]
    with pytest.raises(MethodError, match="to be free, got Changed"):
        encoder.put(role, nn.Identity())
    with pytest.raises(MethodError, match=", ".join(ImageEncoder.role_paths)):
        encoder.at("qkv")


def test_an_unknown_role_names_the_roles() -> None:
    with pytest.raises(MethodError, match=", ".join(Sam1Block.role_paths)):
        tiny_sam().blocks[0].at("key")


def test_head_stands_in_the_decoders_place() -> None:
    base = tiny_sam()

    class Head(nn.Module):
        def forward(self, features: Features, base: Base) -> Tensor:
            return features.embedding[:, :5]

    base.head = Head()
    features = base.encode(torch.zeros(1, 3, 96, 96))
    assert torch.equal(base.decode(features), features.embedding[:, :5])


def test_a_module_at_a_site_comes_behind_the_bases_own_in_the_order_of_parameters() -> None:
    base = tiny_sam()
    own = [name for name, _ in base.decoder.named_parameters()]
    base.sites.put("class_heads", ClassHeads(2, base.decoder.mask_token(0), base.decoder.hypernetwork(0)))
    assert [name for name, _ in base.decoder.named_parameters()][: len(own)] == own
