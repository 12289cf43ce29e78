"""The mask decoder on features that are there already: decoding alone, or an update of learned tokens and its weights.

    python benchmarks/decoder.py [--size base] [--batch 4] [--what decode|tokens|weights]

"tokens" is an update as PTSAM's, which learns prompt tokens before a frozen decoder; "weights" trains the decoder too.
Rows: transformers' own decoder with the same tokens (the reference), ours with the image's cells projected, and ours
as it is, which moves the projections to the tokens where that is cheaper (`few_tokens.py`). On a GPU it
never is, so the last two rows are the same there.
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING
from unittest.mock import patch

import torch
from measure import Contender, Run, main, parser, stock_model
from torch import Tensor, nn

from samtune.bases.kernels import few_tokens
from samtune.bases.sam1.model import Sam1
from samtune.losses import segmentation_loss

if TYPE_CHECKING:
    from collections.abc import Callable

TOKENS, CHANNELS = 8, 256
"""Learned prompt tokens, PTSAM's number (SAM's five own stand beside them), and their length."""


def run_of(args: argparse.Namespace, decoder: nn.Module, logits_of: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Run:
    """A call to time.

    Args:
        args: of the command line.
        decoder: whose weights are trained if asked for.
        logits_of: embedding (B, C, H, W), positions (1, C, H, W) and tokens (B, 1, T, C) -> logits (B, 1, 4 H, 4 W).
    """
    draw = torch.Generator().manual_seed(1)
    cells = args.side // 16
    embedding = torch.randn(args.batch, CHANNELS, cells, cells, generator=draw).to(args.device)
    positions = torch.randn(1, CHANNELS, cells, cells, generator=draw).to(args.device)
    tokens = torch.randn(1, 1, TOKENS, CHANNELS, generator=draw).to(args.device).requires_grad_()
    labels = (torch.rand(args.batch, 4 * cells, 4 * cells, generator=draw) > 0.7).to(args.device, torch.uint8)
    learned = [tokens]
    if args.what == "weights":
        learned += decoder.requires_grad_(True).parameters()
    optimiser = torch.optim.AdamW(learned, lr=1e-3)

    def decode() -> Tensor:
        return logits_of(embedding, positions, tokens.expand(args.batch, -1, -1, -1))

    def update() -> None:
        segmentation_loss(decode(), labels, "bce_dice").backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return torch.inference_mode()(decode) if args.what == "decode" else update


def stock(args: argparse.Namespace) -> Run:
    """The library's decoder."""
    decoder = stock_model(args.size, args.side).mask_decoder.to(args.device)

    def logits_of(embedding: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
        logits: Tensor = decoder(
            embedding, positions.expand(len(embedding), -1, -1, -1), tokens, torch.zeros_like(embedding), False
        )[0]
        return logits[:, 0]

    return run_of(args, decoder, logits_of)


def ours(args: argparse.Namespace, *, always_project: bool = False) -> Run:
    """Our decoder over the same weights."""
    base = Sam1(stock_model(args.size, args.side), name=args.size, sha256="").requires_grad_(False)
    decoder = base.mask_decoder.to(args.device)

    def logits_of(embedding: Tensor, positions: Tensor, tokens: Tensor) -> Tensor:
        return decoder.masks(embedding, positions, tokens, (0,))[0][:, 0]

    run = run_of(args, decoder, logits_of)

    def patched() -> None:
        with patch.multiple(few_tokens, FEW=0, FEW_BESIDE_FROZEN=0):
            run()

    return patched if always_project else run


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--what", choices=["decode", "tokens", "weights"], default="tokens")
    options.set_defaults(batch=4)
    given = options.parse_args()
    rows: dict[str, Contender] = {
        "stock": stock,
        "ours_projected": lambda args: ours(args, always_project=True),
        "ours": ours,
    }
    main(f"decoder-{given.what}", rows, given)
