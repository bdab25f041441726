"""Suites of the user's code: a file or a folder of tasks, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from command import run as command

from espike.forge import tasks
from espike_sim.errors import EspikeError

ROOT = Path(__file__).resolve().parents[1]
SUITE = """
from espike.forge.tasks import Suite, Task, generated

def series(draws, answer):
    return draws.below(100, 4, 2) + 100 * answer

def suite():
    return Suite(name="own", about="two heights", channels=2, samples=4, unit=1.0, labels=("low", "high"),
                 encoders=("level:128",), bursts=1, settle=1,
                 tasks=(Task("height", 1, "how high", (0, 1), generated("height", series, 2)),))
"""
TASK = """
from espike.forge.tasks import Task, generated

def task():
    draw = generated({name!r}, lambda draws, answer: draws.below(9, 4, 2), 2)
    return Task({name!r}, {level}, "nothing to see", {classes}, draw)
"""


def written(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        (folder / f"{name}.py").write_text(text)
    return folder


def test_a_folder_has_a_task_per_file() -> None:
    suite = tasks.suite(str(ROOT / "examples" / "knocks"))
    assert [(task.name, task.level) for task in suite.tasks] == [("surface", 1), ("rhythm", 2)]
    for task in suite.tasks:
        parts = [task.examples(part, 60, 5) for part in tasks.PARTS]
        assert set(parts[0].label.tolist()) == set(task.classes)
        assert parts[0].raw.shape == (60, suite.samples, suite.channels)
        distinct = {raw.tobytes() for part in parts for raw in part.raw}
        assert len(distinct) == 180


def test_a_file_is_a_suite_and_files_beside_it_are_tasks(tmp_path: Path) -> None:
    written(tmp_path, suite=SUITE, more=TASK.format(name="more", level=3, classes=(1, 0)), _helper="raise OSError()")
    assert [task.name for task in tasks.suite(str(tmp_path / "suite.py")).tasks] == ["height"]
    assert [task.name for task in tasks.suite(str(tmp_path)).tasks] == ["height", "more"]


def test_a_changed_file_is_read_anew(tmp_path: Path) -> None:
    written(tmp_path, suite=SUITE)
    assert tasks.suite(str(tmp_path)).about == "two heights"
    written(tmp_path, suite=SUITE.replace("two heights", "other heights"))
    assert tasks.suite(str(tmp_path)).about == "other heights"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"suite": "def suite(:"}, "suite.py: cannot be run: SyntaxError"),
        ({"suite": "import no_such_module"}, "suite.py: cannot be run: ModuleNotFoundError"),
        ({"suite": "x = 1"}, r"suite.py: has no function suite\(\)"),
        ({"suite": "suite = 3"}, r"suite.py: has no function suite\(\)"),
        ({"suite": "def suite(): return 3"}, r"suite\(\) gives a int, no Suite"),
        ({"suite": "def suite(): return 1 / 0"}, r"suite\(\) raises ZeroDivisionError"),
        ({"suite": SUITE, "more": "def task(): return None"}, r"more.py: task\(\) gives a NoneType, no Task"),
        ({"suite": SUITE, "more": TASK.format(name="more", level=1, classes=(0, 1))}, "2 tasks have the level 1"),
        ({"suite": SUITE, "more": TASK.format(name="height", level=2, classes=(0, 1))}, "2 tasks have the name height"),
        ({"suite": SUITE, "more": TASK.format(name="more", level=2, classes=(0, 2))}, "task more answers 2, the suite"),
        ({"suite": SUITE.split("tasks=(T")[0] + "tasks=())"}, "has no task"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_in_one_line(files: dict[str, str], told: str, tmp_path: Path) -> None:
    written(tmp_path, **files)
    with pytest.raises(EspikeError, match=told):
        tasks.suite(str(tmp_path))


def test_a_configuration_of_broken_code_is_wrong_usage(tmp_path: Path) -> None:
    written(tmp_path, suite="def suite(): return 1 / 0")
    (tmp_path / "own.toml").write_text(f'[run]\nsuite = "{tmp_path}"\n')
    done = command("forge", "run", "own.toml", "--home", "home", cwd=tmp_path)
    assert done.code == 2
    assert len(done.err.splitlines()) == 1
    assert "suite() raises ZeroDivisionError" in done.err
