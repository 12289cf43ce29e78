"""SAM-Adapter against its equations written out, and the numbers that were published."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.bases import build
from samtune.errors import ConfigError, MethodError
from samtune.methods import adapt, delta, make_method, touches_encoder, trainable
from samtune.methods.parts.frequency import high_frequency
from samtune.methods.sam_adapter import EdgePrompts, PublishedDecoder
from tests.tiny import tiny_sam

SIZES = ("base", "large", "huge")


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def naive_high_frequency(plane: Tensor, share: float) -> Tensor:
    """One channel (H, W) by the definition: a sum over waves, the low ones left out."""
    height, width = plane.shape
    limit = math.floor(math.sqrt(height * width * share) / 2)
    rows, columns = torch.arange(height).double(), torch.arange(width).double()
    total = torch.zeros(height, width, dtype=torch.complex128)
    for v in range(-height // 2, height // 2):
        for u in range(-width // 2, width // 2):
            if -limit <= v < limit and -limit <= u < limit:
                continue
            angle = 2 * math.pi * (v * rows[:, None] / height + u * columns[None] / width)
            wave = torch.complex(angle.cos(), angle.sin())
            total += (plane.double() * wave.conj()).mean() * wave
    return total.real.abs()


@pytest.mark.parametrize(("height", "width", "share"), [(16, 16, 0.25), (12, 20, 0.25), (16, 16, 0.04), (8, 8, 0.0)])
def test_high_frequencies_are_a_sum_over_waves(height: int, width: int, share: float) -> None:
    image = noise(2, 3, height, width)
    expected = torch.stack([torch.stack([naive_high_frequency(c, share) for c in picture]) for picture in image])
    torch.testing.assert_close(high_frequency(image, share).double(), expected, atol=1e-5, rtol=1e-4)


def test_a_constant_image_has_no_high_frequencies_and_an_edge_has() -> None:
    assert float(high_frequency(torch.full((1, 3, 32, 32), 7.0)).max()) <= 1e-5
    edge = torch.zeros(1, 3, 32, 32)
    edge[..., 15:] = 1.0
    found = high_frequency(edge)[0, 0].mean(0)
    assert found[14:16].mean() > 4 * found[6:10].mean()
    assert high_frequency(edge.bfloat16()).dtype == torch.float32


def naive_scrambled(patches: Tensor) -> Tensor:
    """As `init_embeddings` of the public code reads them: (H, W, C) numbers in a row, cut into C pieces of H W.

    Token t is the t-th number of every piece.
    """
    batch, height, width, channels = patches.shape
    cells = height * width
    tokens = torch.zeros(batch, cells, channels)
    for piece in range(channels):
        for token in range(cells):
            place = piece * cells + token  # in the row; there the channel runs fastest, then the column
            tokens[:, token, piece] = patches[:, place // (width * channels), place // channels % width,
                                              place % channels]  # fmt: skip
    return tokens.view(batch, height, width, channels)


@pytest.mark.parametrize(
    ("fields", "mixed"),
    [
        ({}, False),
        ({"paper": True}, True),
        ({"paper": True, "stem": "equation"}, False),
        ({"stem": "scrambled"}, True),
        ({"decoder": "used"}, False),
    ],
)
def test_the_side_adds_the_equations_prompt_ahead_of_each_block(fields: dict[str, Any], mixed: bool) -> None:
    """The adapted encoder against SAM's own blocks run by hand with P_i added; the windows are padded."""
    model = adapt(tiny_sam(), make_method("sam_adapter", factor=4, **fields), seed=2)
    side = model.vision_encoder.side
    assert isinstance(side, EdgePrompts)
    plain, pixels = tiny_sam(), noise(2, 3, 96, 96)
    with torch.no_grad():
        for parameter in side.parameters():
            parameter.add_(0.1 * noise(*parameter.shape))
        patches = plain.encoder.patch_embed.projection(pixels).permute(0, 2, 3, 1)
        cut = high_frequency(pixels).unfold(2, 16, 16).unfold(3, 16, 16)  # (B, 3, 6, 6, 16, 16)
        kernel, bias = side.edges.weight, side.edges.bias
        assert bias is not None
        common = torch.einsum("bchwij,qcij->bhwq", cut, kernel) + bias
        read = naive_scrambled(patches) if mixed else patches
        common = common + torch.einsum("bhwc,qc->bhwq", read, side.patches.weight) + side.patches.bias
        tokens = patches + plain.vision_encoder.pos_embed
        for block, tune in zip(plain.blocks, side.tune, strict=True):
            assert isinstance(tune, nn.Linear)
            inner = torch.einsum("bhwq,pq->bhwp", common, tune.weight) + tune.bias
            inner = inner * 0.5 * (1 + torch.erf(inner / 2**0.5))
            prompt = torch.einsum("bhwq,cq->bhwc", inner, side.up.weight) + side.up.bias
            tokens = block(tokens + prompt)
        expected = plain.vision_encoder.neck(tokens)
        found = model.encode(pixels).embedding
    assert (found - expected).abs().max() <= 1e-5
    assert (found - plain.encode(pixels).embedding).abs().max() > 0.1


