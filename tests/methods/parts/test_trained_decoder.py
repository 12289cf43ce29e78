"""SAM's mask tokens 1 to 3 in the stream of a trained mask decoder, or out of it as in Conv-LoRA's released code."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from samtune.adapters import card_of, load_specialist, save
from samtune.bases import Base
from samtune.errors import ConfigError
from samtune.methods import adapt, make_method, method_fields, trainable
from samtune.training import TrainSettings
from samtune.training.recipe import method_of, recipe_notes
from tests.tiny import tiny_library, tiny_sam

METHODS: dict[str, dict[str, Any]] = {"lora": {}, "conv_lora": {}, "decoder_only": {"prompts": "none"}}


def published_decoder(num_classes: int) -> nn.Module:
    """transformers' mask decoder as the released code rebuilds it: so many copies of mask token 0, and no other."""
    decoder: Any = tiny_library().mask_decoder
    decoder.num_mask_tokens = num_classes
    copies = decoder.mask_tokens.weight.detach()[:1].expand(num_classes, -1).clone()
    decoder.mask_tokens = nn.Embedding(num_classes, copies.shape[1], _weight=copies)
    first = decoder.output_hypernetworks_mlps[0]
    decoder.output_hypernetworks_mlps = nn.ModuleList(copy.deepcopy(first) for _ in range(num_classes))
    head = decoder.iou_prediction_head
    head.proj_out = nn.Linear(head.proj_out.in_features, num_classes)  # its output is used by nobody
    return decoder  # type: ignore[no-any-return]


def first_mask(num_classes: int, embedding: Tensor) -> Tensor:
    """(B, 1, h, w) logits of the published decoder's first mask token, without a prompt."""
    library = tiny_library()
    dense = library.prompt_encoder.no_mask_embed.weight.reshape(1, -1, 1, 1).expand(len(embedding), -1, 6, 6)
    places = library.get_image_wide_positional_embeddings().repeat(len(embedding), 1, 1, 1)
    logits, _ = published_decoder(num_classes)(embedding, places, None, dense, multimask_output=False)
    return logits[:, 0]  # type: ignore[no-any-return]


def embedding() -> Tensor:
    return torch.randn(2, 16, 6, 6, generator=torch.Generator().manual_seed(0))


def decoded(model: Base, features: Tensor) -> Tensor:
    from samtune.types import Features

    return model.eval().decode(Features(features))


@pytest.mark.parametrize("num_classes", [1, 3])
@pytest.mark.parametrize("method", METHODS)
def test_without_them_the_first_mask_is_that_of_the_released_code(method: str, num_classes: int) -> None:
    fields = METHODS[method]
    own = adapt(tiny_sam(), make_method(method, mask_tokens="own", **fields), num_classes=num_classes)
    everything = adapt(tiny_sam(), make_method(method, **fields), num_classes=num_classes)
    with torch.no_grad():
        expected = first_mask(num_classes, embedding()).expand(-1, num_classes, -1, -1)
        torch.testing.assert_close(decoded(own, embedding()), expected, atol=1e-5, rtol=1e-5)
        assert not torch.allclose(decoded(everything, embedding()), expected, atol=1e-2)
        if num_classes == 1:  # with them it is SAM's own
            torch.testing.assert_close(decoded(everything, embedding()), decoded(tiny_sam(), embedding()))


@pytest.mark.parametrize("method", METHODS)
def test_only_with_them_a_model_starts_as_sam(method: str) -> None:
    fields = METHODS[method]
    assert make_method(method, **fields).starts_as_identity
    assert not make_method(method, mask_tokens="own", **fields).starts_as_identity


@pytest.mark.parametrize("head", ["class_tokens", "queries"])
@pytest.mark.parametrize("method", METHODS)
def test_as_many_numbers_are_trained_and_their_names_stay(method: str, head: str) -> None:
    names = [
        {name: tuple(parameter.shape) for name, parameter in trainable(model).items()}
        for model in (
            adapt(tiny_sam(), make_method(method, head=head, mask_tokens=which), num_classes=3)
            for which in ("all", "own")
        )
    ]
    assert names[0] == names[1]


def test_queries_alone_see_no_other_token() -> None:
    """Whatever SAM's own mask tokens are, nothing changes."""
    model = adapt(tiny_sam(), make_method("lora", head="queries", mask_tokens="own"), num_classes=2).eval()
    with torch.no_grad():
        before = decoded(model, embedding())
        model.decoder.mask_tokens.weight.normal_()
        torch.testing.assert_close(decoded(model, embedding()), before)
        model.decoder.classes.alone = False  # type: ignore[union-attr]
        assert not torch.allclose(decoded(model, embedding()), before, atol=1e-3)


@pytest.mark.parametrize("num_classes", [1, 4])
@pytest.mark.parametrize("method", METHODS)
def test_the_papers_recipe_takes_them_out_and_says_so(method: str, num_classes: int) -> None:
    paper = TrainSettings(method=method, recipe="paper")
    assert method_fields(method_of(paper, num_classes))["mask_tokens"] == "own"
    assert "method.mask_tokens=own" in recipe_notes(paper, num_classes)[0]
    auto = TrainSettings(method=method)
    assert method_fields(method_of(auto, num_classes))["mask_tokens"] == "all"
    against = TrainSettings(method=method, recipe="paper", method_fields={"mask_tokens": "all"})
    assert method_fields(method_of(against, num_classes))["mask_tokens"] == "all"
    assert "method.mask_tokens=all (published: own)" in recipe_notes(against, num_classes)[-1]


def test_without_a_trained_decoder_there_is_nothing_to_take_out() -> None:
    with pytest.raises(ConfigError, match="mask_tokens=own has no effect without the decoder"):
        make_method("lora", decoder=False, mask_tokens="own")
    paper = TrainSettings(method="lora", recipe="paper", method_fields={"decoder": False})
    assert method_fields(method_of(paper, 1))["mask_tokens"] == "all"


@pytest.mark.parametrize("which", ["all", "own", None])
@pytest.mark.parametrize("method", METHODS)
def test_a_specialist_keeps_its_form_and_one_of_before_the_field_loads(
    tmp_path: Path, method: str, which: str | None
) -> None:
    fields = METHODS[method] | ({} if which is None else {"mask_tokens": which})
    model = adapt(tiny_sam(), make_method(method, **fields)).eval()
    card = save(model, tmp_path, card_of(model, ("thing",)))
    if which is None:
        file = tmp_path / "adapter_config.json"
        content = json.loads(file.read_text())
        assert content["fields"].pop("mask_tokens") == "all"
        file.write_text(json.dumps(content))
    else:
        assert card.fields["mask_tokens"] == which
    loaded, _ = load_specialist(tmp_path, tiny_sam())
    with torch.no_grad():
        torch.testing.assert_close(decoded(loaded, embedding()), decoded(model, embedding()), atol=1e-6, rtol=1e-5)
