from __future__ import annotations

import os
import subprocess
import time
from pathlib import Path

from tests.pretrain.conftest import PRETRAIN

FAKE = """#!/usr/bin/env bash
sleep 0.3  # as Python loads its modules
exec 9>"$3/lock"; flock 9
trap 'echo saved >>"$0.log"; exit' TERM
echo "$OMP_NUM_THREADS $(ps -o ni= -p $$) $*" >>"$0.log"
while true; do sleep 0.05; done
"""


def test_a_run_is_started_once_continued_and_stopped(tmp_path: Path) -> None:
    fake = tmp_path / "python"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    state, log = tmp_path / "state", tmp_path / "python.log"

    def background(*arguments: str) -> str:
        command = [str(PRETRAIN / "background.sh"), str(state), *arguments]
        environment = os.environ | {"PYTHON": str(fake)}
        run = subprocess.run(command, env=environment, check=True, capture_output=True, text=True, timeout=60)
        return run.stdout

    try:
        assert background("bank", "--lr", "5e-4").startswith("started")
        pid = (state / "pid").read_text()
        assert "under way" in background("bank")  # before it holds its lock
        deadline = time.monotonic() + 30
        while not log.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        assert "under way" in background("bank")
        assert (state / "pid").read_text() == pid
        threads, nice, *arguments = log.read_text().split()
        assert (threads, nice) == ("1", "19")
        assert arguments == [str(PRETRAIN / "train.py"), "--state", str(state), "--assets", "bank", "--lr", "5e-4"]
    finally:
        background("stop")
    assert log.read_text().endswith("saved\n")
    assert background("bank").startswith("started")
    background("stop")
