"""The contract every method keeps: fourteen points, one test each, over every row of `contract.ROWS`.

`pytest tests/methods -q -k NAME` runs them for one method. The tiny base has one windowed block (its window
does not divide the grid, so the windows are padded) and one global block.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from samtune.adapters import card_of, load_specialist, save
from samtune.bases import Base, recording
from samtune.bases.sam1.model import Sam1
from samtune.errors import MethodError
from samtune.losses import segmentation_loss
from samtune.methods import (
    METHODS,
    Foldable,
    Recipe,
    adapt,
    adaptation,
    delta,
    fold,
    make_method,
    penalty,
    task_loss,
    touches_encoder,
    trainable,
)
from tests.methods.contract import ROWS, Row
from tests.tiny import tiny_sam

SIDE = 96
every_row = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS.keys())


def pixels(batch: int = 2, side: int = SIDE, seed: int = 1) -> Tensor:
    return torch.randn(batch, 3, side, side, generator=torch.Generator().manual_seed(seed))


def forward(base: Base, images: Tensor) -> Tensor:
    return base.decode(base.encode(images))


def take_steps(model: Sam1, steps: int = 3) -> dict[str, float]:
    """Train on random masks; returns the largest gradient each tensor ever had (0 where it had none)."""
    largest = {name: 0.0 for name, _ in model.named_parameters()}
    optimiser = torch.optim.AdamW(trainable(model).values(), lr=1e-2)
    for step in range(steps):
        with recording() as outputs:
            logits = forward(model.train(), pixels(seed=step))
        generator = torch.Generator().manual_seed(step)
        size_hw = logits.shape[-2:]
        labels = torch.randint(0, logits.shape[1] + 1, (2, *size_hw), generator=generator, dtype=torch.uint8)
        loss = task_loss(outputs, logits, labels, partial(segmentation_loss, kind="ce_dice")) + penalty(outputs)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                largest[name] = max(largest[name], float(parameter.grad.abs().max()))
        optimiser.step()
    return largest


def has_no_gradient_by_algebra(name: str) -> bool:
    """A key's bias adds the same number to every logit of a query, which softmax takes away again."""
    return name.endswith(".k_proj.bias")


# The checks that the broken method of the end of this file must fail are functions of a model.


def check_base_keys_survive(model: Sam1) -> None:
    assert set(tiny_sam().state_dict()) <= set(model.state_dict())


def check_base_tensors_are_untouched(model: Sam1, *, redraws: bool = False) -> None:
    record, base = adaptation(model), tiny_sam()
    assert record is not None
    for (name, expected), own in zip(base.named_parameters(), record.base_parameters, strict=True):
        assert torch.equal(own, expected), name
    if redraws:
        owned = set(map(id, record.base_parameters))
        assert not [name for name, parameter in trainable(model).items() if id(parameter) in owned]
        return
    adapted = model.state_dict()
    for key, tensor in base.state_dict().items():
        assert torch.equal(adapted[key], tensor), key


def with_class_heads(model: Sam1) -> bool:
    return model.decoder.classes is not None


def check_gradients(model: Sam1, row: Row | None = None) -> None:
    largest = take_steps(model)
    names = set(trainable(model))
    for parts, limit in ((row.idle, 0.0), (row.cancelled, 1e-5)) if row else ():
        excused = {name for name in names if any(part in name for part in parts)}
        assert not parts or excused or with_class_heads(model)
        assert not {name for name in excused if largest[name] > limit}, "excused, but a gradient came"
        names -= excused
    without = {name for name in names if not has_no_gradient_by_algebra(name) and largest[name] == 0.0}
    assert not without, f"trainable, but never a gradient: {sorted(without)}"
    astray = {name for name, value in largest.items() if value and not model.get_parameter(name).requires_grad}
    assert not astray, f"frozen, but a gradient came: {sorted(astray)}"


def check_frozen_tensors_stay(model: Sam1) -> None:
    moved = trainable(model)
    before = {name: tensor.clone() for name, tensor in model.named_parameters() if name not in moved}
    take_steps(model)
    for name, tensor in before.items():
        assert torch.equal(model.get_parameter(name), tensor), name


def check_identity(model: Sam1, *, declared: bool) -> None:
    with torch.no_grad():
        expected, found = forward(tiny_sam(), pixels()), forward(model, pixels())
    same = found.shape == expected.shape and bool(((found - expected).abs() <= 1e-6).all())
    assert same == declared


