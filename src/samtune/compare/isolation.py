"""Functions run in processes of their own, so that memory is measured for each and a crash ends only one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

from samtune.system.memory import MEMORY_SHARE
from samtune.training.interruption import POLL_S, check

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.connection import Connection

PRELOADED = ("samtune.compare.measure", "transformers.models.sam.modeling_sam")
"""Modules that the fork server imports once, so that a child process starts fast; the second takes seconds."""

OMP = "OMP_NUM_THREADS"
"""Environment variable that sets the number of threads of a process."""


@dataclass(frozen=True)
class Outcome:
    """Outcome of a call.

    Attributes:
        value: return value; None where the call failed.
        error: exception, `ChildDied` for a process that died; None where the call returned.
        trace: traceback of the exception, or "".
    """

    value: Any = None
    error: Exception | None = None
    trace: str = ""


class ChildDied(RuntimeError):  # noqa: N818
    """A process that ended without an outcome: killed for memory, or crashed."""


class ChildRaised(RuntimeError):  # noqa: N818
    """An exception that cannot be pickled, as text."""


class Child:
    """A function that runs in a process of its own, which ends itself if this process is gone.

    Args:
        function: a module-level function, whose result can be pickled.
        arguments: picklable arguments.
        threads: torch threads of the process; None for torch's default. `OMP_NUM_THREADS` takes precedence.
        memory_share: share of the free memory that the process may plan with; below 1 where others run alongside.
    """

    def __init__(
        self, function: Callable[..., Any], *arguments: Any, threads: int | None = None, memory_share: float = 1.0
    ) -> None:
        kind = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
        context = multiprocessing.get_context(kind)
        if kind == "forkserver":
            context.set_forkserver_preload(list(PRELOADED))
        environment = dict(os.environ) | {MEMORY_SHARE: str(memory_share)}
        if threads is not None:
            environment.setdefault(OMP, str(threads))
        self.receiver, sender = context.Pipe(duplex=False)
        """Ready as soon as there is an outcome; see `multiprocessing.connection.wait`."""
        work = (sender, environment, threads, function, arguments)
        self._process = context.Process(target=_child, args=work)  # type: ignore[attr-defined]
        self._process.start()
        sender.close()

    def outcome(self) -> Outcome:
        """Wait for the outcome and return it.

        Raises:
            Interrupted: Ctrl-C or SIGTERM, within `interruptible`.
        """
        while not self.receiver.poll(POLL_S):
            check()
        try:
            outcome: Outcome = self.receiver.recv()
        except EOFError:
            outcome = Outcome(error=ChildDied(""))
        self._process.join()
        if isinstance(outcome.error, ChildDied):
            return Outcome(error=ChildDied(_how_it_ended(self._process.exitcode)))
        return outcome

    def end(self) -> None:
        """Close the connection, and kill the process if it is still alive."""
        self.receiver.close()
        if self._process.is_alive():
            self._process.kill()
            self._process.join()


def isolated(function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call `function(*arguments)` in a process of its own and wait for it.

    Ctrl-C kills that process and is raised in this one. If this process is killed, the other ends itself.

    Args:
        function: a module-level function, whose result can be pickled.
        arguments: picklable arguments.
    """
    child = Child(function, *arguments)
    try:
        return child.outcome()
    finally:
        child.end()


def here(function: Callable[..., Any], *arguments: Any) -> Outcome:
    """Call `function(*arguments)` in this process, as tests do; peak memory is then that of this process."""
    try:
        return Outcome(function(*arguments))
    except Exception as error:
        return Outcome(error=error, trace=traceback.format_exc())


def _child(
    sender: Connection,
    environment: dict[str, str],
    threads: int | None,
    function: Callable[..., Any],
    arguments: Any,
) -> None:
    """Call the function and send the outcome, with the parent's environment in place of the fork server's."""
    os.environ.update(environment)
    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides what Ctrl-C means
    threading.Thread(target=_end_with_parent, daemon=True).start()
    outcome = here(function, *arguments)
    if outcome.error is not None:
        try:
            ForkingPickler.loads(ForkingPickler.dumps(outcome.error))  # some can be pickled but not unpickled
        except Exception:
            outcome = Outcome(error=ChildRaised(repr(outcome.error)), trace=outcome.trace)
    sender.send(outcome)
    sender.close()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _how_it_ended(code: int | None) -> str:
    if code is not None and code < 0:
        name = signal.Signals(-code).name
        why = ", most often because the memory is exhausted" if name == "SIGKILL" else ""
        return f"The process was ended by {name}{why}."
    return f"The process ended with code {code} and without an outcome."
