"""Saving of a specialist to its folder: the learned tensors (safetensors), their record (JSON), and a card for people.

folder/  adapter_model.safetensors   adapter_config.json   README.md
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from safetensors.torch import save_file

from samtune.adapters.card import CARD_FILE, CONFIG_FILE, TENSOR_FILE, AdapterCard, read_card, write_card
from samtune.adapters.loading import check_tensor_file
from samtune.errors import MethodError
from samtune.methods.seam.adapt import adaptation, delta
from samtune.methods.seam.registry import method_fields
from samtune.outputs import OutputFolder
from samtune.run_folder import SPECIALIST_KIND, specialist_folder

if TYPE_CHECKING:
    from collections.abc import Iterable

    from samtune.bases import Base


def card_of(
    model: Base, class_names: tuple[str, ...], *, task: str = "areas", num_maps: int | None = None
) -> AdapterCard:
    """Return the card of an adapted model, without scores and data.

    Args:
        model: an adapted model.
        class_names: K names.
        task: name of the task it was adapted for.
        num_maps: maps that the task has for these classes; None for one per class.

    Raises:
        MethodError: no method is attached, or the model has another number of maps.
    """
    record = adaptation(model)
    if record is None:
        raise MethodError("Expected an adapted model, got one without a method; call adapt first.")
    if (len(class_names) if num_maps is None else num_maps) != record.num_classes:
        raise MethodError(f"Expected {record.num_classes} class names, got {len(class_names)}: {class_names}.")
    return AdapterCard(
        method=record.method.name,
        fields=method_fields(record.method),
        base=model.name,
        base_sha256=model.sha256,
        class_names=class_names,
        task=task,
        num_maps=None if num_maps == len(class_names) else num_maps,
        side=model.spec.image_size,
        pixel_mean=model.spec.mean,
        pixel_std=model.spec.std,
        samtune_version=version("samtune"),
        square=model.spec.fit == "squash",
    )


def saving_to(folder: str | Path, *, overwrite: bool = False, inputs: Iterable[Path] = ()) -> OutputFolder:
    """Return the folder that a specialist will be written to, checked before any work is done.

    Args:
        folder: created at the first write.
        overwrite: also replace files that samtune did not write, or that were changed since.
        inputs: files that are never written to.

    Raises:
        OutputError: a file exists that samtune may not replace.
    """
    out = OutputFolder(Path(folder), SPECIALIST_KIND, inputs=inputs, overwrite=overwrite)
    out.claim([TENSOR_FILE, CONFIG_FILE, CARD_FILE])
    return out


def save(model: Base, folder: str | Path, card: AdapterCard, *, overwrite: bool = False) -> AdapterCard:
    """Write a specialist, and replace one that samtune wrote before; each file is written whole or not at all.

    Args:
        model: an adapted model.
        folder: created if necessary.
        card: of the specialist; `adapter_sha256` is filled in.
        overwrite: also replace files that samtune did not write, or that were changed since.

    Returns:
        The card as written.

    Raises:
        OutputError: a file exists that samtune may not replace, or cannot be written.
    """
    out = saving_to(folder, overwrite=overwrite)
    tensors = {key: tensor.cpu().contiguous() for key, tensor in delta(model).items()}
    with out.whole(TENSOR_FILE, shared=False) as partial:
        save_file(tensors, partial)
        card = replace(card, adapter_sha256=hashlib.sha256(partial.read_bytes()).hexdigest())
    write_card(out, card, sum(tensor.numel() for tensor in tensors.values()))
    return card


def copy_specialist(path: str | Path, folder: str | Path, *, overwrite: bool = False) -> None:
    """Copy a specialist, and replace one that samtune wrote before; each file is written whole or not at all.

    Args:
        path: a run folder or its specialist/ folder.
        folder: created if necessary.
        overwrite: also replace files that samtune did not write, or that were changed since.

    Raises:
        WeightsError: the specialist is missing or damaged.
        OutputError: a file exists that samtune may not replace, or cannot be written.
    """
    source, target = specialist_folder(path), Path(folder)
    check_tensor_file(source / TENSOR_FILE, read_card(source))
    if target.is_dir() and target.samefile(source):
        return
    files = [file for name in (TENSOR_FILE, CONFIG_FILE, CARD_FILE) if (file := source / name).is_file()]
    out = saving_to(target, overwrite=overwrite, inputs=files)
    for file in files:
        with out.whole(file.name, shared=False) as partial:
            shutil.copyfile(file, partial)
