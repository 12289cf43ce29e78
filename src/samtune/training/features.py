"""Training inputs: views of the training images, as pixels or as features that are computed once.

`Views` prepares any view of an image with its label map. `CachedFeatures` encodes each view that training uses once,
keeps the features on disk (bf16, memory-mapped) and returns batches of them; `FreshPixels` returns batches of pixels,
for methods that change the encoder. The label maps of the same (image, view) pairs are the same in both.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from samtune.array_store import ArrayStore, MissingEntry
from samtune.data import Augmentation, Dataset, view
from samtune.errors import DataError
from samtune.prefetch import Prefetcher
from samtune.progress import say, track
from samtune.text import size
from samtune.training.interruption import check
from samtune.types import Features

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import Tensor

    from samtune.bases import Base
    from samtune.tasks import Task
    from samtune.types import Geometry, ImageSpec

CACHE_FORMAT = 1


@dataclass(frozen=True)
class Views:
    """Prepared views of the images of a dataset.

    A view depends on the image and the view's number alone, not on the run's seed, so that runs share cached features.

    Attributes:
        dataset: images and masks.
        indices: indices of the images into `dataset`, in training order.
        spec: how images are prepared.
        task: task that reads the annotations.
        augmentation: how views other than 0 differ from the image.
    """

    dataset: Dataset
    indices: tuple[int, ...]
    spec: ImageSpec
    task: Task
    augmentation: Augmentation = field(default_factory=Augmentation)

    def __len__(self) -> int:
        return len(self.indices)

    def content_id(self, item: int) -> str:
        """Return the digest of an image's pixels."""
        return self.dataset.content_id(self.indices[item])

    def prepare(self, item: int, number: int) -> tuple[Tensor, Tensor, Geometry]:
        """Return pixels (3, S, S), annotation (S, S), ignored outside the image, and where the image lies."""
        index = self.indices[item]
        seed = int(self.content_id(item)[:8], 16)
        return view(
            self.dataset.image(index),
            self.task.annotation(self.dataset, index),
            self.spec,
            augmentation=self.augmentation,
            seed=seed,
            index=number,
        )

    def key(self, item: int, number: int) -> tuple[object, ...]:
        """Return everything that a prepared view depends on."""
        augmentation = _record(self.augmentation) if number else None
        return (CACHE_FORMAT, _record(self.spec), self.content_id(item), number, augmentation)


SAMPLE_IMAGES, SAMPLE_BYTES = 256, 10**9
"""Largest number of images, and of bytes of their float32 features, that the probe and first values of a method are
fitted to."""


