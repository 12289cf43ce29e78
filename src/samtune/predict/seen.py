"""Images that a run trained or validated on: scores on them flatter."""

from __future__ import annotations

from typing import TYPE_CHECKING

from samtune.errors import ConfigError
from samtune.run_folder import SPLIT_FILE, run_of

if TYPE_CHECKING:
    from pathlib import Path


def find_seen(path: str | Path, *, unseen: bool, notes: list[str]) -> frozenset[str]:
    """Return the content ids of the images that a run trained or validated on; empty where they are not known.

    Args:
        path: a run folder or its specialist's folder.
        unseen: whether these images are to be left out.
        notes: a sentence is added where they are not known.

    Raises:
        ConfigError: `unseen`, but they are not known.
        DataError: the record of the split is damaged.
    """
    run = run_of(path)
    if run is not None and run.split.is_file():
        return run.seen_ids()
    if unseen:
        raise ConfigError(
            f"Expected a run folder for --unseen, whose {SPLIT_FILE} lists the images it saw, got {path} "
            "without one; pass the run folder."
        )
    notes.append(f"Whether training saw these images is not known: no {SPLIT_FILE} of a run lies beside {path}.")
    return frozenset()


def seen_notes(num_seen: int, num_images: int, *, unseen: bool) -> list[str]:
    """Return a sentence on images that were seen in training, if any.

    Args:
        num_seen: number of seen images.
        num_images: number of scored images.
        unseen: whether the seen images were left out.
    """
    if not num_seen:
        return []
    if unseen:
        return [f"{num_seen} images that the run trained or validated on were left out."]
    return [
        f"WARNING: {num_seen} of these {num_images} images were trained or validated on, so the scores "
        "flatter; --unseen leaves them out."
    ]
