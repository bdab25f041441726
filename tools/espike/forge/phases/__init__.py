"""Phases of a run: each takes a context and gives an outcome; all that they do are steps."""

from __future__ import annotations

from collections.abc import Callable

from ..context import Context, Outcome
from ..contracts import Phase
from . import adopt, evolve, fit, pack, quant, settle, training, tune

RUN: dict[Phase, Callable[[Context], Outcome]] = {
    "adopt": adopt.run,
    "evolve": evolve.run,
    "settle": settle.run,
    "quant": quant.run,
    "train": training.run,
    "tune": tune.run,
    "fit": fit.run,
    "pack": pack.run,
}

__all__ = ["RUN"]
