"""Rasterise the paths of simple SVG icons: one colour, no transforms."""

from __future__ import annotations

import re
from typing import Any

import cv2
import numpy as np

Array = Any
Point = complex
NUM_ARGUMENTS = {"m": 2, "l": 2, "h": 1, "v": 1, "c": 6, "s": 4, "q": 4, "t": 2, "a": 7, "z": 0}
_TOKEN = re.compile(r"([a-zA-Z])|(-?(?:\d+\.\d*|\.\d+|\d+)(?:[eE][-+]?\d+)?)")


def _commands(path: str) -> list[tuple[str, list[float]]]:
    """Split a path into commands with their arguments; repeated ones are written out."""
    out: list[tuple[str, list[float]]] = []
    tokens = [m.groups() for m in _TOKEN.finditer(path)]
    place, letter = 0, "M"
    while place < len(tokens):
        if tokens[place][0]:
            letter, place = tokens[place][0], place + 1
            if letter in "zZ":
                out.append(("z", []))
                continue
        need = NUM_ARGUMENTS[letter.lower()]
        numbers: list[float] = []
        while len(numbers) < need and place < len(tokens):
            text = tokens[place][1]
            flag = letter in "aA" and len(numbers) in (3, 4)
            if flag and len(text) > 1:  # flags may be written without a space after them
                tokens[place] = (None, text[1:])
                text, place = text[0], place - 1
            numbers.append(float(text))
            place += 1
        out.append((letter, numbers))
        letter = {"m": "l", "M": "L"}.get(letter, letter)
    return out


def _bezier(points: list[Point], num: int = 12) -> list[Point]:
    """Points on a quadratic or cubic curve, without its start."""
    t = np.linspace(0, 1, num + 1)[1:]
    if len(points) == 3:
        a, b, c = points
        return list((1 - t) ** 2 * a + 2 * t * (1 - t) * b + t**2 * c)
    a, b, c, d = points
    return list((1 - t) ** 3 * a + 3 * t * (1 - t) ** 2 * b + 3 * t**2 * (1 - t) * c + t**3 * d)


def _arc(start: Point, end: Point, numbers: list[float], num: int = 16) -> list[Point]:
    """Points on an elliptical arc (SVG 1.1, appendix F.6.5), without its start."""
    rx, ry, turn, large, sweep = abs(numbers[0]), abs(numbers[1]), np.deg2rad(numbers[2]), numbers[3], numbers[4]
    if rx == 0 or ry == 0 or start == end:
        return [end]
    half = (start - end) / 2 * np.exp(-1j * turn)
    size = (half.real / rx) ** 2 + (half.imag / ry) ** 2
    if size > 1:
        rx, ry, size = rx * size**0.5, ry * size**0.5, 1.0
    root = (max(0.0, 1 / size - 1)) ** 0.5 * (-1 if large == sweep else 1)
    middle = root * complex(rx * half.imag / ry, -ry * half.real / rx)
    first = np.angle(complex((half.real - middle.real) / rx, (half.imag - middle.imag) / ry))
    last = np.angle(complex((-half.real - middle.real) / rx, (-half.imag - middle.imag) / ry))
    span = (last - first) % (2 * np.pi) if sweep else -((first - last) % (2 * np.pi))
    angles = first + span * np.linspace(0, 1, num + 1)[1:]
    around = rx * np.cos(angles) + 1j * ry * np.sin(angles)
    return list((around + middle) * np.exp(1j * turn) + (start + end) / 2)


def polygons(path: str) -> list[Array]:
    """Flatten a path into polygons (n, 2)."""
    shapes: list[list[Point]] = []
    here, control, before = 0j, 0j, ""
    for letter, x in _commands(path):
        kind, base = letter.lower(), here if letter.islower() else 0j
        pairs = [base + complex(x[k], x[k + 1]) for k in range(0, len(x) - 1, 2)]
        if kind == "m":
            shapes.append([pairs[0]])
            new = [pairs[0]]
        elif kind == "z":
            here = shapes[-1][0]
            shapes.append([here])
            before = kind
            continue
        elif kind == "l":
            new = [pairs[0]]
        elif kind == "h":
            new = [complex(x[0] + base.real, here.imag)]
        elif kind == "v":
            new = [complex(here.real, x[0] + base.imag)]
        elif kind == "a":
            new = _arc(here, base + complex(x[5], x[6]), x)
        else:
            cubic = kind in "cs"
            if kind in "st":
                mirrored = 2 * here - control if before in ("cs" if cubic else "qt") and before else here
                pairs = [mirrored, *pairs]
            new, control = _bezier([here, *pairs]), pairs[-2]
        shapes[-1] += new
        here, before = new[-1], kind
    return [np.array([[p.real, p.imag] for p in shape]) for shape in shapes if len(shape) > 2]


def rasterise(body: str, extent: float, side: int) -> Array:
    """Draw the paths of an SVG body: coverage (side, side) uint8."""
    canvas = np.zeros((4 * side, 4 * side), np.uint8)
    for path in re.findall(r' d="([^"]*)"', body):
        layer = np.zeros_like(canvas)
        scaled = [np.round(p * (4 * side * 16 / extent)).astype(np.int32) for p in polygons(path)]
        if scaled:
            cv2.fillPoly(layer, scaled, 255, shift=4)
        canvas = np.maximum(canvas, layer)
    return cv2.resize(canvas, (side, side), interpolation=cv2.INTER_AREA)
