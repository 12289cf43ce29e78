"""Our encoder and decoder against transformers' `SamModel`, fp32, with non-zero relative positions."""

from __future__ import annotations

import pytest
import torch

from samtune.bases.sam1.model import Sam1
from samtune.types import Features, Prompt
from tests.tiny import tiny_library, tiny_sam

CASES = {
    "padded windows": {"image_size": 96, "window_size": 4},
    "exact windows": {"image_size": 128, "window_size": 4},
    "no relative positions": {"image_size": 96, "window_size": 4, "use_rel_pos": False},
    "four blocks": {"image_size": 80, "window_size": 3, "num_hidden_layers": 4},
}


@pytest.mark.parametrize("fields", CASES.values(), ids=CASES)
def test_embedding_equals_the_librarys(fields: dict[str, int]) -> None:
    library, base = tiny_library(**fields), tiny_sam(**fields)
    pixels = torch.randn(2, 3, base.spec.image_size, base.spec.image_size, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = library.vision_encoder(pixels).last_hidden_state
        found = base.encode(pixels).embedding
    assert expected.abs().max() > 0.1
    assert (expected - found).abs().max() <= 1e-5


def test_relative_positions_and_position_embedding_matter() -> None:
    base = tiny_sam()
    pixels = torch.randn(1, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        before = base.encode(pixels).embedding
        for name, parameter in base.named_parameters():
            if "rel_pos_w" in name:
                parameter.zero_()
        without_rel = base.encode(pixels).embedding
        assert base.vision_encoder.pos_embed is not None
        base.vision_encoder.pos_embed.zero_()
        without_abs = base.encode(pixels).embedding
    assert (before - without_rel).abs().max() > 1e-2
    assert (without_rel - without_abs).abs().max() > 1e-2


@pytest.mark.parametrize("multimask", [False, True])
@pytest.mark.parametrize("kind", ["points", "boxes", "both"])
def test_prompted_masks_equal_the_librarys(kind: str, multimask: bool) -> None:
    library, base = tiny_library(), tiny_sam()
    generator = torch.Generator().manual_seed(2)
    pixels = torch.randn(2, 3, 96, 96, generator=generator)
    points = torch.rand(2, 3, 4, 2, generator=generator) * 95 if kind != "boxes" else None
    labels = torch.randint(0, 2, (2, 3, 4), generator=generator) if points is not None else None
    boxes = torch.rand(2, 3, 4, generator=generator) * 95 if kind != "points" else None
    with torch.no_grad():
        expected = library(pixels, points, labels, boxes, multimask_output=multimask)
        logits, iou = base.prompt(base.encode(pixels), Prompt(points, labels, boxes), multimask=multimask)
    # Relative to the largest logit, 4.7: the library's own float32 is 1.9e-5 away from its float64.
    assert (expected.pred_masks - logits).abs().max() <= 1e-5 * expected.pred_masks.abs().max()
    assert (expected.iou_scores - iou).abs().max() <= 1e-5


def test_unprompted_mask_equals_the_librarys_decoder_without_sparse_tokens() -> None:
    library, base = tiny_library(), tiny_sam()
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        features = base.encode(pixels)
        dense = library.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(2, -1, 6, 6)
        places = library.get_image_wide_positional_embeddings().repeat(2, 1, 1, 1)
        expected, _ = library.mask_decoder(features.embedding, places, None, dense, multimask_output=False)
        found = base.decode(features)
    assert found.shape == (2, 1, 24, 24)
    assert (expected[:, 0] - found).abs().max() <= 1e-5


def test_state_dict_keys_are_the_librarys() -> None:
    library, base = tiny_library(), tiny_sam()
    assert set(base.state_dict()) == set(library.state_dict())
    for key, tensor in library.state_dict().items():
        assert torch.equal(base.state_dict()[key], tensor), key


@pytest.mark.parametrize("side", [32, 64, 160])
def test_other_image_sizes_run(side: int) -> None:
    base = tiny_sam()
    with torch.no_grad():
        features = base.encode(torch.zeros(1, 3, side, side))
        assert features.embedding.shape[-1] == side // 16
        assert base.decode(features).shape == (1, 1, side // 4, side // 4)


def test_prompt_coordinates_follow_the_image_size() -> None:
    """A point at the same relative place of a square of another size gets the same position encoding."""
    base = tiny_sam()
    small = base.to_checkpoint_pixels(torch.tensor([[[[15.5, 31.5]]]]), Features(torch.zeros(1, 16, 4, 4)))
    large = base.to_checkpoint_pixels(torch.tensor([[[[31.5, 63.5]]]]), Features(torch.zeros(1, 16, 8, 8)))
    assert small is not None
    assert large is not None
    assert torch.allclose(small, large)


def test_batch_of_prompts_equals_single_prompts() -> None:
    base: Sam1 = tiny_sam()
    generator = torch.Generator().manual_seed(4)
    pixels = torch.randn(3, 3, 96, 96, generator=generator)
    boxes = torch.rand(3, 2, 4, generator=generator) * 95
    with torch.no_grad():
        features = base.encode(pixels)
        together, _ = base.prompt(features, Prompt(boxes_xyxy=boxes))
        alone = torch.cat(
            [
                base.prompt(base.encode(pixels[i : i + 1]), Prompt(boxes_xyxy=boxes[i : i + 1, j : j + 1]))[0]
                for i in range(3)
                for j in range(2)
            ]
        )
    assert torch.allclose(together.flatten(0, 1), alone[:, 0], atol=1e-5)
