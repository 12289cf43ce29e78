"""One process at a time writes to a folder; locks of the dead are taken over, locks of other machines are not."""

from __future__ import annotations

import json
import multiprocessing
import os
import platform
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from samtune.errors import ConfigError
from samtune.run_folder import LOCK_FILE
from samtune.training import locked
from tests.training.tiny_run import run


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def write(folder: Path, content: str) -> None:
    folder.mkdir(parents=True)
    (folder / LOCK_FILE).write_text(content)


def test_the_file_names_host_and_process_and_goes(tmp_path: Path) -> None:
    with locked(tmp_path, "run"):
        content = json.loads((tmp_path / LOCK_FILE).read_text())
        assert content == {"host": platform.node(), "pid": os.getpid()}
        with locked(tmp_path / ".", "run"):  # the same folder in the same thread
            pass
        assert (tmp_path / LOCK_FILE).exists()
    assert not (tmp_path / LOCK_FILE).exists()


def test_a_new_folder_that_stays_empty_goes_too(tmp_path: Path) -> None:
    with locked(tmp_path / "a" / "b", "run"):
        assert (tmp_path / "a" / "b").is_dir()
    assert not (tmp_path / "a").exists()
    with locked(tmp_path / "a" / "b", "run"):
        (tmp_path / "a" / "b" / "file").touch()
    assert (tmp_path / "a" / "b" / "file").exists()


def test_a_lock_of_a_dead_process_is_taken_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pid = dead_pid()
    write(tmp_path / "run", json.dumps({"host": platform.node(), "pid": pid}))
    with caplog.at_level("INFO", logger="samtune"), locked(tmp_path / "run", "run"):
        pass
    assert f"from process {pid}, which no longer runs" in caplog.text


def test_a_lock_of_a_process_killed_as_it_took_it_is_taken(tmp_path: Path) -> None:
    write(tmp_path / "run", "")
    with locked(tmp_path / "run", "run"):
        assert json.loads((tmp_path / "run" / LOCK_FILE).read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("content", ["{", "[]", "null", '{"host": 1}', '{"host": "x", "pid": "y"}', "\x00" * 50])
def test_a_file_that_is_no_lock_is_refused_by_name(tmp_path: Path, content: str) -> None:
    write(tmp_path / "run", content)
    with pytest.raises(ConfigError, match=r"samtune\.lock is not a lock file"), locked(tmp_path / "run", "run"):
        raise AssertionError
    assert (tmp_path / "run" / LOCK_FILE).read_text() == content


def test_a_lock_of_another_machine_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "run", json.dumps({"host": "elsewhere", "pid": 17}))
    with (
        pytest.raises(ConfigError, match=r"Process 17 on elsewhere .* delete .*samtune\.lock"),
        locked(tmp_path / "run", "run"),
    ):
        raise AssertionError
    assert (tmp_path / "run" / LOCK_FILE).exists()


def test_another_thread_is_refused(tmp_path: Path) -> None:
    errors: list[Exception] = []

    def other() -> None:
        try:
            with locked(tmp_path, "run"):
                raise AssertionError
        except ConfigError as error:
            errors.append(error)

    with locked(tmp_path, "run"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert "in use by process" in str(errors[0])


def count(folder: Path, rounds: int) -> None:
    """Add to a number in a file, which is lost where two do so at once."""
    for _ in range(rounds):
        while True:
            try:
                with locked(folder, "run"):
                    file = folder / "number"
                    number = int(file.read_text()) if file.exists() else 0
                    file.write_text(str(number + 1))
                break
            except ConfigError:
                time.sleep(0.001)


@pytest.mark.slow
def test_processes_never_hold_it_at_once(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=count, args=(tmp_path, 60)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert (tmp_path / "number").read_text() == "180"


def test_a_second_training_of_the_same_run_is_refused(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two threads that train in one folder, one is told; what the other does is as if it were alone."""
    from samtune.training.trainer import Trainer

    told: list[Any] = []
    update = Trainer.update

    def meanwhile(self: Trainer, step: int) -> None:
        if step == 2 and not told:
            told.append(None)

            def other() -> None:
                with pytest.raises(ConfigError) as caught:
                    run(prepared, "shared", updates=5, resume=True)
                told.append(str(caught.value))

            thread = threading.Thread(target=other)
            thread.start()
            thread.join()
        update(self, step)

    run(prepared, "alone", updates=5)
    monkeypatch.setattr(Trainer, "update", meanwhile)
    run(prepared, "shared", updates=5)
    assert "is in use by process" in told[1]
    for file in ("history.jsonl", "specialist/adapter_model.safetensors"):
        assert (prepared / "alone" / file).read_bytes() == (prepared / "shared" / file).read_bytes()
