"""TS-SAM: `method.py` says what it is and wires it into SAM, `modules.py` holds its three parts."""

from samtune.methods.ts_sam.method import TSSAM

__all__ = ["TSSAM"]
