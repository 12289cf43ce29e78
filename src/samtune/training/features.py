"""What the model is fed: views of the training images, as pixels, or as features that were computed once.

`Views` prepares any view of an image with its label map. `CachedFeatures` encodes all views that training will ask for
once, keeps them on disk (bf16, memory-mapped) and hands out batches; `FreshPixels` hands out pixels for methods that
change the encoder. Both give the same batches for the same (image, view) pairs.
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

    A view depends on the image and its number alone, not on the run's seed, so that runs share what was computed.

    Attributes:
        dataset: the images and masks.
        indices: which of them, in the order of their training numbers.
        spec: how they are prepared.
        task: what is read of the masks.
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
        """Digest of an image's pixels."""
        return self.dataset.content_id(self.indices[item])

    def prepare(self, item: int, number: int) -> tuple[Tensor, Tensor, Geometry]:
        """Pixels (3, S, S), annotation (S, S), ignored outside the image, and where the image lies."""
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
        """All that a prepared view depends on."""
        augmentation = _record(self.augmentation) if number else None
        return (CACHE_FORMAT, _record(self.spec), self.content_id(item), number, augmentation)


SAMPLE_IMAGES, SAMPLE_BYTES = 256, 10**9
"""At most so many images, and so many bytes of their features in float32, are looked at together: by the probe, and by
methods whose first values come from the training images."""


def sample_of(views: Views, bytes_per_image: int, *, seed: int) -> Views:
    """Return views of the training images that the probe and first values are fitted to.

    Args:
        views: of all training images.
        bytes_per_image: of an image's features in float32.
        seed: of which images it is; they lie evenly spread over the data's own order.

    Returns:
        `views` itself where all of them fit.
    """
    total = len(views)
    most = max(1, min(SAMPLE_IMAGES, SAMPLE_BYTES // bytes_per_image))
    if total <= most:
        return views
    shift = float(torch.rand((), generator=torch.Generator().manual_seed(seed), dtype=torch.float64))
    say(f"The probe, and first values that come from the data, are fitted to {most} of the {total} training images.")
    return replace(views, indices=tuple(views.indices[int((i + shift) * total / most)] for i in range(most)))


LATER_FIELDS = ("mirror_odd",)
"""Fields that are younger than the cache's format; where they are off, its keys are as they were."""


def _record(value: Augmentation | ImageSpec) -> dict[str, Any]:
    return {name: content for name, content in asdict(value).items() if content or name not in LATER_FIELDS}


class Source(Protocol):
    """Hands out batches of training inputs."""

    @property
    def views(self) -> Views:
        """What the batches are drawn from."""
        ...

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor | Features, Tensor]:
        """Return inputs and annotations (B, S, S) of (image, view) pairs."""
        ...


def rows_of(inputs: Tensor | Features, rows: slice, device: torch.device) -> Tensor | Features:
    """Return some images of a batch on a device, each tensor in one piece."""

    def take(tensor: Tensor) -> Tensor:
        return tensor[rows].contiguous().to(device)

    return inputs.map(take) if isinstance(inputs, Features) else take(inputs)


Entry = tuple[dict[str, "Tensor"], "Tensor"]
"""What is kept of a view: each tensor of its features, bfloat16 as int16, and its annotation."""


@dataclass(frozen=True)
class FreshPixels:
    """Batches of pixels (B, 3, S, S), each view computed when it is asked for."""

    views: Views

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Tensor, Tensor]:
        """See `Source.load`."""
        prepared = [self.views.prepare(item, number) for item, number in pairs]
        return torch.stack([pixels for pixels, _, _ in prepared]), torch.stack([labels for _, labels, _ in prepared])


