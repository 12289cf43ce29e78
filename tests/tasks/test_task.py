"""The table of tasks."""

from __future__ import annotations

import pytest

from samtune.errors import ConfigError
from samtune.tasks import DEFAULT_TASK, TASKS, Areas, find_task, register_task


def test_a_task_is_found_by_its_name() -> None:
    assert isinstance(find_task("areas"), Areas)
    assert DEFAULT_TASK == "areas"
    with pytest.raises(ConfigError, match="did you mean 'areas'"):
        find_task("area")


def test_a_second_task_of_a_name_is_refused() -> None:
    with pytest.raises(ConfigError, match="rename it"):
        register_task(Areas())


def test_every_task_has_a_default_protocol_and_its_headline_among_its_columns() -> None:
    for task in TASKS.values():
        assert "default" in task.protocols
        assert task.headline.key in task.columns
