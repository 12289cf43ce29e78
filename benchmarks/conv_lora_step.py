"""One training step that touches the encoder: our Conv-LoRA against LoRA on qkv over transformers' own `SamModel`.

    python benchmarks/conv_lora_step.py --size base [--side 1024] [--device cpu] [--bf16]

Rows: stock LoRA by HF PEFT (the reference; `pip install peft`, for this benchmark alone), the same written by hand
(the reference where PEFT is not there), our LoRA and our Conv-LoRA in float32 and, where the device has it, with the
encoder in bfloat16. Each step is pixels -> encoder -> mask decoder -> BCE + Dice at the logits' size -> gradients ->
AdamW, and trains rank 3 on every qkv and the mask decoder.
"""

from __future__ import annotations

import argparse
import importlib.util
import sys
from typing import Any

import torch
import torch.nn.functional as F
from measure import Contender, Run, main, parser, pixels_of, stock_model
from torch import Tensor, nn

from samtune.bases import keep_frozen_low, recording
from samtune.bases.precision import has_fast_bf16
from samtune.bases.sam1.model import Sam1
from samtune.losses import segmentation_loss
from samtune.methods import adapt, make_method, penalty, trainable

RANK, ALPHA = 3, 32.0


class PlainLoRA(nn.Module):
    """y = W x + b + (alpha / R) B A x, as anyone would write it."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.linear = linear
        self.a, self.b = nn.Linear(linear.in_features, RANK, False), nn.Linear(RANK, linear.out_features, False)
        nn.init.zeros_(self.b.weight)

    def forward(self, tokens: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        update: Tensor = self.b(self.a(tokens))
        return self.linear(tokens) + ALPHA / RANK * update


def labels_of(args: argparse.Namespace) -> Tensor:
    """Random label maps at the logits' size."""
    side = args.side // 4
    return (torch.rand(args.batch, side, side, generator=torch.Generator().manual_seed(2)) > 0.7).to(
        args.device, torch.uint8
    )


def step_of(parameters: list[nn.Parameter], loss_of: Any) -> Run:
    """One optimiser step."""
    optimiser = torch.optim.AdamW(parameters, lr=1e-4)

    def run() -> None:
        loss_of().backward()
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    return run


def stock(args: argparse.Namespace, *, peft: bool) -> Run:
    """LoRA over the library's model, trained as its documentation trains."""
    model = stock_model(args.size, args.side)
    model.mask_decoder.requires_grad_(True)
    if peft:
        from peft import LoraConfig, get_peft_model

        config = LoraConfig(r=RANK, lora_alpha=ALPHA, target_modules=["qkv"], modules_to_save=["mask_decoder"])
        model = get_peft_model(model, config)
    else:
        for layer in model.vision_encoder.layers:
            layer.attn.qkv = PlainLoRA(layer.attn.qkv)
    model = model.to(args.device).train()
    pixels, labels = pixels_of(args), labels_of(args)
    box = torch.tensor([0.0, 0.0, args.side, args.side], device=args.device).expand(args.batch, 1, 4)

    def loss_of() -> Tensor:
        masks = model(pixel_values=pixels, input_boxes=box, multimask_output=False).pred_masks
        return segmentation_loss(masks[:, 0], labels, "bce_dice")

    return step_of([parameter for parameter in model.parameters() if parameter.requires_grad], loss_of)


def ours(args: argparse.Namespace, method: str, dtype: torch.dtype, *, recompute: bool = False) -> Run:
    """Our training step, as `samtune train` makes it."""
    model = Sam1(stock_model(args.size, args.side), name=args.size, sha256="").requires_grad_(False)
    model = adapt(model, make_method(method)).to(args.device)
    model.encoder_dtype = dtype
    keep_frozen_low(model)
    model.encoder.recompute = recompute
    model.train()
    pixels, labels = pixels_of(args), labels_of(args)

    def loss_of() -> Tensor:
        with recording() as outputs:
            logits = model.decode(model.encode(pixels))
        return segmentation_loss(logits, labels, "bce_dice") + penalty(outputs)

    return step_of(list(trainable(model).values()), loss_of)


def contenders(args: argparse.Namespace) -> dict[str, Contender]:
    """What this machine can run; PEFT's row first where it is installed."""
    rows: dict[str, Contender] = {}
    if importlib.util.find_spec("peft"):
        rows["stock_lora_peft"] = lambda a: stock(a, peft=True)
    else:
        print("No row for HF PEFT: it is not installed (pip install peft).", file=sys.stderr)
    rows["stock_lora_by_hand"] = lambda a: stock(a, peft=False)
    dtypes = {"fp32": torch.float32}
    if args.bf16 or has_fast_bf16(torch.device(args.device)):
        dtypes["bf16"] = torch.bfloat16
    for name, dtype in dtypes.items():
        for method in ("lora", "conv_lora"):
            rows[f"ours_{method}_{name}"] = lambda a, m=method, d=dtype: ours(a, m, d)  # type: ignore[misc]
        rows[f"ours_conv_lora_{name}_recompute"] = lambda a, d=dtype: ours(a, "conv_lora", d, recompute=True)  # type: ignore[misc]
    return rows


def check_equal() -> None:
    """The hand-written peer must be what it says: at the start it is the stock model."""
    layer = PlainLoRA(nn.Linear(4, 6))
    tokens = torch.randn(2, 4)
    assert torch.equal(layer(tokens), F.linear(tokens, layer.linear.weight, layer.linear.bias))


if __name__ == "__main__":
    options = parser(__doc__)
    options.add_argument("--bf16", action="store_true", help="measure bfloat16 where it is no faster, too")
    given = options.parse_args()
    check_equal()
    main("conv_lora_step", contenders(given), given)
