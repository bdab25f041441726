"""image -> boards: flashed, presented the test items, and every answer held against the host's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager

import numpy as np

from espike_sim.errors import EspikeError

from .. import boards, classify
from ..board import BoardEngine
from ..flasher import flash
from . import measures, tasks
from .config import Config
from .context import Say
from .contracts import Model, Verdict
from .measures import answers, examples_of
from .registry import Metric, Registry
from .subject import Subject
from .tasks import Suite

ITEMS, EPISODES = 200, 3
"""Presented to a board at most; of each task with a device."""


def deploy(
    registry: Registry, config: Config, suite: Suite, run: str, model: Model, say: Say, items: int = ITEMS
) -> list[Verdict]:
    """Verify an image on the boards of the configuration.

    Each must answer every item as the host does, and devices in its loop must end with the host's scores.
    """
    assert model.image is not None
    data = test_items(registry, run)
    image, examples = registry.get(model.image), examples_of(registry.get(data))
    wanted = answers(image, registry.get(data)).answer[:items]
    made = []
    for name in config.run.verify:
        began = time.monotonic()
        with on_board(name, image) as present:
            found = np.array([present(one).answer for one in examples.raw[:items]], np.int64)
            played = _played(config, suite, image, present)
        equal = bool(np.array_equal(found, wanted))
        of = (model.image, data), {"board": name, "items": len(found)}
        measured = [
            Metric(f"deploy/{name}/bit_exact", equal, "board", *of),
            Metric(f"deploy/{name}/accuracy", float(np.mean(found == examples.label[: len(found)])), "board", *of),
            Metric(f"deploy/{name}/items", len(found), "board", *of),
            Metric(f"deploy/{name}/seconds", time.monotonic() - began, "clock"),
        ]
        say(f"{name}: {len(found)} items, {'every answer as the host' if equal else 'answers DIFFER'}")
        made.append(_verdict(f"{name} answers as the host", f"deploy/{name}/bit_exact", equal))
        if played is not None:
            measured.append(Metric(f"deploy/{name}/solve_rate", played[0], "board", *of))
            measured.append(Metric(f"deploy/{name}/episodes_equal", played[1], "board", *of))
            say(f"{name}: {played[0]:.0%} of the episodes solved, {'scored as' if played[1] else 'NOT as'} on the host")
            made.append(_verdict(f"{name} acts as the host", f"deploy/{name}/episodes_equal", played[1]))
        registry.metric(run, "pack", *measured)
    return made


def _verdict(gate: str, metric: str, passed: bool) -> Verdict:
    return Verdict(gate, metric, float(passed), 1.0, passed, "" if passed else "not promoted")


def _played(config: Config, suite: Suite, image: bytes, present: classify.Present) -> tuple[float, bool] | None:
    """Share of episodes solved with a board in the loop, and do all scores equal the host's? None: nothing to play."""
    levels, seed = config.run.levels, config.run.seed
    played = [task for task in suite.tasks if task.plant and (not levels or task.level in levels)]
    if not played:
        return None
    solved, equal = [], True
    for task in played:
        found = tasks.run_episodes(present, task, EPISODES, seed)
        host = measures.episodes(image, config.run.suite, task.name, EPISODES, seed)
        solved += found.solved.tolist()
        equal = equal and found.scores.tolist() == host.scores.tolist()
    return float(np.mean(solved)), equal


def test_items(registry: Registry, run: str) -> str:
    """Examples of the test set that a run drew -> their hash. Raises: EspikeError where it drew none."""
    found = [step for step in registry.steps(run) if step.name.startswith("data/") and step.name.endswith("/test")]
    together = [step for step in found if step.name == "data/all/test"]
    if not found:
        raise EspikeError("the run has drawn no test items", where=f"run {run}")
    return (together or found)[-1].outputs["examples"]


@contextmanager
def on_board(name: str, image: bytes) -> Iterator[classify.Present]:
    """A board that runs an image, and how it is presented raw samples."""
    with boards.own_home(), boards.running(name) as target:
        flash(target, image)
        with closing(BoardEngine(target, owns=False)) as engine, Subject(image) as subject:
            engine.reset()
            yield lambda raw: engine.present(raw, subject.senses)
