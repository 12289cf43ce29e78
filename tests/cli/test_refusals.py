"""A specialist that does not match is refused with both sides named and exit code 2."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from tests.cli.conftest import Run, write_specialist
from tests.tiny import tiny_library

TENSORS, CONFIG = "adapter_model.safetensors", "adapter_config.json"


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    """Change the tensors and keep the digest right, so that only the change itself can be refused."""
    tensors = load_file(folder / TENSORS)
    change(tensors)
    save_file(tensors, folder / TENSORS)
    digest = hashlib.sha256((folder / TENSORS).read_bytes()).hexdigest()
    configure(folder, adapter_sha256=digest)


def configure(folder: Path, **values: object) -> None:
    content = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps(content | values))


def corrupted(folder: Path) -> None:
    content = bytearray((folder / TENSORS).read_bytes())
    content[-5] ^= 255
    (folder / TENSORS).write_bytes(content)


def truncated(folder: Path) -> None:
    (folder / TENSORS).write_bytes((folder / TENSORS).read_bytes()[:-8])


def other_base(folder: Path) -> None:
    tiny_library(seed=5).save_pretrained(folder.parent / "other")
    configure(folder, base=str(folder.parent / "other"))


def missing_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.clear())


def extra_tensor(folder: Path) -> None:
    rewrite(folder, lambda tensors: tensors.update(stranger=torch.zeros(2)))


def other_classes(folder: Path) -> None:
    configure(folder, class_names=["a", "b"])


def other_format(folder: Path) -> None:
    configure(folder, format_version=99)


def unknown_method(folder: Path) -> None:
    configure(folder, method="magic")


def no_tensors(folder: Path) -> None:
    (folder / TENSORS).unlink()


CASES = [
    (corrupted, ["sha256", "damaged"]),
    (truncated, ["sha256", "damaged"]),
    (other_base, ["trained on the base", "other", "--base"]),
    (missing_tensor, ["exactly the 1 tensors", "got 0", "missing ["]),
    (extra_tensor, ["exactly the", "unknown ['stranger']"]),
    (other_classes, ["to have the shape", "config and tensors do not belong together"]),
    (other_format, ["format version 1", "99"]),
    (unknown_method, ["magic", "ptsam"]),
    (no_tensors, [f"No {TENSORS} in"]),
]


@pytest.mark.parametrize(("damage", "words"), CASES, ids=[case[0].__name__ for case in CASES])
@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_specialist_that_does_not_match_is_refused(
    run: Run,
    base: Path,
    samples: Path,
    tmp_path: Path,
    damage: Callable[[Path], None],
    words: list[str],
    verb: str,
) -> None:
    folder = write_specialist(base, tmp_path / "adapter", method="ptsam")
    damage(folder)
    if verb == "predict":
        answer = run("predict", folder, samples / "images", "--out", tmp_path / "out", "--json")
    elif damage is other_classes:
        answer = run("evaluate", folder, samples / "images", samples / "masks", "--json")
        words = ["2"]
    else:
        answer = run("evaluate", folder, samples / "images", samples / "masks", "--json")
    assert answer.code == 2
    assert answer.out == ""
    sentence = answer.err[answer.err.index("samtune: ") :]
    assert all(word in sentence for word in words), sentence
    assert "Traceback" not in answer.err
    assert not (tmp_path / "out").exists()
