"""two files of any stage -> how alike they behave: networks run under one stimulus, ledgers are taken as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from espike_sim import ledger as ledgers
from espike_sim import stimulus as stimuli
from espike_sim import stimulus_spec
from espike_sim.connectome import Area
from espike_sim.engine import Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.similarity import Comparison, one_burst_ahead, similarity

from . import engines, network, presentations, presented
from .network import Options
from .presented import Presented

BURSTS = 1000


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    path: str
    kind: str
    """`ledger`, or the stage of the network's file."""
    precision: str = ""
    saturations: int | None = None
    """Potentials that were clamped; None where only a ledger is known."""
    clamped: int = 0
    """Stimulus entries that were cut to their area's limit."""

    @property
    def name(self) -> str:
        """Path and precision, for people."""
        return f"{self.path} ({self.precision})" if self.precision else self.path

    @property
    def short(self) -> str:
        """File name and precision, for a picture."""
        return replace(self, path=Path(self.path).name).name


@dataclass(frozen=True)
class Compared:
    """Two runs and how alike they are."""

    a: Side
    b: Side
    ahead: bool
    """Every burst of b began from a's state."""
    result: Comparison
    areas: tuple[Area, ...]

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        return {"a": vars(self.a), "b": vars(self.b), "ahead": self.ahead, **self.result.as_json()}


def compare(
    a: Path, b: Path, specs: Sequence[str] = (), bursts: int | None = None, *, options: Sequence[Options],
    ahead: bool = False,
) -> Compared:  # fmt: skip
    """Run or read both and compare; `options`: how each becomes a network. Bursts: those of a ledger, or BURSTS.

    Raises: EspikeError where a file does not fit, the numbers of neurons differ, or ledgers hold other bursts.
    """
    kinds = [network.kind_of(path) for path in (a, b)]
    given = [ledgers.load(path) if kind == ledgers.FORMAT else None for path, kind in zip((a, b), kinds, strict=True)]
    if ahead:
        if any(ledger is not None for ledger in given):
            raise EspikeError("a ledger has no state to begin a burst from", do="give networks, or leave --ahead out")
        return _ahead(a, b, kinds, specs, bursts or BURSTS, options)
    held = [ledger for ledger in given if ledger is not None]
    if held and bursts is None:
        bursts = held[0].last_burst
    runs = [
        _run(path, kind, ledger, specs, bursts or BURSTS, how)
        for path, kind, ledger, how in zip((a, b), kinds, given, options, strict=True)
    ]
    areas = runs[0][2] or runs[1][2]
    cut = [_cut(run[1], held[0].first_burst if held else 1, bursts or BURSTS) for run in runs]
    return Compared(runs[0][0], runs[1][0], False, similarity(cut[0], cut[1], areas), areas)


def on_data(
    a: Path, b: Path, data: Path, part: str = "test", *, options: Sequence[Options]
) -> tuple[Side, Side, Presented]:
    """Present `data` to both, as the senses or input areas of a take it; `part`: one of `presentations.PARTS`.

    What fits int8 (bits, calibration) is not asked of a side of another precision.
    Raises: EspikeError where a file does not fit, or the networks have other areas.
    """
    kinds = [network.kind_of(path) for path in (a, b)]
    if ledgers.FORMAT in kinds:
        raise EspikeError("a ledger cannot be presented anything", do="give networks, or leave --data out")
    made = [network.load_quantized(path, _fitting(how)) for path, how in zip((a, b), options, strict=True)]
    found = presented.compare(made[0], made[1], presentations.load(data, made[0], part))
    sides = [
        Side(str(path), kind, q.precision, ran.saturations, ran.clamped)
        for path, kind, q, ran in zip((a, b), kinds, made, (found.a, found.b), strict=True)
    ]
    return sides[0], sides[1], found


def _fitting(how: Options) -> Options:
    return how if how.precision in (None, "int8") else replace(how, bits=None, calibrate=None)


def _run(
    path: Path, kind: str, ledger: Ledger | None, specs: Sequence[str], bursts: int, how: Options
) -> tuple[Side, Ledger, tuple[Area, ...]]:
    if ledger is not None:
        return Side(str(path), "ledger"), ledger, ()
    engine: Engine
    net: stimuli.CodedNetwork
    if kind == "image":
        network.check_options(path, kind, how)
        view = network.load_image(path)
        if how.precision not in (None, view.precision):
            raise EspikeError(f"is packed in {view.precision} already", where=str(path), do="give its genome")
        engine, net = Host(view), network.read_network(view.meta, view.precision, str(path))
    else:
        quantized = network.load_quantized(path, _fitting(how))
        engine, net = engines.make("host", quantized), quantized
    try:
        engine.reset(track_potentials=False)
        coded = stimuli.code(stimulus_spec.parse(specs, net, bursts), net) if specs else None
        ran = engine.run(bursts, coded)
        side = Side(str(path), kind, net.precision, engine.counters().saturations, coded.clamped if coded else 0)
    finally:
        engine.close()
    return side, ran, net.areas


def _ahead(
    a: Path, b: Path, kinds: Sequence[str], specs: Sequence[str], bursts: int, options: Sequence[Options]
) -> Compared:
    made: list[QuantizedConnectome] = [
        network.load_quantized(path, _fitting(how)) for path, how in zip((a, b), options, strict=True)
    ]
    given = stimulus_spec.parse(specs, made[0], bursts) if specs else stimuli.empty()
    left, right, saturations = one_burst_ahead(made[0], made[1], bursts, given)
    sides = [
        Side(str(path), kind, q.precision, count, stimuli.code(given, q).clamped)
        for path, kind, q, count in zip((a, b), kinds, made, (None, saturations), strict=True)
    ]
    areas = made[0].areas
    return Compared(sides[0], sides[1], True, similarity(left, right, areas), areas)


def _cut(ledger: Ledger, first: int, last: int) -> Ledger:
    """Bursts first..last of a ledger, or all that it has of them."""
    begin, end = max(0, first - ledger.first_burst), max(0, last + 1 - ledger.first_burst)
    begin, end = min(begin, ledger.bursts), min(end, ledger.bursts)
    start = ledger.start[begin : end + 1]
    return replace(
        ledger,
        first_burst=ledger.first_burst + begin,
        start=start - start[0],
        ids=ledger.ids[int(start[0]) : int(start[-1])],
        hashes=np.ascontiguousarray(ledger.hashes[begin:end]),
        potential_hashes=None,
    )