def test_nothing_of_an_image_stays_behind() -> None:
    model = adapt(tiny_sam(), make_method("sam_adapter"))
    before = {name for name, _ in model.named_buffers()}
    assert model.encode(noise(1, 3, 96, 96)).extras == {}
    assert {name for name, _ in model.named_buffers()} == before
    copy.deepcopy(model)  # refused by torch where a module keeps a tensor of the graph


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (4_121_908, 4_175_140, 4_245_556)),
        ({"paper": True}, (4_121_908, 4_175_140, 4_245_556)),
        ({"decoder": "used"}, (63_312 + 3_505_536, 116_544 + 3_505_536, 186_960 + 3_505_536)),
        ({"factor": 16, "decoder": "used"}, (None, None, 3_980_576)),
    ],
)
def test_numbers_on_sams_sizes(fields: dict[str, object], expected: tuple[int | None, ...]) -> None:
    for size, number in zip(SIZES, expected, strict=True):
        if number is not None:
            model = adapt(build(f"facebook/sam-vit-{size}"), make_method("sam_adapter", **fields))
            assert sum(parameter.numel() for parameter in trainable(model).values()) == number
            assert touches_encoder(model)


def test_the_published_decoder_is_sams_with_a_positional_matrix_and_embedding_of_its_own() -> None:
    model = adapt(tiny_sam(), make_method("sam_adapter", paper=True), seed=4)
    head, pixels = model.head, noise(2, 3, 96, 96)
    assert isinstance(head, PublishedDecoder)
    assert {key for key in delta(model) if key.startswith("head.")} == {"head.matrix", "head.no_mask"}
    assert not any(parameter.requires_grad for parameter in model.prompt_encoder.parameters())
    other = adapt(tiny_sam(), make_method("sam_adapter", paper=True), seed=5)
    assert isinstance(other.head, PublishedDecoder)
    assert not torch.equal(head.matrix, other.head.matrix)
    plain = tiny_sam()
    with torch.no_grad():
        features = plain.encode(pixels)
        head.matrix.copy_(plain.state_dict()["shared_image_embedding.positional_embedding"])
        head.no_mask.copy_(plain.prompt_encoder.no_mask_embed.weight[0])
        torch.testing.assert_close(head(features, plain), plain.decode(features), atol=1e-5, rtol=1e-5)


def test_the_whole_decoder_is_trained_as_published_and_what_is_used_on_request() -> None:
    for fields in ({"paper": True}, {}):
        whole = adapt(tiny_sam(), make_method("sam_adapter", **fields))
        assert all(parameter.requires_grad for parameter in whole.decoder.parameters())
    assert whole.prompt_encoder.no_mask_embed.weight.requires_grad
    for chosen, num_classes in (({"decoder": "used"}, 1), ({}, 3)):
        used = adapt(tiny_sam(), make_method("sam_adapter", **chosen), num_classes=num_classes)
        assert not any(parameter.requires_grad for parameter in used.decoder.iou_prediction_head.parameters())
        assert used.decoder.classes is not None


def test_the_whole_decoder_starts_as_sams_own_and_what_is_silent_gets_no_gradient() -> None:
    model, pixels = adapt(tiny_sam(), make_method("sam_adapter")), noise(2, 3, 96, 96)
    features = model.encode(pixels)
    torch.testing.assert_close(model.decode(features), tiny_sam().decode(features), atol=1e-5, rtol=1e-5)
    model.decode(features).square().mean().backward()  # type: ignore[no-untyped-call]
    for name, parameter in trainable(model).items():
        silent = "iou_prediction_head" in name or ("mlps." in name and "mlps.0." not in name)
        assert parameter.grad is not None, f"{name}: data-parallel training waits for it"
        assert not silent or not parameter.grad.any()
    gradient = model.decoder.output_hypernetworks_mlps[0].get_parameter("proj_in.weight").grad
    assert gradient is not None
    assert gradient.any()


def test_refusals_leave_nothing_behind() -> None:
    with pytest.raises(ConfigError, match=r"Expected `sam_adapter.factor` >= 1, got 0"):
        make_method("sam_adapter", factor=0)
    with pytest.raises(ConfigError, match="to be whole with paper=true, got used"):
        make_method("sam_adapter", paper=True, decoder="used")
    model = tiny_sam()
    keys = set(model.state_dict())
    with pytest.raises(MethodError, match="<= the encoder's 32 channels, got 33"):
        adapt(model, make_method("sam_adapter", factor=33))
    with pytest.raises(MethodError, match=r"Expected 1 class .* got 2"):
        adapt(model, make_method("sam_adapter", paper=True), num_classes=2)
    assert set(model.state_dict()) == keys
    assert not trainable(model)
