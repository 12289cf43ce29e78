"""TS-SAM: `method.py` describes it and attaches it to a base, `modules.py` has its three parts."""

from samtune.methods.ts_sam.method import TSSAM

__all__ = ["TSSAM"]
