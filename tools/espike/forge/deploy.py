"""image -> boards: flashed, presented the test items, and every answer held against the host's."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass

import numpy as np

from espike_sim.errors import EspikeError

from .. import boards, classify
from ..board import BoardEngine
from ..flasher import Flashed, flash
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
        with on_board(name, image) as board:
            found = np.array([board.present(one).answer for one in examples.raw[:items]], np.int64)
            spent = _spent(name, board.engine, config.run.deadline_us)
            played = _played(config, suite, image, board.present)
        equal = bool(np.array_equal(found, wanted))
        of = (model.image, data), {"board": name, "items": len(found)}
        measured = [
            Metric(f"deploy/{name}/bit_exact", equal, "board", *of),
            Metric(f"deploy/{name}/accuracy", float(np.mean(found == examples.label[: len(found)])), "board", *of),
            Metric(f"deploy/{name}/items", len(found), "board", *of),
            Metric(f"deploy/{name}/bytes", board.flashed.hello.image_bytes, "board", *of),
            Metric(f"deploy/{name}/ram_bytes", board.flashed.hello.ram_bytes, "board", *of),
            Metric(f"deploy/{name}/flash_seconds", board.seconds, "clock"),
            Metric(f"deploy/{name}/seconds", time.monotonic() - began, "clock"),
            *spent,
        ]
        say(f"{name}: {len(found)} items, {'every answer as the host' if equal else 'answers DIFFER'}")
        made.append(_verdict(f"{name} answers as the host", f"deploy/{name}/bit_exact", equal))
        if played is not None:
            measured.append(Metric(f"deploy/{name}/solve_rate", played[0], "board", *of))
            measured.append(Metric(f"deploy/{name}/episodes_equal", played[1], "board", *of))
            say(f"{name}: {played[0]:.0%} of the episodes solved, {'scored as' if played[1] else 'NOT as'} on the host")
            made.append(_verdict(f"{name} acts as the host", f"deploy/{name}/episodes_equal", played[1]))
        met = all(verdict.passed for verdict in made if verdict.metric.startswith(f"deploy/{name}/"))
        registry.metric(run, "pack", *measured, Metric(f"deploy/{name}/target_met", met, "board", *of))
    return made


def _spent(name: str, engine: BoardEngine, deadline_us: int) -> list[Metric]:
    """What a board says of itself after what it was presented; deadline_us: of a burst, 0: none. Raises: LinkError."""
    engine.counters()
    state, hello = engine.state, engine.hello
    us = 1e6 / hello.cycles_hz
    mean = state.cycles_total * us / max(1, state.burst)
    found: dict[str, int | float | str] = {
        "burst_us": mean, "burst_us_max": state.cycles_most * us,
        "ram_free_bytes": hello.arena_bytes - hello.ram_bytes, "dropped_frames": state.dropped,
        "damaged_frames": state.link_errors, "reset_cause": hello.reset_cause,
    }  # fmt: skip
    if deadline_us:
        found["cpu_percent"] = 100 * mean / deadline_us
    if state.stack_unused is not None:
        found["stack_free_bytes"] = state.stack_unused
    return [Metric(f"system/board/{name}/{what}", value, "board") for what, value in found.items()]


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


@dataclass(frozen=True)
class OnBoard:
    """A board that runs an image."""

    engine: BoardEngine
    present: classify.Present
    flashed: Flashed
    seconds: float
    """That flashing took."""


@contextmanager
def on_board(name: str, image: bytes) -> Iterator[OnBoard]:
    """Flash a board of this machine by name, and end it again."""
    with boards.own_home(), boards.running(name) as target:
        began = time.monotonic()
        flashed = flash(target, image)
        took = time.monotonic() - began
        with closing(BoardEngine(target, owns=False)) as engine, Subject(image) as subject:
            engine.reset()
            yield OnBoard(engine, lambda raw: engine.present(raw, subject.senses), flashed, took)
