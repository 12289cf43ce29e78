"""Command-line application and entry point: errors become one sentence and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from samtune.cli import (
    cache_verb,
    compare_verb,
    data_verb,
    demo_verb,
    doctor_verb,
    evaluate_verb,
    info_verb,
    methods_verb,
    predict_verb,
    reproduce_verb,
    settings_verb,
    train_verb,
)
from samtune.cli.output import is_main_process, print_safely
from samtune.errors import SamTuneError
from samtune.files import REASONS
from samtune.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

USER_ERROR, INTERRUPTED = 2, 130

app = typer.Typer(
    name="samtune",
    help="Turn a Segment Anything model into a specialist for your task.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
)
app.command("demo")(demo_verb.demo)
app.command("train")(train_verb.train)
app.command("predict")(predict_verb.predict)
app.command("evaluate")(evaluate_verb.evaluate)
app.command("compare")(compare_verb.compare)
app.command("doctor")(doctor_verb.doctor)
app.command("methods")(methods_verb.methods)
app.command("settings")(settings_verb.settings)
app.command("info")(info_verb.info)
app.command("reproduce")(reproduce_verb.reproduce)
app.add_typer(data_verb.app, name="data")
app.add_typer(cache_verb.app, name="cache")


@app.callback()
def root(
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Turn a Segment Anything model into a specialist for your task."""


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 2 an error of the user (one sentence on stderr), 130 interrupted.

    Args:
        argv: the arguments without the program's name; None for the process's own.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments == ["--version"]:
        from samtune import __version__

        print(__version__)
        sys.exit(0)
    with _logging_to_stderr():
        try:
            try:
                app(args=arguments, prog_name="samtune")
            finally:
                sys.stdout.flush()  # at exit, an error of a full disk would print a traceback
        except (SamTuneError, OSError) as error:
            if is_main_process():
                print_safely(f"samtune: {_sentence(error)}", sys.stderr)
            _discard_stdout()
            sys.exit(USER_ERROR)
        except KeyboardInterrupt:
            sys.exit(INTERRUPTED)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and not isinstance(error, SamTuneError):
        where = f": {error.filename}" if error.filename else ""
        return f"a file or folder cannot be used{where} ({REASONS.get(error.errno or 0, error.strerror or error)})."
    return str(error)


def _discard_stdout() -> None:
    """Discard output that a full disk or a closed pipe refuses; Python would try again at exit and print an error."""
    try:
        sys.stdout.flush()
    except OSError:
        with open(os.devnull, "wb") as nothing:
            os.dup2(nothing.fileno(), sys.stdout.fileno())


class _Lines(logging.Handler):
    """Handler that writes each message to stderr as one printable line."""

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler.emit`."""
        print_safely(one_line(record.getMessage()), sys.stderr)


@contextmanager
def _logging_to_stderr() -> Iterator[None]:
    """Write the package's log to stderr as plain lines, from the main process only."""
    logger = logging.getLogger("samtune")
    before, spread = logger.level, logger.propagate
    handler = _Lines() if is_main_process() else logging.NullHandler()
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
        logger.propagate = spread
