"""Generated samples: deterministic, openable, and no threshold solves them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from samtune.data import inspect, make_samples, open_dataset
from samtune.errors import ConfigError

KINDS = ["cells", "cracks", "polyps"]


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_the_same_for_a_seed_and_nested(kind: str, tmp_path: Path) -> None:
    first, more, other = (
        open_dataset(*make_samples(kind, tmp_path / str(i), num=num, seed=seed, size_hw=(96, 128)))
        for i, (num, seed) in enumerate(((2, 0), (3, 0), (2, 1)))
    )
    assert first.fingerprint() == more.subset([0, 1]).fingerprint()
    assert first.fingerprint() != other.fingerprint()
    assert first.image(0).shape == (96, 128, 3)
    assert first.encoding.kind == "binary"


@pytest.mark.parametrize("kind", KINDS)
def test_samples_are_sound_and_no_threshold_solves_them(kind: str, tmp_path: Path) -> None:
    folders = make_samples(kind, tmp_path, num=6, seed=0, size_hw=(128, 128))
    assert not inspect(*folders).stops_training
    dataset = open_dataset(*folders)
    share = dataset.foreground_share()["foreground"]
    assert 0.01 < share < 0.4
    grey = np.stack([dataset.image(i).mean(axis=2) for i in range(len(dataset))])
    truth = np.stack([dataset.labels(i) == 1 for i in range(len(dataset))])
    best = max(
        (found & truth).sum() / (found | truth).sum()
        for level in np.percentile(grey, np.arange(2, 99, 4))
        for found in (grey > level, grey <= level)
    )
    assert best < 0.6


def test_wrong_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cells, cracks, polyps"):
        make_samples("cats", tmp_path, num=1)
    with pytest.raises(ConfigError, match="at least 64"):
        make_samples("cells", tmp_path, num=1, size_hw=(32, 64))
