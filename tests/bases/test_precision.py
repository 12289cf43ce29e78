"""What the encoder computes in: who decides, and what stays as it was."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from samtune.bases import choose_precision, compute_in, keep_frozen_low, load_base
from samtune.bases.sam1.model import Sam1
from samtune.data import to_input
from samtune.data.samples import make_sample
from samtune.errors import ConfigError
from samtune.methods import adapt, fold, make_method
from samtune.system import cpu
from samtune.types import Precision
from tests.tiny import tiny_sam

CPU, BF16, FP32 = torch.device("cpu"), torch.bfloat16, torch.float32


@pytest.mark.parametrize(
    ("maker", "flags", "wanted", "channels", "expected"),
    [
        ("AuthenticAMD", {"avx512f", "avx512_bf16"}, "auto", 768, BF16),
        ("GenuineIntel", {"avx512_bf16", "amx_bf16"}, "auto", 1280, BF16),
        ("GenuineIntel", {"avx512_bf16"}, "auto", 768, FP32),
        ("", {"avx512_bf16"}, "auto", 768, FP32),
        ("AuthenticAMD", {"avx512_bf16"}, "auto", 160, FP32),
        ("GenuineIntel", {"avx512f"}, "auto", 768, FP32),
        ("", set(), "auto", 768, FP32),
        ("AuthenticAMD", {"avx512_bf16"}, "fp32", 768, FP32),
        ("", set(), "bf16", 160, BF16),
    ],
)
def test_auto_takes_bf16_where_it_is_faster_and_the_encoder_is_wide(
    maker: str,
    flags: set[str],
    wanted: Precision,
    channels: int,
    expected: torch.dtype,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cpu, "processor", lambda: {"vendor_id": maker, "flags": " ".join(flags)})
    assert choose_precision(wanted, CPU, channels) == expected


@pytest.mark.parametrize(("has_it", "channels", "expected"), [(True, 768, BF16), (True, 160, FP32), (False, 768, FP32)])
def test_on_a_gpu_too_auto_leaves_a_narrow_encoder_alone(
    has_it: bool, channels: int, expected: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: has_it)
    assert choose_precision("auto", torch.device("cuda"), channels) == expected


def test_an_unknown_precision_is_refused() -> None:
    with pytest.raises(ConfigError, match="auto, fp32 or bf16"):
        choose_precision("fp16", CPU, 768)  # type: ignore[arg-type]


def test_the_embedding_is_float32_and_near() -> None:
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    exact, low = tiny_sam(hidden_size=64), tiny_sam(hidden_size=64)
    compute_in(low, "bf16", CPU)
    assert low.encoder_dtype == BF16
    with torch.inference_mode():
        expected, found = exact.encode(pixels).embedding, low.encode(pixels).embedding
    assert found.dtype == FP32
    assert 0 < (found - expected).norm() <= 1e-2 * expected.norm()


def test_the_image_itself_and_the_neck_are_not_rounded() -> None:
    """Where they were, the embedding of a real image was off by three times as much; see `docs/performance.md`."""
    image, _ = make_sample("cells", seed=1, index=0)
    exact, low = load_base("nano").eval(), load_base("nano").eval()
    assert isinstance(low, Sam1)
    low.encoder_dtype = BF16
    keep_frozen_low(low)
    pixels = to_input(image, exact.spec)[0][None]
    patches: dict[str, Tensor] = {}
    for name, base in (("exact", exact), ("low", low)):
        base.encoder.at("patch").register_forward_hook(
            lambda module, inputs, output, name=name: patches.update({name: output})
        )
    with torch.inference_mode():
        expected, found = (base.encode(pixels).embedding for base in (exact, low))
    torch.testing.assert_close(patches["low"], patches["exact"])  # bfloat16 would be off by 4e-3
    assert {parameter.dtype for parameter in low.vision_encoder.neck.parameters()} == {FP32}
    assert 0 < (found - expected).norm() <= 1e-2 * expected.norm()


@pytest.mark.parametrize(
    "method", ["ptsam", "lora", "conv_lora", "ptsam_encoder", "ts_sam", "sam_adapter", "lst", "ssf"]
)
def test_methods_learn_and_predict_with_low_frozen_weights(method: str) -> None:
    model = adapt(tiny_sam(), make_method(method))
    before = dict(model.named_parameters())
    values = {name: tensor.detach().clone() for name, tensor in before.items()}
    model.encoder_dtype = BF16
    keep_frozen_low(model)
    for name, parameter in model.named_parameters():
        assert parameter is before[name]
        if parameter.requires_grad or not name.startswith("vision_encoder"):
            assert torch.equal(parameter, values[name]), name
    assert model.vision_encoder.blocks[0].attn.qkv.weight.dtype == BF16
    pixels = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    model.train()
    model.decode(model.encode(pixels)).square().mean().backward()  # type: ignore[no-untyped-call]
    learned = [parameter for parameter in model.parameters() if parameter.requires_grad]
    assert any(parameter.grad is not None and parameter.grad.abs().max() > 0 for parameter in learned)
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in learned)
    model.eval().requires_grad_(False)
    with torch.inference_mode():
        logits = fold(model).decode(model.encode(pixels))
    assert logits.dtype == FP32
    assert logits.isfinite().all()
