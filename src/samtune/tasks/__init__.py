"""Tasks: what a model is asked for, from annotations to targets and from logits to answers and scores.

task.py    the protocol of a task, and the table of tasks
areas.py   one area for each class: label maps

A task is one file and one row of the table; docs/design/tasks.md says how to add one.
"""

from samtune.tasks.areas import Areas
from samtune.tasks.task import DEFAULT_TASK, TASKS, Task, TaskScores, find_task, register_task

__all__ = ["DEFAULT_TASK", "TASKS", "Areas", "Task", "TaskScores", "find_task", "register_task"]
