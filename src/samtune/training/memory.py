"""How much memory an update takes, counted without computing it.

A twin of the model whose tensors have shapes and no content goes forward and backward as the model would, on the same
paths (torch's fake tensors keep the device), while every tensor that comes and goes is counted. What the twin cannot
see is what a kernel takes for itself and what the allocator wastes; `CPU_WASTE` stands for that.
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
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from samtune.bases import Base

CPU_WASTE = 1.4
"""Resident memory of a process against the bytes of its tensors: the allocator's gaps, and what kernels take. Measured
on Linux with the C library's own allocator: 1.3 to 1.6."""

RECOMPUTED_WASTE = 2.1
"""The same where blocks are recomputed: what each leaves behind lies between what comes and goes. Measured with
`conv_lora` on ViT-B 2.0, on ViT-H 2.3."""


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made inside of it that are alive, and the most there were.

    Args:
        known: tensors that were there before; they and their views do not count.

    Attributes:
        peak: the most bytes alive at once so far.
    """

    def __init__(self, known: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._storages: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        for tensor in known:
            self._storages.add(tensor.untyped_storage())

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Run an operation and count what it made."""
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
    """What is pushed through a model.

    Attributes:
        cached: features are handed in, not pixels.
        num_images: at once.
        autocast: as in training; None for none.
    """

    cached: bool
    num_images: int = 1
    autocast: torch.dtype | None = None


def count_update(sam: Base, load: Load, loss_of: Callable[[Base, Tensor | Features, Tensor], Tensor]) -> int | None:
    """The most bytes alive during a forward and backward pass beyond the model itself; gradients are in it.

    Args:
        sam: adapted; it is neither computed with nor changed.
        load: of one part of an update.
        loss_of: model, inputs and labels uint8 (B, S, S) to a loss, as `objective.Objective` computes it.

    Returns:
        Bytes; None where a module asks for the content of a tensor in its forward pass, which a twin has not.
    """

    def update(twin: Base, inputs: Tensor | Features) -> None:
        labels = torch.zeros(load.num_images, *2 * (sam.spec.image_size,), dtype=torch.uint8, device=sam.device)
        twin.train()
        loss_of(twin, inputs, labels).backward()  # type: ignore[no-untyped-call]

    return _count(sam, load, update)


def count_encoding(sam: Base, num_images: int, autocast: torch.dtype | None = None) -> int | None:
    """The most bytes alive while images are encoded and decoded without a gradient, beyond the model itself."""

    def infer(twin: Base, inputs: Tensor | Features) -> None:
        assert isinstance(inputs, torch.Tensor)
        with torch.no_grad():
            twin.eval().decode(twin.encode(inputs))

    return _count(sam, Load(cached=False, num_images=num_images, autocast=autocast), infer)


def plain_loss(twin: Base, inputs: Tensor | Features, labels: Tensor) -> Tensor:
    """A loss that asks for no tensor's content, in the place of one that does."""
    features = inputs if isinstance(inputs, Features) else twin.encode(inputs)
    return segmentation_loss(twin.decode(features), labels, "ce_dice")


def _count(sam: Base, load: Load, run: Callable[[Base, Tensor | Features], None]) -> int | None:
    from torch._subclasses.fake_tensor import FakeTensorMode

    fake = FakeTensorMode(allow_non_fake_inputs=True)
    tensors = [*sam.parameters(), *sam.buffers()]
    memo: dict[int, Any] = {id(tensor): fake.from_tensor(tensor) for tensor in tensors}
    known = list(memo.values())
    twin = copy.deepcopy(sam, memo)  # all but the tensors is copied, they are handed in
    counted = LiveBytes(known)
    try:
        quiet = torch.random.fork_rng(devices=[])
        with quiet, first_tile_alone(), fake, counted, autocast_to(load.autocast, sam.device):
            run(twin, _inputs(sam, load))
    except Exception:  # whatever a foreign module does with a tensor that has no content
        return None
    return counted.peak


def _inputs(sam: Base, load: Load) -> Tensor | Features:
    """Return zeros in the shapes of what is handed in."""
    shapes = sam.feature_shapes if load.cached else {"pixels": (3, sam.spec.image_size, sam.spec.image_size)}
    tensors = {name: torch.zeros(load.num_images, *shape, device=sam.device) for name, shape in shapes.items()}
    return Features.of(tensors) if load.cached else tensors["pixels"]


def feature_bytes(sam: Base, bytes_per_number: int = 4) -> int:
    """Return the size of one image's features, extras included."""
    return sum(map(math.prod, sam.feature_shapes.values())) * bytes_per_number


def waste(device: torch.device, *, recompute: bool = False) -> float:
    """What bytes of tensors are multiplied by to be bytes of the device.

    Args:
        device: of the tensors.
        recompute: blocks of the encoder are computed again in the backward pass.
    """
    if device.type != "cpu":
        return 1.0
    return RECOMPUTED_WASTE if recompute else CPU_WASTE
