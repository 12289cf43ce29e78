"""The specialist on disk: what was learned (safetensors), what is known of it (JSON), a card for people.

    folder/  adapter_model.safetensors   adapter_config.json   README.md

Loading refuses whatever does not match, with both sides named: another base, other classes, a missing or an
extra tensor, a damaged file. Nothing is pickled.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load, save_file

from samtune.errors import ConfigError, MethodError, WeightsError
from samtune.files import whole
from samtune.methods.card import TENSOR_FILE, AdapterCard, read_card, write_card
from samtune.methods.core import adapt, adaptation, delta
from samtune.methods.registry import method_fields, stored_method
from samtune.sam import Sam
from samtune.sam.weights import UNREADABLE

if TYPE_CHECKING:
    from torch import Tensor


def card_of(sam: Sam, class_names: tuple[str, ...]) -> AdapterCard:
    """The card of an adapted model, without scores and data.

    Raises:
        MethodError: no method is attached, or the names are not one per class.
    """
    from samtune import __version__

    record = adaptation(sam)
    if record is None:
        raise MethodError("A specialist needs an adapted model, but no method is attached; call adapt first.")
    if len(class_names) != record.num_classes:
        raise MethodError(
            f"There must be one name per class ({record.num_classes}), but {len(class_names)} came: {class_names}."
        )
    return AdapterCard(
        method=record.method.name,
        fields=method_fields(record.method),
        base=sam.base_name,
        base_sha256=sam.base_sha256,
        class_names=class_names,
        side=sam.spec.side,
        pixel_mean=sam.spec.pixel_mean,
        pixel_std=sam.spec.pixel_std,
        samtune_version=__version__,
        square=sam.spec.square,
    )


def save(sam: Sam, folder: str | Path, card: AdapterCard) -> AdapterCard:
    """Write a specialist; a folder that is there is overwritten file by file, each whole or not at all.

    Args:
        sam: an adapted model.
        folder: made where it is not there.
        card: what is known of it; `adapter_sha256` is filled in.

    Returns:
        The card as written.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {key: tensor.cpu().contiguous() for key, tensor in delta(sam).items()}
    with whole(folder / TENSOR_FILE) as partial:
        save_file(tensors, partial)
        card = replace(card, adapter_sha256=hashlib.sha256(partial.read_bytes()).hexdigest())
    write_card(folder, card, sum(tensor.numel() for tensor in tensors.values()))
    return card


def specialist_folder(path: str | Path) -> Path:
    """The specialist's folder of a run folder, or the folder itself."""
    folder = Path(path)
    return folder / "specialist" if (folder / "specialist").is_dir() else folder


def copy_specialist(path: str | Path, folder: str | Path) -> None:
    """Copy a specialist, each file whole or not at all; what is there under the same names is replaced.

    Args:
        path: a run folder or its specialist/ folder.
        folder: made where it is not there.

    Raises:
        WeightsError: the specialist is gone or damaged.
    """
    source, target = specialist_folder(path), Path(folder)
    _read_tensors(source / TENSOR_FILE, read_card(source))
    target.mkdir(parents=True, exist_ok=True)
    if target.samefile(source):
        return
    for file in source.iterdir():
        if file.is_file():
            with whole(target / file.name) as partial:
                shutil.copyfile(file, partial)


def load_specialist(path: str | Path, base: str | Path | Sam | None = None) -> tuple[Sam, AdapterCard]:
    """Load a specialist onto its base.

    Args:
        path: a run folder or its specialist/ folder.
        base: a base by name, or a `Sam` as loaded (it is adapted in place, and prepares images as the card says);
            None for the name the card carries.

    Returns:
        The adapted model in eval mode, frozen, and its card.

    Raises:
        WeightsError: the folder is damaged, the base is another, or the tensors are not exactly those
            expected.
    """
    folder = specialist_folder(path)
    card = read_card(folder)
    tensors = _read_tensors(folder / TENSOR_FILE, card)
    sam = base if isinstance(base, Sam) else Sam.from_pretrained(card.base if base is None else base, card.side)
    if sam.base_sha256 != card.base_sha256:
        raise WeightsError(
            f"{folder} was trained on the base {card.base} (weights sha256 {card.base_sha256[:16]}), but "
            f"{sam.base_name} "
            f"({sam.base_sha256[:16]}) was loaded; pass the base it was trained on with --base."
        )
    if sam.spec.side != card.side:
        raise WeightsError(f"{folder} was trained at {card.side} pixels, but the base was loaded at {sam.spec.side}.")
    try:
        adapt(sam, stored_method(card.method, card.fields), num_classes=len(card.class_names))
    except ConfigError as error:
        raise WeightsError(f"{folder} names a method this samtune cannot build: {error}") from error
    put(sam, tensors, str(folder))
    sam.spec = replace(sam.spec, square=card.square)
    return sam.requires_grad_(False).eval(), card


def put(sam: Sam, tensors: dict[str, Tensor], where: str) -> None:
    """Copy learned tensors into an adapted model, strictly.

    Args:
        sam: adapted by the method that `tensors` come from.
        tensors: as `delta` gave them.
        where: named in errors.

    Raises:
        WeightsError: a tensor is missing, unknown or of another shape; both sides are named.
    """
    wanted = delta(sam)
    missing, extra = sorted(set(wanted) - set(tensors)), sorted(set(tensors) - set(wanted))
    if missing or extra:
        raise WeightsError(
            f"{where} must hold exactly the {len(wanted)} tensors its method learns, but {len(tensors)} "
            f"came: "
            f"missing {missing[:3] or 'none'}, unknown {extra[:3] or 'none'}; the folder is damaged, copy "
            f"it again."
        )
    for key, tensor in wanted.items():
        if tensor.shape != tensors[key].shape:
            raise WeightsError(
                f"{where}: {key} must have the shape {tuple(tensor.shape)} for the classes and fields that "
                f"the config "
                f"names, but the file holds {tuple(tensors[key].shape)}; config and tensors do not belong "
                f"together."
            )
    with torch.no_grad():
        for key, tensor in wanted.items():
            tensor.copy_(tensors[key])


def _read_tensors(file: Path, card: AdapterCard) -> dict[str, Tensor]:
    if not file.is_file():
        raise WeightsError(f"A specialist must hold {TENSOR_FILE}, but there is none in {file.parent}; copy it again.")
    content = file.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != card.adapter_sha256:
        raise WeightsError(
            f"{file} must have the sha256 {card.adapter_sha256[:16]} that the config names, but it has "
            f"{found[:16]}; "
            "the file is damaged or belongs to another run, copy the whole folder again."
        )
    try:
        return load(content)
    except UNREADABLE as error:
        raise WeightsError(f"{file} is not a readable safetensors file ({error}).") from error
