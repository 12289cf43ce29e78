"""SAM 1 over transformers' `SamModel`."""
