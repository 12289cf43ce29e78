"""Images that a run trained or validated on, on which scores are optimistic."""

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
        notes: list that gets a sentence where the images are not known.

    Raises:
        ConfigError: `unseen` is set, but the images are not known.
        DataError: the record of the split is damaged.
    """
    run = run_of(path)
    if run is not None and run.split.is_file():
        return run.seen_ids()
    if unseen:
        raise ConfigError(
            f"Expected a run folder for --unseen, whose {SPLIT_FILE} lists the images that training used, got {path} "
            "without that file; pass the run folder."
        )
    notes.append(f"Whether training used these images is not known: {path} is not in a run folder with a {SPLIT_FILE}.")
    return frozenset()


def seen_notes(num_seen: int, num_images: int, *, unseen: bool) -> list[str]:
    """Return a sentence on images that training used, if there are any.

    Args:
        num_seen: number of images that the run trained or validated on.
        num_images: number of scored images.
        unseen: whether these images were left out.
    """
    if not num_seen:
        return []
    if unseen:
        return [f"{num_seen} images that the run trained or validated on were left out."]
    return [
        f"WARNING: the run trained or validated on {num_seen} of these {num_images} images, so the scores are "
        "optimistic; --unseen leaves them out."
    ]
