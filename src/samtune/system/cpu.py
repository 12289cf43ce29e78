"""Facts about the processor, as Linux gives them."""

from __future__ import annotations

from functools import cache
from pathlib import Path

MATRIX_UNIT, VECTOR_UNIT = "amx_bf16", "avx512_bf16"
"""Names of the bfloat16 instructions in /proc/cpuinfo; without them torch computes bfloat16 by way of float32."""

VECTOR_UNIT_PAYS = frozenset({"AuthenticAMD"})
"""Makers whose vector instruction is faster than float32; see docs/performance.md. A rule and no measurement, since a
timing would let one machine compute in different numbers from run to run."""


def has_fast_bf16() -> bool:
    """Return whether the processor multiplies bfloat16 faster than float32; False where that is unknown."""
    facts = processor()
    flags = facts.get("flags", "").split()
    return MATRIX_UNIT in flags or (VECTOR_UNIT in flags and facts.get("vendor_id") in VECTOR_UNIT_PAYS)


@cache
def processor() -> dict[str, str]:
    """Return facts of the first processor by Linux's names (`vendor_id`, `model name`, `flags`); empty elsewhere."""
    try:
        first = Path("/proc/cpuinfo").read_text(encoding="utf-8").split("\n\n")[0]
    except OSError:
        return {}
    return {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in first.splitlines())}
