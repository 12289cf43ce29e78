"""All themes of scenes, in their shares, for training and held out. Run the file to write a contact sheet."""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import cv2
import numpy as np

from body import Mucosa, Skin, Vessels
from materials import Bank
from micro import Bubbles, Cells, Membranes
from scenes import Scene
from surfaces import Aerial, Fibres, Pavement, Plant
from things import Things

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.random import Generator

Array = Any


class Theme(Protocol):
    """A scene; every `render` lays the same kinds out anew."""

    def render(self, rng: Generator, side: int = 256) -> tuple[Array, Array, Array]:
        """Image (side, side, 3), categories and instances (side, side), all uint8."""
        ...


def _plain(rng: Generator, bank: Bank) -> Theme:
    return Scene(rng, bank.plain)


def _objects(rng: Generator, bank: Bank) -> Theme:
    return Things(rng, bank, "object" if bank.objects is not None else None, 2)


def _creatures(rng: Generator, bank: Bank) -> Theme:
    return Things(rng, bank, "object" if bank.objects is not None and rng.random() < 0.7 else "creature", 2)


TRAINING: dict[str, tuple[float, Callable[[Generator, Bank], Theme]]] = {
    "plain": (0.16, _plain),
    "things": (0.26, Things),
    "creatures": (0.12, _creatures),
    "cells": (0.1, Cells),
    "membranes": (0.05, Membranes),
    "mucosa": (0.1, Mucosa),
    "pavement": (0.08, Pavement),
    "vessels": (0.03, Vessels),
    "aerial": (0.04, Aerial),
    "plant": (0.06, Plant),
}
HELD_OUT: dict[str, tuple[float, Callable[[Generator, Bank], Theme]]] = {
    "things": (0.45, Things),
    "objects": (0.2, _objects),
    "bubbles": (0.13, Bubbles),
    "skin": (0.11, Skin),
    "fibres": (0.11, Fibres),
}


def draw_theme(rng: Generator, bank: Bank, name: str | None = None) -> Theme:
    """Draw a scene of a theme; None for any, in their shares."""
    themes = HELD_OUT if bank.held_out else TRAINING
    shares = np.array([share for share, _ in themes.values()])
    name = name or str(rng.choice(list(themes), p=shares / shares.sum()))
    return themes[name][1](rng, bank)


def main() -> None:
    """Write a contact sheet: two layouts and the second one's categories of each scene; print times."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("out", help="PNG to write")
    parser.add_argument("--assets", type=Path)
    parser.add_argument("--held-out", action="store_true")
    parser.add_argument("--theme")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rows", type=int, default=6)
    options = parser.parse_args()
    bank = Bank(999 if options.held_out else 0, options.assets, options.held_out)
    rng, rows, spent, count = np.random.default_rng(options.seed), [], 0.0, 0
    for _ in range(options.rows):
        row: list[Array] = []
        for _ in range(3):
            start = time.process_time()
            theme = draw_theme(rng, bank, options.theme)
            first, second = theme.render(rng), theme.render(rng)
            spent, count = spent + time.process_time() - start, count + 2
            row += [first[0], second[0], np.repeat((second[1] * 60)[..., None], 3, 2)]
        rows.append(np.hstack(row))
    sheet = cv2.resize(np.vstack(rows), None, fx=0.75, fy=0.75, interpolation=cv2.INTER_AREA)
    cv2.imwrite(options.out, sheet[..., ::-1])
    print(f"{1000 * spent / count:.1f} ms an image")


if __name__ == "__main__":
    main()
