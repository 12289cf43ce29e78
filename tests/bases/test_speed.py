"""A guard against slow paths, by ratio to the library's own encoder in the same run; never by absolute time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
import torch

from tests.tiny import tiny_library, tiny_sam

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SHAPE = {"image_size": 320, "window_size": 7, "hidden_size": 96}
BOUND = 1.5
"""Generous: it is there for a path that computes or copies twice, not for noise."""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One thread, whose processor time does not depend on what else the machine does."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ratio(ours: Callable[[], object], theirs: Callable[[], object]) -> float:
    """Least processor time of five turns each, A B A B, after one that is not counted."""
    least = [float("inf"), float("inf")]
    for turn in range(6):
        for place, run in enumerate((ours, theirs)):
            start = time.thread_time()
            run()
            if turn:
                least[place] = min(least[place], time.thread_time() - start)
    return least[0] / least[1]


@pytest.mark.parametrize("learns", [False, True], ids=["forward", "forward and backward"])
def test_the_encoder_is_not_slower_than_the_librarys(learns: bool) -> None:
    library, base = tiny_library(**SHAPE), tiny_sam(**SHAPE)
    pixels = torch.randn(1, 3, 320, 320, generator=torch.Generator().manual_seed(1))
    for model in (library, base):
        for name, parameter in model.named_parameters():
            parameter.requires_grad_(learns and name.endswith("qkv.weight"))

    def turn(encode: Callable[[torch.Tensor], torch.Tensor]) -> None:
        out = encode(pixels)
        if learns:
            out.sum().backward()  # type: ignore[no-untyped-call]

    found = ratio(
        lambda: turn(lambda x: base.encode(x).embedding),
        lambda: turn(lambda x: library.vision_encoder(x).last_hidden_state),
    )
    assert found <= BOUND, f"{found:.2f} times the library's time"


def test_the_stream_lies_as_the_norms_read_it() -> None:
    base = tiny_sam()
    laid: list[bool] = []
    for block in base.vision_encoder.blocks:
        block.register_forward_pre_hook(lambda _, given: laid.append(given[0].is_contiguous()))
    base.encode(torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(1)))
    assert laid
    assert all(laid)
