"""Rows of an evaluation or a comparison: their keys in JSON and CSV, and their names for readers."""

from __future__ import annotations

from dataclasses import dataclass

SPECIALIST = "specialist"
STOCK, PROBE, COLOUR, UNET = "stock_sam", "probe", "blurred_colour", "unet"

BASELINES = (STOCK, PROBE, COLOUR, UNET)
"""Rows that a method is compared with."""


@dataclass(frozen=True)
class RowName:
    """Name of a row.

    Attributes:
        label: in tables and figures.
        phrase: within a sentence.
        description: what the row is, in a few words.
    """

    label: str
    phrase: str
    description: str = ""


ROW_NAMES = {
    SPECIALIST: RowName("Specialist", "the specialist", "this model"),
    STOCK: RowName("Stock SAM", "stock SAM", "untouched, without prompts"),
    PROBE: RowName("Probe", "the probe", "logistic regression on the frozen features"),
    COLOUR: RowName("Blurred colour", "blurred colour", "logistic regression, no network"),
    UNET: RowName("U-Net", "the U-Net from scratch", "small, from scratch, without SAM"),
}


def row_name(row: str) -> RowName:
    """Return the name of a row; a method's name is its key."""
    return ROW_NAMES.get(row, RowName(row, row))
