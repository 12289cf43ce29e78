"""The image encoder, forward: transformers' own `SamModel` against ours, same weights, same input.

    python benchmarks/encoder.py --size base|large|huge [--side 1024] [--device cpu] [--bf16] [--compile]

Rows: stock float32 with the library's defaults (the reference), stock bfloat16, ours float32, ours bfloat16. The two
bfloat16 rows are left out on a device that is no faster with it, unless --bf16 asks for them. Weights are random (time
and memory do not depend on them); the largest differences of ours from stock float32 are in the JSON.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from measure import Contender, Run, main, parser, pixels_of, stock_model

from samtune.bases import keep_frozen_low
from samtune.bases.precision import has_fast_bf16
from samtune.bases.sam1.model import Sam1


def stock(args: argparse.Namespace, dtype: torch.dtype) -> Run:
    """The library's vision encoder."""
    model = stock_model(args.size, args.side).to(args.device, dtype)
    pixels = pixels_of(args).to(dtype)

    @torch.inference_mode()
    def run() -> Any:
        return model.vision_encoder(pixels).last_hidden_state

    return run


def ours(args: argparse.Namespace, dtype: torch.dtype, *, compiled: bool = False) -> Run:
    """Our encoder over the same weights."""
    base = Sam1(stock_model(args.size, args.side), name=args.size, sha256="").requires_grad_(False)
    base = base.eval().to(args.device)
    base.encoder_dtype = dtype
    keep_frozen_low(base)
    pixels = pixels_of(args)
    encode = torch.compile(base.encode) if compiled else base.encode

    @torch.inference_mode()
    def run() -> Any:
        return encode(pixels).embedding

    return run


def contenders(args: argparse.Namespace) -> dict[str, Contender]:
    """What this machine can run."""
    low, exact = torch.bfloat16, torch.float32
    rows: dict[str, Contender] = {"stock_fp32": lambda a: stock(a, exact), "ours_fp32": lambda a: ours(a, exact)}
    if args.compile:
        rows["ours_fp32_compiled"] = lambda a: ours(a, exact, compiled=True)
    if args.bf16 or has_fast_bf16(torch.device(args.device)):
        rows |= {"stock_bf16": lambda a: stock(a, low), "ours_bf16": lambda a: ours(a, low)}
        if args.compile:
            rows["ours_bf16_compiled"] = lambda a: ours(a, low, compiled=True)
    return rows


def differences(args: argparse.Namespace, names: list[str]) -> dict[str, dict[str, float]]:
    """How far each row's embedding is from stock float32's: largest and mean, relative to its largest and its norm."""
    rows = contenders(args)
    right = rows["stock_fp32"](args)().float()
    found = {}
    for name in names:
        off = rows[name](args)().float() - right
        found[name] = {
            "largest": float(off.abs().max() / right.abs().max()), "norm": float(off.norm() / right.norm())
        }  # fmt: skip
    return found


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--bf16", action="store_true", help="measure bfloat16 where it is no faster, too")
    options.add_argument("--compile", action="store_true", help="measure torch.compile, too")
    given = options.parse_args()
    all_rows = contenders(given)
    wanted = given.only.split(",") if given.only else list(all_rows)
    main("encoder", all_rows, given, lambda: {"difference_from_stock_fp32": differences(given, wanted)})
