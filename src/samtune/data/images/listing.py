"""Listing of the image files below a folder, with links followed once each and unreadable folders reported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from samtune.data.images.decoding import IMAGE_SUFFIXES
from samtune.errors import DataError
from samtune.text import count
from samtune.types import Problem

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "classes.txt", "dataset.yaml", "readme.md", "split.json"})
"""Files that are often stored beside images, in lower case; they are skipped without a note."""

HIDDEN_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "__pycache__")
"""First parts of the names of folders that operating systems create; these are skipped, as are hidden ones."""


@dataclass(frozen=True)
class Listing:
    """The image files below one folder.

    Attributes:
        files: image files, sorted by path.
        problems: folders and links that cannot be read; each stops training.
        notes: sentences about files that were left out.
    """

    files: list[Path]
    problems: list[Problem]
    notes: list[str]


@dataclass
class _Walk:
    """The state of a walk through one folder.

    Attributes:
        root: the folder.
        files: image files.
        others: files that are not images, relative to `root`.
        problems: folders and links that cannot be read.
        links: links to folders that are still to be listed.
        repeated: links to folders that were listed before, relative to `root`.
        visited: device and inode of each listed folder.
    """

    root: Path
    files: list[Path] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)

    def folder(self, folder: Path) -> None:
        """List a folder and its sub-folders; links to folders are collected, to be listed after all sub-folders."""
        stack = [folder]
        while stack:
            current = stack.pop()
            try:
                stat = current.stat()
                if (stat.st_dev, stat.st_ino) in self.visited:
                    self.repeated.append(current.relative_to(self.root).as_posix())
                    continue
                self.visited.add((stat.st_dev, stat.st_ino))
                with os.scandir(current) as scan:
                    entries = sorted(scan, key=lambda entry: entry.name)
                stack += reversed([path for entry in entries if (path := self._entry(entry)) is not None])
            except OSError as error:
                what = f"is a folder that cannot be read ({error.strerror or error})"
                mend = "make it readable, or move it away"
                self.problems.append(Problem("unreadable", str(current), what, mend, True))

    def _entry(self, entry: os.DirEntry[str]) -> Path | None:
        """Record one entry; return it if it is a sub-folder, which is still to be listed."""
        path = Path(entry.path)
        if entry.name.startswith((".", *HIDDEN_FOLDERS)):
            return None
        if entry.is_symlink() and not path.exists():
            what = f"is a link to {os.readlink(path)}, which does not exist"
            self.problems.append(Problem("unreadable", str(path), what, "restore the target, or remove the link", True))
        elif entry.is_dir(follow_symlinks=False):
            return path
        elif entry.is_dir():
            self.links.append(path)
        elif entry.is_file() and path.suffix.lower() in IMAGE_SUFFIXES:
            self.files.append(path)
        elif entry.name.lower() not in SYSTEM_FILES:
            self.others.append(path.relative_to(self.root).as_posix())
        return None


def find_images_below(folder: Path) -> Listing:
    """List the image files below a folder.

    Links to folders are followed, each target once, so that a loop of links ends. Hidden files and those of operating
    systems (Thumbs.db, __MACOSX) are skipped without a note.
    """
    walk = _Walk(folder)
    walk.folder(folder)
    while walk.links:
        walk.folder(walk.links.pop(0))
    notes = []
    if walk.others:
        notes.append(
            f"{folder.name}: left out {count(len(walk.others), 'file')} in no image format ({_first(walk.others)})"
        )
    if walk.repeated:
        num_links = count(len(walk.repeated), "link")
        notes.append(f"{folder.name}: skipped {num_links} to folders already listed ({_first(walk.repeated)})")
    return Listing(sorted(walk.files), walk.problems, notes)


def _first(names: list[str]) -> str:
    """Return the first three names, separated by commas, and "..." if there are more."""
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")


def list_images(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the image files below a folder, sorted by path, and sentences about files that were left out.

    Raises:
        DataError: a sub-folder or a link cannot be read.
    """
    listing = find_images_below(folder)
    if listing.problems:
        first = listing.problems[0]
        more = f" (and {len(listing.problems) - 1} more)" if len(listing.problems) > 1 else ""
        raise DataError(f"{first.file}: {first.what}{more}; {first.mend}")
    return listing.files, listing.notes
