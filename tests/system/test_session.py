"""The record of a session tells date, command line, versions and machine, as JSON."""

from __future__ import annotations

import json
import os
import shlex
import sys
from datetime import datetime
from pathlib import Path

import pytest
import torch

from samtune import __version__
from samtune.system import session_record, versions


def test_a_session_names_command_versions_and_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["/bin/samtune", "train", "my images", "it's", "caf\udce9"]
    monkeypatch.setattr(sys, "argv", words)
    monkeypatch.chdir(tmp_path)
    record = json.loads(json.dumps(session_record(torch.device("cpu"))))
    assert shlex.split(record["command"]) == words
    assert record["working_directory"] == os.getcwd()
    started = datetime.fromisoformat(record["started"])
    assert started.tzinfo is not None
    assert abs((datetime.now(started.tzinfo) - started).total_seconds()) < 60
    assert record["versions"] == versions()
    assert record["machine"]["device"] == "cpu"
    assert record["machine"]["gpu"] is None
    assert record["machine"]["threads"] == torch.get_num_threads()
    assert record["machine"]["processor"]


def test_versions_are_those_that_are_installed() -> None:
    assert {"python", "samtune", "torch", "transformers", "numpy"} == set(versions())
    assert versions()["samtune"] == __version__


def test_the_processor_has_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samtune.system.session.processor", lambda: {"model name": "Maker 9000"})
    assert session_record(torch.device("cpu"))["machine"]["processor"] == "Maker 9000"
    monkeypatch.setattr("samtune.system.session.processor", dict)
    assert session_record(torch.device("cpu"))["machine"]["processor"]


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse to remove the working directory")
def test_a_removed_working_directory_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert session_record(torch.device("cpu"))["working_directory"] is None
