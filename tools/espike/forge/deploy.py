"""image -> boards: flashed, presented the test items, and every answer held against the host's."""

from __future__ import annotations

import time
from contextlib import closing

import numpy as np

from espike_sim.errors import EspikeError

from .. import boards
from ..board import BoardEngine
from ..flasher import flash
from . import measures
from .config import Config
from .context import Say
from .contracts import Model, Verdict
from .measures import answers, examples_of
from .registry import Metric, Registry
from .subject import Subject
from .tasks import Suite

ITEMS = 200
"""Presented to a board, at most."""


def deploy(
    registry: Registry, config: Config, suite: Suite, run: str, model: Model, say: Say, items: int = ITEMS
) -> list[Verdict]:
    """Verify an image on the boards of the configuration; each must answer every item as the host does."""
    assert model.image is not None
    data = _test_items(registry, run)
    image, examples = registry.get(model.image), examples_of(registry.get(data))
    wanted = answers(image, registry.get(data)).answer[:items]
    made = []
    for name in config.run.verify:
        began = time.monotonic()
        found = presented(name, image, examples.raw[:items])
        equal = bool(np.array_equal(found, wanted))
        right = float(np.mean(found == examples.label[: len(found)]))
        objects = (model.image, data)
        registry.metric(
            run, "pack",
            Metric(f"deploy/{name}/bit_exact", equal, "board", objects, {"board": name, "items": len(found)}),
            Metric(f"deploy/{name}/accuracy", right, "board", objects, {"board": name, "items": len(found)}),
            Metric(f"deploy/{name}/items", len(found), "board", objects, {"board": name}),
            Metric(f"deploy/{name}/seconds", time.monotonic() - began, "clock"),
        )  # fmt: skip
        say(f"{name}: {len(found)} items, {'every answer as the host' if equal else 'answers DIFFER'}")
        made.append(Verdict(f"{name} answers as the host", f"deploy/{name}/bit_exact", float(equal), 1.0, equal,
                            "" if equal else "not promoted"))  # fmt: skip
    return made


def _test_items(registry: Registry, run: str) -> str:
    """Examples of the test set that the run drew."""
    found = [step for step in registry.steps(run) if step.name.startswith("data/") and step.name.endswith("/test")]
    together = [step for step in found if step.name == "data/all/test"]
    if not found:
        raise EspikeError("the run has drawn no test items", where=f"run {run}")
    return (together or found)[-1].outputs["examples"]


def presented(name: str, image: bytes, raw: measures.I32) -> np.ndarray[tuple[int, ...], np.dtype[np.int64]]:
    """int64 (items,): what a board answers to raw samples, from the image's own senses."""
    with boards.own_home(), boards.running(name) as target:
        flash(target, image)
        with closing(BoardEngine(target, owns=False)) as engine, Subject(image) as subject:
            engine.reset()
            return np.array([engine.present(one, subject.senses).answer for one in raw], np.int64)
