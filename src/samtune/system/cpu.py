"""Properties of the processor, as Linux reports them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

MATRIX_UNIT, VECTOR_UNIT = "amx_bf16", "avx512_bf16"
"""Names of the bfloat16 instructions in /proc/cpuinfo; without them torch computes bfloat16 through float32."""

VECTOR_UNIT_IS_FASTER = frozenset({"AuthenticAMD"})
"""Vendors whose vector instruction is faster than float32; see docs/performance.md. A fixed rule rather than a timing,
which could change the precision from run to run on one machine."""


def has_fast_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32; False where that is unknown."""
    properties = processor()
    flags = properties.get("flags", "").split()
    return MATRIX_UNIT in flags or (VECTOR_UNIT in flags and properties.get("vendor_id") in VECTOR_UNIT_IS_FASTER)


@cache
def processor() -> dict[str, str]:
    """Return properties of the first processor by Linux's names, such as `vendor_id` and `flags`; empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
