"""network with senses + labelled samples -> answers, on any engine, and how many are right."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim import sensing
from espike_sim.engine import Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host
from espike_sim.host_senses import Answer, HostSenses
from espike_sim.ledger import concatenate
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

from .board import BoardEngine

I32 = NDArray[np.int32]
I64 = NDArray[np.int64]

Present = Callable[[I32], Answer]
Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Answers:
    """What an engine made of presentations."""

    engine: str
    answer: I64  # (presentations,) -1: none
    values: list[NDArray[Any]]  # per presentation the decoder's value of each neuron that it reads
    hashes: NDArray[np.uint32]  # (presentations, 2) state hash after each
    bursts: I64  # (presentations,) that were run
    seconds: float
    board_us_per_burst: float | None = None
    """Of a board's own clock; None elsewhere."""


def present_on(engine: Engine, q: QuantizedConnectome) -> Present:
    """How an engine is presented raw samples. Raises: EspikeError where the network has no senses."""
    senses = q.senses
    if senses is None:
        raise EspikeError("the network has no senses", do="espike train --from NET --encoder gives it some")
    if isinstance(engine, BoardEngine):
        return lambda raw: engine.present(raw, senses)
    if isinstance(engine, Host):
        return HostSenses(engine).present
    assert isinstance(engine, Reference)
    return lambda raw: _reference(engine, q, raw)


def _reference(engine: Reference, q: QuantizedConnectome, raw: I32) -> Answer:
    senses = q.senses
    assert senses is not None
    if senses.fresh:
        engine.reset(track_potentials=engine.track_potentials)
    first = engine.burst + 1
    stimulus = sensing.code(sensing.presentation(senses, q.areas, raw, first), senses, q)
    ledger = engine.run(senses.bursts if not senses.decoder.margin else 1, stimulus)
    values = sensing.decode(senses, q.areas, ledger, engine.potentials(), first)
    while ledger.last_burst < first + senses.bursts - 1 and not sensing.is_decided(senses.decoder, values):
        ledger = concatenate([ledger, engine.run(1, stimulus)])
        values = sensing.decode(senses, q.areas, ledger, engine.potentials(), first)
    return Answer(sensing.answer(senses.decoder, values), values, ledger.bursts)


def answers(engine: Engine, q: QuantizedConnectome, raw: I32, progress: Progress | None = None) -> Answers:
    """Present each of raw, int32 (presentations, samples, channels), from a reset on."""
    present = present_on(engine, q)
    engine.reset()
    found, hashes = [], []
    began = time.monotonic()
    for number, samples in enumerate(raw):
        found.append(present(samples))
        hashes.append(_hash(engine))
        if progress is not None:
            progress(number + 1, len(raw))
    seconds = time.monotonic() - began
    per_burst = None
    whole = q.senses.bursts if q.senses is not None else 0
    bursts = np.array([whole if a.bursts is None else a.bursts for a in found], np.int64)
    if isinstance(engine, BoardEngine) and bursts.sum():
        per_burst = 1e6 * engine.state.cycles_total / engine.hello.cycles_hz / int(bursts.sum())
    return Answers(
        engine.name, np.array([a.answer for a in found], np.int64), [a.values for a in found],
        np.array(hashes, np.uint32).reshape(-1, 2), bursts, seconds, per_burst,
    )  # fmt: skip


def _hash(engine: Engine) -> tuple[int, int]:
    if isinstance(engine, BoardEngine):
        return engine.state.hash
    assert isinstance(engine, Host | Reference)
    first, second = engine.state_hash
    return first, second


def difference(a: Answers, b: Answers) -> str:
    """The first presentation in which two engines differ, in words; empty where they do not."""
    for number in range(len(a.answer)):
        where = f"presentation {number}: {a.engine} and {b.engine}"
        if a.hashes[number].tolist() != b.hashes[number].tolist():
            return f"{where} end in other state hashes"
        count = min(len(a.values[number]), len(b.values[number]))
        if a.values[number][:count].tolist() != b.values[number][:count].tolist():
            return f"{where} read {a.values[number].tolist()} and {b.values[number].tolist()}"
        if a.answer[number] != b.answer[number]:
            return f"{where} answer {a.answer[number]} and {b.answer[number]}"
    return ""


def confusion(label: I64, answer: I64, classes: int) -> I64:
    """int64 (classes, classes + 1): how often a class was answered by another; the last column: by none."""
    made = np.zeros((classes, classes + 1), np.int64)
    np.add.at(made, (label, np.where((answer < 0) | (answer >= classes), classes, answer)), 1)
    return made
