"""`samtune methods`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from samtune.cli.options import Json
from samtune.cli.output import emit, table
from samtune.errors import MethodError, SamTuneError
from samtune.printable import one_line

if TYPE_CHECKING:
    from samtune.bases import Base


SHARE = "share: trained parameters over all parameters of the adapted model, as in Conv-LoRA's tables."


def methods(
    base: Annotated[
        str,
        typer.Option("--base", metavar="NAME", help="Base model that is counted; no weights are needed."),
    ] = "facebook/sam-vit-base",
    classes: Annotated[int, typer.Option("--classes", min=1, max=254, help="Number of classes.")] = 1,
    as_json: Json = False,
) -> None:
    """List the methods with their source, numbers of trained parameters, and whether they change the encoder."""
    from samtune.methods import METHODS

    rows, refusals = [], []
    for name in METHODS:
        try:
            rows.append(describe(name, base, classes) | {"variants": variants(name, base, classes)})
        except Exception as error:  # foreign code of an installed package
            if name in METHODS.own and not isinstance(error, MethodError):
                raise
            reason = str(error) if isinstance(error, SamTuneError) else f"{type(error).__name__}: {error}"
            refusals.append({"name": name, "source": METHODS[name].source, "reason": one_line(reason)})
    header = ("method", "trained", "in encoder", "share", "encoder")
    cells = [
        (
            row["name"],
            f"{row['trainable']:,}",
            f"{row['encoder_trainable']:,}",
            f"{100 * row['share']:.3f} %",
            "changed" if row["touches_encoder"] else "frozen",
        )
        for row in rows
    ]
    sources = "\n".join(f"{row['name']}: {row['source']}" for row in rows)
    others = "\n".join(
        f"{row['name']} with {', '.join(f'{key}={value}'.lower() for key, value in other['fields'].items())}: "
        f"{other['trainable']:,} trained, {other['encoder_trainable']:,} in encoder ({other['what']})"
        for row in rows
        for other in row["variants"]
    )
    others += "".join(f"\n{row['name']} does not fit: {row['reason']}" for row in refusals)
    text = f"On {base} ({rows[0]['total']:,} parameters):\n{table(header, cells)}\n{SHARE}\n\n{others}\n\n{sources}"
    emit({"base": base, "num_classes": classes, "methods": rows, "refused": refusals}, text, as_json=as_json)


def variants(name: str, base: str, num_classes: int) -> list[dict[str, Any]]:
    """Return the other published forms of a method, each with "fields", "what" and numbers of parameters."""
    from samtune.methods import METHODS

    rows = []
    for variant in getattr(METHODS[name], "variants", ()):
        _, counted = count(name, base, num_classes, **variant.fields)
        numbers = {key: counted[key] for key in ("trainable", "encoder_trainable")}
        rows.append({"fields": variant.fields, "what": variant.what} | numbers)
    return rows


def describe(name: str, base: str, num_classes: int, **fields: Any) -> dict[str, Any]:
    """Return a method's name, source, numbers of parameters, and whether it changes the encoder."""
    from samtune.methods import METHODS, touches_encoder

    model, counts = count(name, base, num_classes, **fields)
    return {"name": name, "source": METHODS[name].source} | counts | {"touches_encoder": touches_encoder(model)}


def count(name: str, base: str, num_classes: int, **fields: Any) -> tuple[Base, dict[str, Any]]:
    """Adapt a base without weights, and count its parameters.

    Returns:
        The adapted base, and "trainable" parameters, those of them in the encoder, the "total" of the base and the
        "adapted_total" of the adapted model, of which "share" is trained. The matrix of the positional encoding is in
        neither total: it was drawn and never trained, is a buffer in Meta's code, and in none of the published counts.
    """
    from samtune.bases import build
    from samtune.methods import adapt, make_method, trainable

    model = build(base)
    total = _num_parameters(model)
    adapt(model, make_method(name, **fields), num_classes=num_classes)
    counts = {key: parameter.numel() for key, parameter in trainable(model).items()}
    num = sum(counts.values())
    return model, {
        "trainable": num,
        "encoder_trainable": sum(p.numel() for p in model.encoder.parameters() if p.requires_grad),
        "total": total,
        "adapted_total": _num_parameters(model),
        "share": num / _num_parameters(model),
    }


def _num_parameters(model: Base) -> int:
    constants = sum(parameter.numel() for parameter in model.constants())
    return sum(parameter.numel() for parameter in model.parameters()) - constants
