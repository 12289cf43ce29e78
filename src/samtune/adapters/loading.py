"""Loading of a specialist onto its base.

Another base, other classes, a missing or an extra tensor, and a damaged file are errors that name both values. Tensors
are safetensors; nothing is pickled.
"""

from __future__ import annotations

import hashlib
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from samtune.adapters.card import TENSOR_FILE, AdapterCard, read_card
from samtune.bases import EMBEDDED, Base, compute_in, is_local, load_base, published
from samtune.errors import ConfigError, MethodError, WeightsError
from samtune.inputs import check_regular
from samtune.methods.seam.adapt import adapt, delta, fold
from samtune.methods.seam.registry import stored_method
from samtune.printable import one_line, shown
from samtune.run_folder import specialist_folder
from samtune.tensor_files import TensorHeader, check_finite, read_headers, tensors_of

if TYPE_CHECKING:
    from torch import Tensor

    from samtune.methods.seam.protocol import Method
    from samtune.types import Precision

MAX_TENSOR_BYTES = 4 * 2**30
"""Size limit of a tensor file; full fine-tuning of ViT-H writes 2.6 GB."""


def load_specialist(
    path: str | Path,
    base: str | Path | Base | None = None,
    *,
    device: torch.device | None = None,
    precision: Precision | None = None,
    folded: bool = False,
) -> tuple[Base, AdapterCard]:
    """Load a specialist onto its base.

    Args:
        path: a run folder or its specialist/ folder.
        base: a base by name, or a `Base` as loaded, which is adapted in place; None for the name in the card.
        device: of the model; None for that of the base.
        precision: of the encoder, see `bases.choose_precision`; None for that of the base.
        folded: fold the method's modules into plain weights if it can; the model can then not be saved or trained.

    Returns:
        The adapted model in eval mode, frozen, and its card.

    Raises:
        WeightsError: the folder is damaged, the base is another, or the tensors are not exactly those expected.
        ConfigError: the precision is unknown.
    """
    folder = specialist_folder(path)
    card = read_card(folder)
    file = folder / TENSOR_FILE
    headers = check_tensor_file(file, card)
    model = base if isinstance(base, Base) else load_base_for(card, base, folder)
    _check_base(model, card, folder)
    method = _check_fit(model, card, headers, folder)
    adapt(model, method, num_classes=card.maps)
    assign_learned(model, dict(tensors_of(file)), str(folder))
    model.spec = replace(model.spec, fit="squash" if card.square else "pad")
    model.requires_grad_(False).eval()
    if folded:
        fold(model)
    device = model.device if device is None else device
    if precision is not None:
        compute_in(model, precision, device)
    return model.to(device), card


def load_base_for(card: AdapterCard, base: str | Path | None, folder: Path) -> Base:
    """Load the base of a specialist.

    A base that only the card names is downloaded only if it is a published one, so that a folder from elsewhere cannot
    make this machine download any model. A base that the user names is downloaded if necessary.

    Args:
        card: of the specialist.
        base: as the user named it; None for the name in the card.
        folder: of the specialist, for messages.

    Raises:
        WeightsError: the base cannot be loaded, or would be downloaded although the user did not name it.
        ConfigError: the card's image size does not fit the base.
    """
    if base is None and card.base not in published() and not is_local(card.base):
        name = one_line(card.base)
        raise WeightsError(
            f"{one_line(str(folder))} needs the base {shown(card.base)}, which is neither on this machine nor one "
            f"that samtune knows ({EMBEDDED}, {', '.join(published())}); if you trust it, pass --base {name} to fetch "
            "it, or --base with the path of a copy."
        )
    return load_base(card.base if base is None else base, card.side)


def check_tensor_file(file: Path, card: AdapterCard) -> dict[str, TensorHeader]:
    """Check that a tensor file has the digest in the card, and return the headers of its tensors.

    Raises:
        WeightsError: the file is missing, too large, damaged or another one.
    """
    if not file.exists():
        raise WeightsError(f"No {TENSOR_FILE} in {file.parent}; copy the specialist again.")
    size = check_regular(file, WeightsError)
    if size > MAX_TENSOR_BYTES:
        raise WeightsError(f"Expected at most {MAX_TENSOR_BYTES:,} bytes in {file}, got {size:,}; copy it again.")
    with file.open("rb") as stream:
        sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
    if sha256 != card.adapter_sha256:
        raise WeightsError(
            f"Expected the sha256 {card.adapter_sha256[:16]} of the config for {file}, got {sha256[:16]}; the file is "
            "damaged or belongs to another run, so copy the whole folder again."
        )
    return read_headers(file, WeightsError)