class CachedFeatures:
    """Batches of features, computed once and kept on disk, each tensor of an image in a file of its own.

    Images are encoded in blocks that depend on the views alone and not on what is in the store, since sums over a
    batch of another size may round otherwise: a run that is cut off here and resumed gets the same features.

    Args:
        views: of the training images.
        encoder: what the features depend on besides the views, `Base.encoder_id`.
        names: of the features' tensors.
        store: where they are kept.
    """

    def __init__(self, views: Views, encoder: str, names: Sequence[str], store: ArrayStore) -> None:
        self.views, self.store = views, store
        self._encoder, self._names = encoder, tuple(names)
        self._label_digests: dict[int, str] = {}
        self._encode: Callable[[Tensor], Features] | None = None
        self._batch_size = 1
        self._told_loss = False

    @staticmethod
    def of(base: Base, views: Views, encoder: str | None = None) -> CachedFeatures:
        """Return the features of a model's encoder in the user's own store; `encoder` in place of `base.encoder_id`."""
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
        """Compute and keep what is not in the store yet; the next images are prepared while these are encoded.

        Args:
            encode: pixels (B, 3, S, S) -> features; kept for entries that turn out to be damaged later.
            numbers: of the views wanted of each image.
            batch_size: images encoded at once.
            rank: this process computes every `num_processes`-th block from here.
            num_processes: how many share the work.

        Returns:
            How many this process computed.

        Raises:
            DataError: they do not fit on the disk; told before anything is computed.
        """
        self._encode, self._batch_size = encode, batch_size
        missing = set(self.missing(numbers))
        self._tell_damage(missing)
        blocks = [block for number in numbers for block in self._blocks(number)][rank::num_processes]
        blocks = [block for block in blocks if not missing.isdisjoint(block)]
        encoded = 0
        with Prefetcher(lambda place: [self.views.prepare(*pair) for pair in blocks[place]], len(blocks)) as ahead:
            for place in track(range(len(blocks)), "Computing the frozen features once"):
                check()
                entries = self._compute(blocks[place], ahead.take(place))
                if not encoded:
                    self._announce(*next(iter(entries.values())), len(missing))
                for pair in missing.intersection(blocks[place]):
                    self._keep(pair, *entries[pair])
                    encoded += 1
        return encoded

    def missing(self, numbers: Sequence[int]) -> list[tuple[int, int]]:
        """The (image, view) pairs of these views that are not in the store yet."""
        wanted = [(item, number) for item in range(len(self.views)) for number in numbers]
        return [pair for pair in wanted if not self._complete(*pair)]

    def load(self, pairs: Sequence[tuple[int, int]]) -> tuple[Features, Tensor]:
        """See `Source.load`; features float32. Entries that are damaged or gone are computed again, and this is said.

        Raises:
            DataError: an entry is missing, and nothing was encoded with this object.
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
        """The images whose views of a number are encoded at once."""
        pairs = [(item, number) for item in range(len(self.views))]
        return [pairs[start : start + self._batch_size] for start in range(0, len(pairs), self._batch_size)]

    def _compute(
        self, block: list[tuple[int, int]], prepared: list[tuple[Tensor, Tensor, Geometry]]
    ) -> dict[tuple[int, int], Entry]:
        """Return the entries of a block.

        Raises:
            DataError: the encoder gives other tensors than those of this cache.
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
        """Compute an entry that was in the store once, with the images it was encoded with."""
        if self._encode is None:
            raise DataError(f"The feature cache in {self.store.folder} lacks an entry; run the command again.")
        if not self._told_loss:
            self._told_loss = True
            say(f"Entries of the feature cache in {self.store.folder} are damaged or gone, and are computed again.")
        block = self._blocks(pair[1])[pair[0] // self._batch_size]
        entries = self._compute(block, [self.views.prepare(*member) for member in block])
        for member in block:
            if member == pair or not self._complete(*member):
                self._keep(member, *entries[member])
        return entries[pair]

    def _tell_damage(self, missing: set[tuple[int, int]]) -> None:
        """Say how many entries are there and of no use."""
        keys = [key for pair in missing for key in self._keys(*pair)]
        num = sum(self.store.file(key).exists() and not self.store.has(key) for key in keys)
        if num:
            say(
                f"{num} entries of the feature cache in {self.store.folder} are damaged or of an earlier version, and "
                "are computed again."
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
    """How many images are encoded together."""
    return max(1, min(8, (512 // side) ** 2))


def encode_views(
    features: CachedFeatures, base: Base, numbers: Sequence[int], *, rank: int = 0, num_processes: int = 1
) -> int:
    """Compute the frozen features that are not there yet.

    Args:
        features: of the views; its `encoder` is that of `base`.
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
