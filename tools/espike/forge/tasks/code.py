"""Python file or folder -> suite: tasks that the user wrote (docs/forge.md, Own tasks)."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

from espike_sim.errors import EspikeError

from .tasks import Suite, Task

SUITE_FILE = "suite.py"


def is_code(path: Path) -> bool:
    """Is it a Python file, or a folder with a suite.py?"""
    return path.suffix == ".py" or (path / SUITE_FILE).is_file()


def coded(path: Path) -> Suite:
    """What `suite()` of a file gives; of a folder that of its suite.py, and `task()` of every other Python file in it.

    The code runs in this process. Raises: EspikeError where it cannot be run, or does not give a suite and tasks.
    """
    if path.is_file():
        return _checked(_made(path, "suite", Suite), path)
    suite: Suite = _made(path / SUITE_FILE, "suite", Suite)
    files = sorted(file for file in path.glob("*.py") if file.name != SUITE_FILE and not file.name.startswith("_"))
    further = [_made(file, "task", Task) for file in files]
    tasks = sorted((*suite.tasks, *further), key=lambda task: task.level)
    return _checked(replace(suite, tasks=tuple(tasks)), path)


def _made(path: Path, name: str, kind: type) -> Any:
    """What a file's function of that name returns."""
    function = getattr(_module(path), name, None)
    if not callable(function):
        raise EspikeError(f"has no function {name}()", where=str(path), do=f"return a {kind.__name__} from it")
    try:
        made = function()
    except Exception as error:
        raise EspikeError(f"{name}() raises {type(error).__name__}: {error}", where=str(path)) from None
    if not isinstance(made, kind):
        raise EspikeError(f"{name}() gives a {type(made).__name__}, no {kind.__name__}", where=str(path))
    return made


def _module(path: Path) -> ModuleType:
    """The file as a module of its own: by its place, and anew where it was changed."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise EspikeError(f"cannot be read: {error.strerror}", where=str(path)) from None
    name = "espike_tasks_" + hashlib.sha256(str(path.resolve()).encode() + text).hexdigest()[:16]
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look for it there
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise EspikeError(f"cannot be run: {type(error).__name__}: {error}", where=str(path)) from None
    return module


def _checked(suite: Suite, path: Path) -> Suite:
    if not suite.tasks:
        raise EspikeError("has no task", where=str(path), do="give some in suite(), or beside it files with task()")
    words = [word for task in suite.tasks for word in (f"level {task.level}", f"name {task.name}")]
    for what, count in Counter(words).items():
        if count > 1:
            raise EspikeError(f"{count} tasks have the {what}", where=str(path), do="give each its own")
    wrong = next((t for t in suite.tasks if not all(0 <= k < len(suite.labels) for k in t.classes)), None)
    if wrong is not None:
        what = f"task {wrong.name} answers {max(wrong.classes)}, the suite has {len(suite.labels)} labels"
        raise EspikeError(what, where=str(path))
    return suite
