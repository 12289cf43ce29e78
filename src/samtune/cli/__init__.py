"""The command line: one file per verb, each a thin shell over the layer below; nothing heavy at the top."""

from samtune.cli.application import app, main

__all__ = ["app", "main"]
