"""Command line: one file per verb; libraries are imported by the verb that needs them."""

from samtune.cli.application import app, main

__all__ = ["app", "main"]
