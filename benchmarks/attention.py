"""The ways to attention with relative positions, for one block of a size: explicit, folded, tiled, FlexAttention.

    python benchmarks/attention.py --size base --block global|window [--backward] [--dtype fp32|bf16] [--device cpu]

`explicit` (the whole bias, as stock does it) is the reference; `flex` is measured on GPUs alone, where torch compiles
it. With --backward a turn is forward and backward, gradients for the bias included.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch
from measure import SIZES, Contender, Run, main, parser

from samtune.bases.kernels.grid_bias import GridBias, explicit, folded, tiled

WINDOW = 14


def block(way: Any, args: argparse.Namespace) -> Run:
    """Random inputs of a block, and a turn of one way."""
    fields = SIZES[args.size]
    channels, heads = fields.get("hidden_size", 768), fields.get("num_attention_heads", 12)
    grid = args.side // 16 if args.block == "global" else WINDOW
    images = args.batch * (1 if args.block == "global" else (-(-args.side // 16 // WINDOW)) ** 2)
    dtype = torch.bfloat16 if args.dtype == "bf16" else torch.float32
    draw = torch.Generator().manual_seed(0)
    fused = torch.randn(images, grid * grid, 3, heads, channels // heads, generator=draw)
    terms = torch.randn(2, images, heads, grid * grid, grid, generator=draw)
    leaves = [tensor.to(args.device, dtype).requires_grad_(args.backward) for tensor in (fused, terms)]

    def run() -> Any:
        query, key, value = leaves[0].permute(2, 0, 3, 1, 4).unbind(0)
        out = way(query, key, value, GridBias(leaves[1][0], leaves[1][1]))
        return torch.autograd.grad(out.sum(), leaves) if args.backward else out

    return run


def flex() -> Any:
    """FlexAttention, compiled, with the bias looked up by its score function."""
    from torch.nn.attention.flex_attention import flex_attention

    compiled = torch.compile(flex_attention)

    def way(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: GridBias) -> Any:
        width = bias.columns.shape[-1]

        def score(logit: Any, image: Any, head: Any, place: Any, cell: Any) -> Any:
            row, column = bias.rows[image, head, place, cell // width], bias.columns[image, head, place, cell % width]
            return logit + row + column

        return compiled(query, key, value, score_mod=score)

    return way


def contenders(args: argparse.Namespace) -> dict[str, Contender]:
    """What this machine can run."""
    rows: dict[str, Contender] = {
        "explicit": lambda a: block(explicit, a),
        "folded": lambda a: block(folded, a),
        "tiled": lambda a: block(tiled, a),
    }
    if args.device.startswith("cuda"):
        rows["flex"] = lambda a: block(flex(), a)
    return rows


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--block", choices=["global", "window"], default="global")
    options.add_argument("--dtype", choices=["fp32", "bf16"], default="fp32")
    options.add_argument("--backward", action="store_true")
    given = options.parse_args()
    kind = f"attention-{given.block}-{given.dtype}{'-backward' if given.backward else ''}"
    main(kind, contenders(given), given)
