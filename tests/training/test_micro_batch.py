"""Parts of an update: chosen by the memory there is, and finer where it runs out."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from samtune.errors import ConfigError
from samtune.training import RunFolder, micro_batch
from samtune.training.memory import UpdateMemory
from samtune.training.objective import Objective
from samtune.training.trainer import Trainer
from samtune.training.updater import Batch, Update, Updater
from tests.training.test_interruption import at_call
from tests.training.tiny_run import run


def files(folder: Path) -> tuple[str, bytes]:
    return RunFolder(folder).history.read_text(), (folder / "specialist" / "adapter_model.safetensors").read_bytes()


def parts_of(folder: Path) -> int:
    return int(json.loads((folder / "metrics.json").read_text())["plan"]["accumulate"])


def test_parts_follow_the_memory_there_is(
    prepared: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    run(prepared, "roomy", method="lora", updates=2)
    assert parts_of(prepared / "roomy") == 1
    monkeypatch.setattr(micro_batch, "count_memory", lambda *a, **k: UpdateMemory(1_000_000, 900_000))
    monkeypatch.setattr(micro_batch, "available_bytes", lambda device: 2_600_000)
    with caplog.at_level(logging.INFO, logger="samtune"):
        run(prepared, "tight", method="lora", updates=2)
    assert any("each update is computed in 2 parts of 2 images" in record.message for record in caplog.records)
    assert parts_of(prepared / "tight") == 2
    run(prepared, "asked", method="lora", updates=2, accumulate=2)
    assert files(prepared / "tight") == files(prepared / "asked")


def test_a_resumed_run_keeps_its_parts(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole: dict[str, Any] = {"method": "lora", "updates": 4, "evaluations": 1}
    run(prepared, "kept", accumulate=2, **whole)
    with monkeypatch.context() as patch:
        patch.setattr("samtune.training.run.choose_parts", lambda *a, **k: 2)
        patch.setattr(Trainer, "update", at_call(3, Trainer.update))
        run(prepared, "went on", **whole)
    run(prepared, "went on", resume=True, **whole)  # there is memory for all images at once by now
    assert files(prepared / "went on") == files(prepared / "kept")
    assert parts_of(prepared / "went on") == 2


@pytest.mark.parametrize(("method", "fields"), [("conv_lora", {}), ("ts_sam", {"paper": True})])
def test_memory_that_runs_out_gives_the_trace_of_smaller_parts(
    prepared: Path,
    method: str,
    fields: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """From update 2 on more than one image is too much, and of that update the second part fails too, after the first
    has left its gradient, its noise and its running statistics."""
    settings: dict[str, Any] = {"method": method, "method_fields": fields, "updates": 4}
    update = Updater.update

    def cut_at_2(self: Updater, images: Batch, step: int) -> Update:
        self.parts = 1 if step < 2 else 4
        return update(self, images, step)

    with monkeypatch.context() as patch:
        patch.setattr(Updater, "update", cut_at_2)
        run(prepared, f"told-{method}", **settings)

    forward = Objective.forward
    seen: list[int] = []

    def short(self: Objective, inputs: Tensor, labels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        done = forward(self, inputs, labels)
        seen.append(len(inputs))
        if len(seen) in (3, 5):
            raise torch.OutOfMemoryError("injected")
        return done

    monkeypatch.setattr(Objective, "forward", short)
    with caplog.at_level(logging.INFO, logger="samtune"):
        run(prepared, f"short-{method}", **settings)
    assert seen == [4, 4, 4, 2, 2, *[1] * 8]
    assert files(prepared / f"short-{method}") == files(prepared / f"told-{method}")
    told = [record.message for record in caplog.records if "memory ran out" in record.message]
    assert len(told) == 2
    assert "4 parts; each is still of 4 images" in told[1]
    assert parts_of(prepared / f"short-{method}") == 4


def test_a_single_image_that_does_not_fit_is_told(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def never(*arguments: object) -> None:
        raise torch.OutOfMemoryError("injected")

    monkeypatch.setattr(Objective, "forward", never)
    with pytest.raises(ConfigError, match=r"Not even a single image at a time fits .*; take a smaller --side"):
        run(prepared, "never", method="lora", updates=2)
