"""Memory that an update takes: counted without computing it, or roughly by a formula.

A twin of the model whose tensors have shapes and no content goes forward and backward as the model would, on the same
paths (torch's fake tensors keep the device), while the bytes of all tensors alive are counted (`count_memory`). The
twin sees neither what a kernel allocates for itself nor the allocator's gaps; `CPU_WASTE` stands for those.

A count takes seconds. Where the order of magnitude is enough, `rough_update_bytes` and `rough_run_bytes` give it from
the sizes of the base.
"""

from __future__ import annotations

import copy
import math
import weakref
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from samtune.bases import autocast_to
from samtune.bases.kernels.grid_bias import first_tile_alone
from samtune.losses import segmentation_loss
from samtune.training.objective import Objective
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from samtune.bases import Base
    from samtune.training.plan import Plan

CPU_WASTE = 1.4
"""Resident memory of a process over the bytes of its tensors, because of the allocator's gaps and of kernels. Measured
on Linux with the C library's own allocator: 1.3 to 1.6."""

RECOMPUTED_WASTE = 2.1
"""The same where blocks are recomputed, whose kept inputs lie between short-lived tensors. Measured with `conv_lora` on
ViT-B 2.0, on ViT-H 2.3."""

PROCESS_BYTES = 0.8e9
"""A process without a model: the interpreter and the libraries (measured: 0.4 GB), and as much again for images that
are read and scored."""

KEPT_VECTORS = 40
"""Vectors per token that a block keeps for its gradient: norms, attention and the wide layer are about 20, and as much
again is for what a method adds."""

FINE_NUMBERS = 16 * 64
"""Numbers per token that the decoder keeps of its fine image, at most: 4 x 4 fine pixels to a token."""

FLOAT_BYTES = 4


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counter of the bytes of all live tensors that were made inside of it.

    Args:
        known: tensors from before; they and their views do not count.

    Attributes:
        live: bytes alive now.
        peak: the most bytes alive at once so far.
    """

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._storages: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in known:
            self._storages.add(tensor.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count its outputs."""
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._count(tensor.untyped_storage())
        self.peak = max(self.peak, self.live)
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        if storage in self._storages:
            return
        self._storages.add(storage)
        num_bytes = storage.nbytes()
        self.live += num_bytes
        weakref.finalize(storage, self._forget, num_bytes)

    def _forget(self, num_bytes: int) -> None:
        self.live -= num_bytes


@dataclass(frozen=True)
class Load:
    """A batch that is counted.

    Attributes:
        cached: inputs are features, not pixels.
        num_images: batch size.
        autocast: as in training; None for none.
    """

    cached: bool
    num_images: int = 1
    autocast: torch.dtype | None = None


def count_update(model: Base, load: Load, loss_of: Callable[[Base, Tensor | Features, Tensor], Tensor]) -> int | None:
    """Return the peak bytes of a forward and backward pass beyond the model itself, gradients included.

    Args:
        model: adapted; it is neither run nor changed.
        load: one micro-batch.
        loss_of: function of model, inputs and labels uint8 (B, S, S) to a loss, as `Objective` computes it.

    Returns:
        Bytes; None where a module reads the content of a tensor in its forward pass, since a twin has none.
    """

    def update(twin: Base, inputs: Tensor | Features) -> None:
        labels = torch.zeros(load.num_images, *2 * (model.spec.image_size,), dtype=torch.uint8, device=model.device)
        twin.train()
        loss_of(twin, inputs, labels).backward()  # type: ignore[no-untyped-call]

    return _count(model, load, update)


def count_encoding(model: Base, num_images: int, autocast: torch.dtype | None = None) -> int | None:
    """Return the peak bytes of encoding and decoding images without gradients, beyond the model itself."""

    def infer(twin: Base, inputs: Tensor | Features) -> None:
        assert isinstance(inputs, torch.Tensor)
        with torch.no_grad():
            twin.eval().decode(twin.encode(inputs))

    return _count(model, Load(cached=False, num_images=num_images, autocast=autocast), infer)


def plain_loss(twin: Base, inputs: Tensor | Features, labels: Tensor) -> Tensor:
    """Return a loss that reads no tensor's content, in place of one that does."""
    features = inputs if isinstance(inputs, Features) else twin.encode(inputs)
    return segmentation_loss(twin.decode(features), labels, "ce_dice")