def check_batch_equals_singles(model: Sam1) -> None:
    images = pixels(3)
    with torch.no_grad():
        together = forward(model, images)
        alone = torch.cat([forward(model, image[None]) for image in images])
    assert torch.allclose(together, alone, atol=1e-5)


def test_every_method_has_a_row() -> None:
    assert set(METHODS.own) <= {row.method for row in ROWS.values()} <= set(METHODS)
    for name in METHODS.own:
        assert ROWS[name].method == name, "the plain row of a method carries its name"
        assert not ROWS[name].fields, "the plain row of a method has its default fields"


@every_row
def test_point_01_base_keys_are_a_subset_of_the_adapted_keys(row: Row) -> None:
    check_base_keys_survive(row.adapted())


@every_row
def test_point_02_base_tensors_are_bit_equal_after_attach(row: Row) -> None:
    check_base_tensors_are_untouched(row.adapted(), redraws=row.redraws)


@every_row
def test_point_03_identity_at_the_start_is_as_declared(row: Row) -> None:
    check_identity(row.adapted(), declared=row.build().starts_as_identity)


@every_row
def test_point_04_every_trainable_tensor_gets_a_gradient_and_no_frozen_one(row: Row) -> None:
    check_gradients(row.adapted(), row)


@every_row
def test_point_05_frozen_tensors_are_bit_equal_after_three_steps(row: Row) -> None:
    check_frozen_tensors_stay(row.adapted())


@every_row
def test_point_06_saved_and_loaded_gives_bit_equal_tensors_and_the_same_outputs(row: Row, tmp_path: Path) -> None:
    model = row.adapted()
    take_steps(model)
    model.eval()
    save(model, tmp_path, card_of(model, ("thing",)))
    loaded, card = load_specialist(tmp_path, tiny_sam())
    assert card.method == row.method
    learned = delta(model)
    assert set(learned) >= set(trainable(model))
    with torch.no_grad():
        torch.testing.assert_close(forward(loaded, pixels()), forward(model, pixels()), atol=1e-5, rtol=1e-5)
    assert touches_encoder(loaded) == row.touches_encoder
    again = delta(loaded)
    assert list(again) == list(learned), "what was loaded can be saved once more"
    assert all(torch.equal(again[key], learned[key]) for key in learned)


@every_row
def test_point_07_fold_restores_the_bases_keys_and_keeps_the_outputs(row: Row) -> None:
    model = row.adapted()
    take_steps(model)
    model.eval()
    before_keys = set(model.state_dict())
    folds = {name for name, module in model.named_modules() if isinstance(module, Foldable)}
    with torch.no_grad():
        before = forward(model, pixels())
        after = forward(fold(model), pixels())
    assert float((before - after).abs().max() / before.abs().max()) <= 1e-5
    base_keys = set(tiny_sam().state_dict())
    for key in set(model.state_dict()) - base_keys:
        assert not any(key.startswith(name + ".") for name in folds), key
    assert not any(isinstance(module, Foldable) for module in model.modules())
    assert folds or set(model.state_dict()) == before_keys
    assert {k for k in model.state_dict() if k.startswith("vision_encoder.") and folds} <= base_keys


@every_row
def test_point_08_same_seed_same_delta(row: Row) -> None:
    bases = tiny_sam(), tiny_sam()
    torch.manual_seed(11)
    expected_next = torch.rand(1)
    torch.manual_seed(11)
    one = delta(adapt(bases[0], row.build(), seed=5))
    assert torch.equal(torch.rand(1), expected_next), "the global generator is left as it was"
    torch.manual_seed(99)
    other = delta(adapt(bases[1], row.build(), seed=5))
    assert list(one) == list(other)
    assert all(torch.equal(one[key], other[key]) for key in one)


@every_row
def test_point_09_the_encoder_is_in_the_graph_only_where_it_is_touched(row: Row) -> None:
    model = row.adapted()
    assert touches_encoder(model) == row.touches_encoder
    assert model.encode(pixels()).embedding.requires_grad == row.touches_encoder
    assert forward(model, pixels()).requires_grad


@every_row
def test_point_10_attaching_twice_is_refused(row: Row) -> None:
    model = row.adapted()
    with pytest.raises(MethodError, match=f"got one with {row.method}"):
        adapt(model, row.build())
    model.__dict__.pop("_adaptation")
    with pytest.raises(MethodError, match=r"already|free"):
        row.build().attach(model, num_classes=1)


