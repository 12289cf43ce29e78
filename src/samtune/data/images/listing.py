"""Lists of the image files below a folder; each link is followed once, and what cannot be read is reported."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from samtune.data.images.decoding import IMAGE_SUFFIXES
from samtune.errors import DataError
from samtune.types import Problem

SYSTEM_FILES = frozenset({"thumbs.db", "desktop.ini", "classes.txt", "dataset.yaml", "readme.md", "split.json"})
"""Files that stand beside images without being images, in lower case; they are skipped without a note."""

HIDDEN_FOLDERS = ("__MACOSX", "@eaDir", "$RECYCLE.BIN", "__pycache__")
"""Names that systems give to folders of their own; entries that begin so are skipped, as are hidden ones."""


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
    """The state of a walk through one folder."""

    root: Path
    files: list[Path] = field(default_factory=list)
    strays: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    links: list[Path] = field(default_factory=list)
    again: list[str] = field(default_factory=list)
    visited: set[tuple[int, int]] = field(default_factory=set)

    def folder(self, folder: Path) -> None:
        """List a folder and its real sub-folders; links to folders are collected, to be listed after all real ones."""
        stack = [folder]
        while stack:
            current = stack.pop()
            try:
                stat = current.stat()
                if (stat.st_dev, stat.st_ino) in self.visited:
                    self.again.append(current.relative_to(self.root).as_posix())
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
        """Record one entry; return it if it is a real sub-folder, which is still to be listed."""
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
            self.strays.append(path.relative_to(self.root).as_posix())
        return None


def find_images_below(folder: Path) -> Listing:
    """List the image files below a folder.

    Links to folders are followed, each target once, so that a loop of links ends. Hidden files and those that systems
    leave behind (Thumbs.db, __MACOSX) are skipped without a note.
    """
    walk = _Walk(folder)
    walk.folder(folder)
    while walk.links:
        walk.folder(walk.links.pop(0))
    notes = []
    if walk.strays:
        shown = ", ".join(walk.strays[:3]) + (", ..." if len(walk.strays) > 3 else "")
        notes.append(f"{folder.name}: {len(walk.strays)} file(s) that are not images were left out ({shown})")
    if walk.again:
        shown = ", ".join(walk.again[:3]) + (", ..." if len(walk.again) > 3 else "")
        notes.append(
            f"{folder.name}: {len(walk.again)} link(s) to folders that were read already were skipped ({shown})"
        )
    return Listing(sorted(walk.files), walk.problems, notes)


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