def _count(model: Base, load: Load, run: Callable[[Base, Tensor | Features], None]) -> int | None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    tensors = [*model.parameters(), *model.buffers()]
    memo: dict[int, Any] = {id(tensor): fake.from_tensor(tensor) for tensor in tensors}
    known = list(memo.values())
    twin = copy.deepcopy(model, memo)  # all but the tensors is copied, they are handed in
    counted = LiveBytes(known)
    try:
        quiet = torch.random.fork_rng(devices=[])
        with quiet, first_tile_alone(), fake, counted, autocast_to(load.autocast, model.device):
            run(twin, _inputs(model, load))
    except Exception:  # whatever a module does with a tensor that has no content
        return None
    return counted.peak


@dataclass(frozen=True)
class UpdateMemory:
    """Bytes of a forward and backward pass beyond the model itself.

    Attributes:
        first_bytes: with one image, gradients included.
        more_bytes: for each further image.
    """

    first_bytes: int
    more_bytes: int

    def total(self, num_images: int) -> int:
        """Return the bytes of a batch of this size."""
        return self.first_bytes + (num_images - 1) * self.more_bytes

    def most_images(self, room_bytes: float) -> int:
        """Return how many images fit; 0 where one does not."""
        if self.first_bytes > room_bytes:
            return 0
        return 1 + int((room_bytes - self.first_bytes) // max(1, self.more_bytes))


def count_memory(model: Base, plan: Plan, *, autocast: torch.dtype | None) -> UpdateMemory | None:
    """Count the memory of updates; None where it cannot be counted (see `count_update`)."""
    cached = plan.cached

    def own(twin: Base, inputs: Tensor | Features, labels: Tensor) -> Tensor:
        loss, *_ = Objective(twin, plan.task, loss=plan.loss, loss_side=plan.loss_side)(inputs, labels)
        return loss  # type: ignore[no-any-return]

    for loss_of in (own, plain_loss):
        one = count_update(model, Load(cached, 1, autocast), loss_of)
        two = None if one is None else count_update(model, Load(cached, 2, autocast), loss_of)
        if one is not None and two is not None:
            scale = waste(model.device, recompute=plan.recompute)
            return UpdateMemory(int(scale * one), int(scale * (two - one)))
    return None


def rough_update_bytes(base: Base, plan: Plan | None, num_images: int, num_classes: int) -> int:
    """Return roughly the memory of a forward and backward pass, too large for most methods.

    Args:
        base: a base, adapted or not.
        plan: of the run; None where only features are decoded.
        num_images: batch size.
        num_classes: K.
    """
    tokens, blocks = (base.spec.image_size // base.spec.patch) ** 2, len(base.blocks)
    kept = KEPT_VECTORS
    if plan is not None and not plan.cached:
        kept = KEPT_VECTORS + blocks if plan.recompute else KEPT_VECTORS * blocks
    encoder = kept * tokens * base.width
    decoder = num_classes * tokens * (FINE_NUMBERS + KEPT_VECTORS * base.decoder.channels)
    return FLOAT_BYTES * num_images * (encoder + decoder)


def rough_run_bytes(base: Base, plan: Plan | None, *, shots: int, num_classes: int) -> int:
    """Return roughly the memory of a process that trains and scores, too large for most methods.

    Two copies of the weights, the features of all labelled images, and one micro-batch of an update.

    Args:
        base: the base.
        plan: of the run; None for a row of a comparison that trains no method.
        shots: labelled images.
        num_classes: K.
    """
    weights = 2 * FLOAT_BYTES * sum(parameter.numel() for parameter in base.parameters())
    features = 2 * feature_bytes(base) * shots
    num_images = 1 if plan is None else -(-plan.batch_size // plan.accumulate)
    return int(PROCESS_BYTES) + weights + features + rough_update_bytes(base, plan, num_images, num_classes)


def _inputs(model: Base, load: Load) -> Tensor | Features:
    """Return zeros in the shapes of a model's inputs."""
    shapes = model.feature_shapes if load.cached else {"pixels": (3, model.spec.image_size, model.spec.image_size)}
    tensors = {name: torch.zeros(load.num_images, *shape, device=model.device) for name, shape in shapes.items()}
    return Features.of(tensors) if load.cached else tensors["pixels"]


def feature_bytes(base: Base, bytes_per_number: int = 4) -> int:
    """Return the size of one image's features, extras included."""
    return sum(map(math.prod, base.feature_shapes.values())) * bytes_per_number


def waste(device: torch.device, *, recompute: bool = False) -> float:
    """Return the factor from bytes of tensors to bytes of memory.

    Args:
        device: of the tensors.
        recompute: encoder blocks are computed again in the backward pass.
    """
    if device.type != "cpu":
        return 1.0
    return RECOMPUTED_WASTE if recompute else CPU_WASTE