@pytest.mark.parametrize("role", ["query", "norm1"])
def test_point_10_a_role_the_encoder_lacks_names_the_roles_there_are(role: str) -> None:
    model = tiny_sam()
    with pytest.raises(MethodError, match="qkv, proj, mlp_in, mlp_out") as caught:
        adapt(model, make_method("lora", roles=["qkv", role]))
    assert repr(role) in str(caught.value)
    check_base_keys_survive(model)
    assert set(model.state_dict()) == set(tiny_sam().state_dict()), "a refused method leaves nothing behind"


@every_row
def test_point_11_runs_under_bf16_autocast(row: Row) -> None:
    model = row.adapted()
    with torch.autocast("cpu", torch.bfloat16):
        logits = forward(model, pixels())
    logits.float().square().mean().backward()  # type: ignore[no-untyped-call]
    assert logits.isfinite().all()
    assert all(p.grad is None or p.grad.isfinite().all() for p in trainable(model).values())
    with torch.no_grad():
        exact = forward(model, pixels())
    assert (logits.float() - exact).abs().max() <= 0.25 * exact.abs().max(), "the same, but for rounding"


@every_row
def test_point_12_trainable_count_is_the_closed_form(row: Row) -> None:
    assert sum(parameter.numel() for parameter in trainable(row.adapted()).values()) == row.count


@every_row
def test_point_13_a_batch_equals_singles(row: Row) -> None:
    model = row.adapted()
    take_steps(model, 1)
    check_batch_equals_singles(model.eval())


@every_row
def test_point_14_works_at_a_second_image_size_and_for_three_classes(row: Row) -> None:
    if not row.more_classes:
        with pytest.raises(MethodError, match="class"):
            row.adapted(num_classes=3)
        assert forward(row.adapted(side=64), pixels(side=64)).shape == (2, 1, 16, 16)
        return
    model = row.adapted(num_classes=3, side=64)
    assert forward(model, pixels(side=64)).shape == (2, 3, 4 * row.scale, 4 * row.scale)
    check_gradients(model, row)
    check_batch_equals_singles(model.eval())
    logits = forward(model, pixels())
    assert not torch.equal(logits[:, 0], logits[:, 1]), "after training, classes differ"


@dataclass(frozen=True)
class Broken:
    """Moves a base tensor, trains one that nobody uses, renames a base key, and mixes the batch."""

    name: ClassVar[str] = "broken"
    source: ClassVar[str] = "this test"
    starts_as_identity: ClassVar[bool] = True
    recipe: ClassVar[Recipe] = Recipe()

    def attach(self, model: Base, *, num_classes: int) -> None:
        block: Any = model.blocks[0]
        with torch.no_grad():
            block.at("norm2").weight.add_(1.0)
        block.after_mlp = Mixing(block.channels)
        model.blocks[1].put("proj", nn.Sequential(model.blocks[1].at("proj")))


class Mixing(nn.Module):
    """Adds the mean over the batch; one parameter is used by nobody; a buffer changes a frozen parameter."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.ones(channels))
        self.unused = nn.Parameter(torch.ones(channels))
        self.frozen = nn.Parameter(torch.ones(channels), requires_grad=False)

    def forward(self, tokens: Tensor) -> Tensor:
        with torch.no_grad():
            self.frozen.add_(1.0)
        return tokens + self.shift * tokens.mean(0, keepdim=True)


CHECKS: dict[str, Callable[[Sam1], Any]] = {
    "point 1": check_base_keys_survive,
    "point 2": check_base_tensors_are_untouched,
    "point 3": lambda model: check_identity(model, declared=True),
    "point 4": check_gradients,
    "point 5": check_frozen_tensors_stay,
    "point 13": check_batch_equals_singles,
}


@pytest.mark.parametrize("point", CHECKS)
def test_a_broken_method_fails_the_contract(point: str) -> None:
    model = adapt(tiny_sam(), Broken())
    with pytest.raises((AssertionError, KeyError)):
        CHECKS[point](model)


def test_a_method_that_hides_in_the_encoder_is_found_out() -> None:
    """A trained tensor nobody uses and a buffer beside the graph both count as touching the encoder."""
    model = adapt(tiny_sam(), Broken())
    assert touches_encoder(model)
