"""Cells on disk: one JSON per cell, named by a digest of everything that its numbers depend on."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from samtune.compare.settings import Cell
from samtune.files import make_folder, write_json
from samtune.metrics.rows import STOCK, UNET
from samtune.system import command_line, versions

if TYPE_CHECKING:
    from collections.abc import Mapping

    from samtune.compare.isolation import Outcome
    from samtune.compare.job import Job
    from samtune.compare.sharing import Division

FORMAT = 1
DONE, FAILED = "done", "failed"


@dataclass(frozen=True)
class CellStore:
    """The cells of a comparison.

    Attributes:
        folder: `DIR/cells`.
    """

    folder: Path

    def file(self, cell: Cell, digest: str) -> Path:
        """Return the path of a cell, which need not exist."""
        return self.folder / f"{cell.name}-{digest[:12]}.json"

    def read(self, cell: Cell, digest: str) -> dict[str, Any] | None:
        """Return a stored cell; None where it is missing, damaged or of another format."""
        try:
            record: dict[str, Any] = json.loads(self.file(cell, digest).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        return record if record.get("format") == FORMAT and record.get("digest") == digest else None

    def write(self, cell: Cell, record: dict[str, Any]) -> Path:
        """Write a cell whole or not at all."""
        make_folder(self.folder)
        file = self.file(cell, record["digest"])
        write_json(file, record, shared=True)
        return file

    def others(self, current: set[Path]) -> list[dict[str, Any]]:
        """Return the stored cells in other files than these; damaged files are left out."""
        records = []
        for file in sorted(self.folder.glob("*.json")):
            if file not in current:
                try:
                    records.append(json.loads(file.read_text(encoding="utf-8")))
                except (OSError, ValueError):
                    continue
        return [record for record in records if isinstance(record, dict) and "config" in record]


def configuration(job: Job, cell: Cell, base_sha256: str, test_fingerprint: str) -> dict[str, Any]:
    """Return everything that a cell's numbers depend on, as JSON values."""
    settings = job.settings
    config: dict[str, Any] = {
        "row": cell.row,
        "shots": cell.shots,
        "seed": cell.seed,
        "test": test_fingerprint,
        "class_names": list(job.dataset.class_names),
    } | {name: settings.more[name] for name in ("task",) if name in settings.more}
    if cell.row != STOCK:
        train, val = job.support(cell)
        config |= {"train": _fingerprint(job, train), "val": _fingerprint(job, val)}
    if cell.row in (STOCK, *settings.trained_rows):
        config |= {"base_sha256": base_sha256, "side": settings.side}
    if cell.row in settings.trained_rows:
        training = settings.training(cell)
        names = ("method", "method_fields", "updates", "val", "device", *settings.more)
        config |= {name: getattr(training, name) for name in names}
    if cell.row == UNET:
        config["updates"] = settings.updates
    plain: dict[str, Any] = json.loads(json.dumps(config, sort_keys=True, default=list))
    return plain


def digest_of(config: dict[str, Any]) -> str:
    """Return the SHA-256 of a configuration, in hexadecimal."""
    return hashlib.sha256(json.dumps([FORMAT, config], sort_keys=True).encode()).hexdigest()


def record_of(cell: Cell, config: dict[str, Any], base: str, outcome: Outcome, division: Division) -> dict[str, Any]:
    """Return the record of a cell: configuration, versions, command line, machine, and result or error."""
    record: dict[str, Any] = {
        "format": FORMAT,
        "digest": digest_of(config),
        "row": cell.row,
        "shots": cell.shots,
        "seed": cell.seed,
        "base": base,
        "config": config,
        "versions": versions(),
        "commit": commit(),
        "command": command_line(),
        "machine": machine() | {"threads": division.threads, "cells_at_once": division.jobs},
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
    }
    if outcome.error is not None:
        error = {"kind": type(outcome.error).__name__, "text": str(outcome.error), "trace": outcome.trace}
        return record | {"status": FAILED, "error": error}
    record |= {"status": DONE, "error": None} | outcome.value
    return record


@cache
def commit() -> str | None:
    """Return the commit that samtune runs from, with "+" for a changed checkout; None for an installed package."""
    root = Path(__file__).resolve().parents[3]
    if not (root / ".git").exists() or not (root / "pyproject.toml").is_file():
        return None
    try:
        outputs = [
            subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=True
            ).stdout
            for words in (["rev-parse", "HEAD"], ["status", "--porcelain", "--untracked-files=no"])
        ]
    except (OSError, subprocess.SubprocessError):
        return None
    return outputs[0].strip() + ("+" if outputs[1].strip() else "")


@cache
def machine() -> dict[str, Any]:
    """Return the machine that times and memory were measured on."""
    import torch

    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"system": sys.platform, "processor": platform.machine(), "gpu": gpu}


def _fingerprint(job: Job, indices: tuple[int, ...]) -> str | None:
    return job.dataset.subset(indices).fingerprint() if indices else None


def cell_bytes(row: str, records: Mapping[Cell, dict[str, Any]], estimated_bytes: Mapping[str, int]) -> int:
    """Return the memory in bytes that a cell of a row may take: 1.25 times the measured peak, else the estimate.

    Args:
        row: the row.
        records: cell -> its record, of the cells computed so far.
        estimated_bytes: row -> estimated memory of a cell.
    """
    peaks = [
        record["memory_bytes"]["process_peak"] or 0
        for cell, record in records.items()
        if cell.row == row and record["status"] == DONE
    ]
    measured = int(1.25 * max(peaks, default=0))
    return measured or estimated_bytes[row]