def _check_base(model: Base, card: AdapterCard, folder: Path) -> None:
    """Check that a base is the one that a specialist was trained on: its weights, image size and pixel statistics.

    Raises:
        WeightsError: it is another.
    """
    if model.sha256 != card.base_sha256:
        raise WeightsError(
            f"{folder} was trained on the base {card.base} (weights sha256 {card.base_sha256[:16]}), got "
            f"{model.name} ({model.sha256[:16]}); pass the base it was trained on with --base."
        )
    if model.spec.image_size != card.side:
        raise WeightsError(f"{folder} was trained at {card.side} pixels, got a base loaded at {model.spec.image_size}.")
    if (model.spec.mean, model.spec.std) != (card.pixel_mean, card.pixel_std):
        raise WeightsError(
            f"{folder} was trained with pixel_mean {card.pixel_mean} and pixel_std {card.pixel_std}, got a base with "
            f"{model.spec.mean} and {model.spec.std}; copy the folder again."
        )


def _check_fit(model: Base, card: AdapterCard, headers: dict[str, TensorHeader], folder: Path) -> Method:
    """Return the method of a card, after checking that the file has exactly its tensors on this base.

    The method is attached to a copy of the base without content, so that a card with huge sizes takes no memory.
    """
    where = one_line(str(folder))
    try:
        method = stored_method(card.method, card.fields)
        with torch.device("meta"):
            hollow = adapt(without_content(model), method, num_classes=card.maps)
    except (ConfigError, MethodError) as error:
        raise WeightsError(f"{where} names a method this samtune cannot build: {error}") from error
    except (RuntimeError, TypeError, ValueError, ArithmeticError) as error:  # sizes that torch cannot even count
        raise WeightsError(f"{where} names a method of impossible size ({one_line(str(error))}).") from error
    _check_headers(delta(hollow), headers, where)
    return method


def without_content(model: Base) -> Base:
    """Copy a model to the meta device: shapes and dtypes without memory."""
    memo: dict[int, Any] = {}
    for tensor in (*model.parameters(), *model.buffers()):
        hollow = torch.empty_like(tensor, device="meta")
        is_parameter = isinstance(tensor, nn.Parameter)
        memo[id(tensor)] = nn.Parameter(hollow, requires_grad=tensor.requires_grad) if is_parameter else hollow
    copied: Base = deepcopy(model, memo)
    return copied


def assign_learned(model: Base, tensors: dict[str, Tensor], where: str) -> None:
    """Copy learned tensors into an adapted model.

    Args:
        model: adapted by the method that `tensors` come from.
        tensors: exactly those of `delta`.
        where: names their source in messages.

    Raises:
        WeightsError: a tensor is missing, unknown, not finite, or of another shape or dtype.
    """
    expected = delta(model)
    headers = {key: TensorHeader(str(t.dtype).removeprefix("torch."), tuple(t.shape)) for key, t in tensors.items()}
    _check_headers(expected, headers, where)
    for key, tensor in tensors.items():
        check_finite(key, tensor, where, WeightsError)
    with torch.no_grad():
        for key, tensor in expected.items():
            tensor.copy_(tensors[key])


def _check_headers(expected: dict[str, Tensor], headers: dict[str, TensorHeader], where: str) -> None:
    """Check names, shapes and dtypes of a file's tensors against those of the method.

    Raises:
        WeightsError: they differ.
    """
    missing, extra = sorted(set(expected) - set(headers)), sorted(set(headers) - set(expected))
    if missing or extra:
        raise WeightsError(
            f"Expected exactly the {len(expected)} tensors its method learns in {where}, got {len(headers)}: "
            f"missing {missing[:3] or 'none'}, unknown {shown(extra[:3]) if extra else 'none'}; the folder is damaged, "
            f"copy it again."
        )
    for key, tensor in expected.items():
        if tuple(tensor.shape) != headers[key].shape:
            raise WeightsError(
                f"Expected {key} in {where} to have the shape {tuple(tensor.shape)} of the config's classes and fields"
                f", got {headers[key].shape}; config and tensors do not belong together."
            )
        dtype = str(tensor.dtype).removeprefix("torch.")
        if dtype != headers[key].dtype:
            raise WeightsError(
                f"Expected {key} in {where} to be {dtype}, got {headers[key].dtype}; converted tensors give other "
                "masks, so use the folder as samtune wrote it."
            )
