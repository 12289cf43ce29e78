"""Mask files: their encodings, how they are inferred, and what is wrong with them."""