def sample_of(views: Views, bytes_per_image: int, *, seed: int) -> Views:
    """Return views of the training images that the probe and first values are fitted to.

    Args:
        views: views of all training images.
        bytes_per_image: bytes of an image's features in float32.
        seed: seed of the offset; the images are evenly spaced in the order of `views`.

    Returns:
        `views` itself where all images fit.
    """
    total = len(views)
    most = max(1, min(SAMPLE_IMAGES, SAMPLE_BYTES // bytes_per_image))
    if total <= most:
        return views
    shift = float(torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    say(f"The probe and a method's first values are fitted to {most} of the {total} training images.")
    return replace(views, indices=tuple(views.indices[int((i + shift) * total / most)] for i in range(most)))


LATER_FIELDS = ("mirror_odd",)
"""Fields added since `CACHE_FORMAT`; left out of keys while off, so that earlier entries stay valid."""


def _record(value: Augmentation | ImageSpec) -> dict[str, Any]:
    return {name: content for name, content in asdict(value).items() if content or name not in LATER_FIELDS}


class Source(Protocol):
    """Source of batches of training inputs."""

    @property
    def views(self) -> Views:
        """Views that the batches are made of."""
        ...

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor | Features, Tensor]:
        """Return inputs and annotations (B, S, S) of (image, view) pairs."""
        ...


def rows_of(inputs: Tensor | Features, rows: slice, device: torch.device) -> Tensor | Features:
    """Return some images of a batch, contiguous, on a device."""

    def take(tensor: Tensor) -> Tensor:
        return tensor[rows].contiguous().to(device)

    return inputs.map(take) if isinstance(inputs, Features) else take(inputs)


Entry = tuple[dict[str, "Tensor"], "Tensor"]
"""Cache entry of a view: each tensor of its features, bfloat16 viewed as int16, and its annotation."""


@dataclass(frozen=True)
class FreshPixels:
    """Batches of pixels (B, 3, S, S), computed for each batch."""

    views: Views

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """See `Source.load`."""
        prepared = [self.views.prepare(item, number) for item, number in pairs]
        return torch.stack([pixels for pixels, _, _ in prepared]), torch.stack([labels for _, labels, _ in prepared])


class CachedFeatures:
    """Batches of features that are computed once and kept on disk, each tensor of a view in its own file.

    Images are encoded in blocks that depend on the views alone and not on the content of the store, since rounding
    depends on the batch size: an interrupted run gets the same features when it is resumed.

    Args:
        views: views of the training images.
        encoder: everything the features depend on besides the views, `Base.encoder_id`.
        names: names of the features' tensors.
        store: store on disk.
    """

    def __init__(self, views: Views, encoder: str, names: Sequence[str], store: ArrayStore) -> None:
        self.views, self.store = views, store
        self._encoder, self._names = encoder, tuple(names)
        self._label_digests: dict[int, str] = {}
        self._encode: Callable[[Tensor], Features] | None = None
        self._batch_size = 1
        self._reported_loss = False

    @staticmethod
    def of(base: Base, views: Views, encoder: str | None = None) -> CachedFeatures:
        """Return the features of a base's encoder in the default store; `encoder` replaces `base.encoder_id`."""
        return CachedFeatures(views, encoder or base.encoder_id, list(base.feature_shapes), ArrayStore.default())

    def make(
        self,
        encode: Callable[[Tensor], Features],
        numbers: Sequence[int],
        *,
        batch_size: int = 4,
        rank: int = 0,
        num_processes: int = 1,
    ) -> int:
        """Compute and store missing features; the next block is prepared while one is encoded.

        Args:
            encode: function of pixels (B, 3, S, S) to features; also used for entries that turn out damaged later.
            numbers: numbers of the views of each image.
            batch_size: images encoded at once.
            rank: this process computes every `num_processes`-th block, from this one on.
            num_processes: number of processes that share the work.

        Returns:
            Number of views that this process computed.

        Raises:
            DataError: the features do not fit on the disk; raised before the first is stored.
        """
        self._encode, self._batch_size = encode, batch_size
        missing = set(self.missing(numbers))
        self._report_damage(missing)
        blocks = [block for number in numbers for block in self._blocks(number)][rank::num_processes]
        blocks = [block for block in blocks if not missing.isdisjoint(block)]
        encoded = 0
        with Prefetcher(lambda number: [self.views.prepare(*pair) for pair in blocks[number]], len(blocks)) as ahead:
            for number in track(range(len(blocks)), "Computing the frozen features once"):
                check()
                entries = self._compute(blocks[number], ahead.take(number))
                if not encoded:
                    self._announce(*next(iter(entries.values())), len(missing))
                for pair in missing.intersection(blocks[number]):
                    self._keep(pair, *entries[pair])
                    encoded += 1
        return encoded

    def missing(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """Return the (image, view) pairs of these views that are not in the store."""
        pairs = [(item, number) for item in range(len(self.views)) for number in numbers]
        return [pair for pair in pairs if not self._complete(*pair)]

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Features, Tensor]:
        """See `Source.load`; features are float32. Damaged or deleted entries are computed again with a message.

        Raises:
            DataError: an entry is missing, and `make` was not called.
        """
        entries: dict[tuple[int, int], Entry] = {}
        for pair in pairs:
            if pair not in entries:
                try:
                    entries[pair] = self._read(pair)
                except MissingEntry:
                    entries[pair] = self._again(pair)
        kept, labels = zip(*(entries[pair] for pair in pairs), strict=True)
        tensors = {name: torch.stack([each[name] for each in kept]) for name in self._names}
        return Features.of(tensors).map(lambda each: each.view(torch.bfloat16).float()), torch.stack(labels)

    def _blocks(self, number: int) -> list[list[tuple[int, int]]]:
        """Return the (image, view) pairs of a view number, in groups that are encoded at once."""
        pairs = [(item, number) for item in range(len(self.views))]
        return [pairs[start : start + self._batch_size] for start in range(0, len(pairs), self._batch_size)]

    def _compute(
        self, block: list[tuple[int, int]], prepared: list[tuple[Tensor, Tensor, Geometry]]
    ) -> dict[tuple[int, int], Entry]:
        """Return the entries of a block.

        Raises:
            DataError: the encoder returns other tensors than those of this cache.
        """
        assert self._encode is not None
        features = self._encode(torch.stack([pixels for pixels, _, _ in prepared]))
        tensors = features.map(lambda each: each.to("cpu", torch.bfloat16).contiguous()).tensors()
        if set(tensors) != set(self._names):
            raise DataError(
                f"Expected the encoder's features to be {', '.join(self._names)}, got {', '.join(tensors)}; "
                "`feature_shapes` of the base and its `encode` disagree."
            )
        return {
            pair: ({name: each[row].view(torch.int16) for name, each in tensors.items()}, labels)
            for row, (pair, (_, labels, _)) in enumerate(zip(block, prepared, strict=True))
        }

    def _keep(self, pair: tuple[int, int], tensors: dict[str, Tensor], labels: Tensor) -> None:
        for name, tensor in tensors.items():
            self.store.put(self._key(name, *pair), tensor.numpy())
        self.store.put(self._label_key(*pair), labels.numpy())

    def _read(self, pair: tuple[int, int]) -> Entry:
        tensors = {name: torch.from_numpy(self.store.read(self._key(name, *pair))) for name in self._names}
        return tensors, torch.from_numpy(self.store.read(self._label_key(*pair)))

    def _again(self, pair: tuple[int, int]) -> Entry:
        """Compute a damaged or deleted entry again, together with its block."""
        if self._encode is None:
            raise DataError(f"The feature cache in {self.store.folder} lacks an entry; run the command again.")
        if not self._reported_loss:
            self._reported_loss = True
            say(f"Entries of the feature cache in {self.store.folder} are damaged or missing; they are computed again.")
        block = self._blocks(pair[1])[pair[0] // self._batch_size]
        entries = self._compute(block, [self.views.prepare(*member) for member in block])
        for member in block:
            if member == pair or not self._complete(*member):
                self._keep(member, *entries[member])
        return entries[pair]

    def _report_damage(self, missing: set[tuple[int, int]]) -> None:
        """Report how many entries are in the store but unusable."""
        keys = [key for pair in missing for key in self._keys(*pair)]
        num = sum(self.store.file(key).exists() and not self.store.has(key) for key in keys)
        if num:
            say(
                f"{num} entries of the feature cache in {self.store.folder} are damaged or from an earlier version; "
                "they are computed again."
            )

    def _complete(self, item: int, number: int) -> bool:
        return all(map(self.store.has, self._keys(item, number)))

    def _announce(self, tensors: dict[str, Tensor], labels: Tensor, count: int) -> None:
        num_bytes = count * sum(each.nbytes for each in (*tensors.values(), labels))
        self.store.make_room(num_bytes)
        if num_bytes > 50e6:
            say(f"The frozen features of {count} views take {size(num_bytes)} in {self.store.folder}.")

    def _keys(self, item: int, number: int) -> list[str]:
        return [*(self._key(name, item, number) for name in self._names), self._label_key(item, number)]

    def _key(self, name: str, item: int, number: int) -> str:
        return self.store.key(name, self._encoder, *self.views.key(item, number))

    def _label_key(self, item: int, number: int) -> str:
        if item not in self._label_digests:
            labels = self.views.task.annotation(self.views.dataset, self.views.indices[item])
            self._label_digests[item] = hashlib.sha256(np.ascontiguousarray(labels).tobytes()).hexdigest()
        return self.store.key("labels", self._label_digests[item], *self.views.key(item, number))


def encoded_at_once(side: int) -> int:
    """Return the number of images that are encoded at once, 1..8."""
    return max(1, min(8, (512 // side) ** 2))


def encode_views(
    features: CachedFeatures, base: Base, numbers: Sequence[int], *, rank: int = 0, num_processes: int = 1
) -> int:
    """Compute missing frozen features.

    Args:
        features: features of the views, of the same encoder as `base`.
        base: its encoder as the base has it; put into evaluation mode.
        numbers: of the views wanted of each image.
        rank: of this process.
        num_processes: how many share the work.

    Returns:
        How many this process computed.

    Raises:
        DataError: they do not fit on the disk.
    """
    base.eval()

    @torch.inference_mode()
    def encode(pixels: Tensor) -> Features:
        return base.encode(pixels.to(base.device))

    at_once = encoded_at_once(base.spec.image_size)
    return features.make(encode, numbers, batch_size=at_once, rank=rank, num_processes=num_processes)
