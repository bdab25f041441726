"""two networks + presentations -> how alike they decide and answer: float beside int8 of a trained network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.similarity import Comparison, Similarity, similarity

from .image import pack
from .presentations import Presentations

I64 = NDArray[np.int64]

ALIKE = (0.99, 0.97)
"""Share of equal decisions, and F1, from which an area does what it does in float."""
CLOSE_F1 = 0.9
POINTS_MOST = 0.5
"""Of accuracy, that may be lost."""
ROUNDED = 1e-4
"""Of all decisions, that may differ where potentials saturated without a word."""


@dataclass(frozen=True)
class Run:
    """All presentations of one network, as one ledger: presentation k begins at burst k * bursts + 1."""

    ledger: Ledger
    answers: I64
    """int64 (presentations,); -1: none."""
    saturations: int
    clamped: int
    """Stimulus entries that were cut."""


def run(q: QuantizedConnectome, given: Presentations) -> Run:
    """Present everything to a network, on the host engine."""
    engine, bursts = Host(ImageView(pack(q).data)), given.bursts
    engine.reset(track_potentials=False)
    starts, ids, answers = [np.zeros(1, np.int64)], [np.zeros(0, np.uint32)], []
    saturations = clamped = total = 0
    for k in range(len(given)):
        coded, before = given.coded(k, q), 0 if given.fresh else k * bursts
        if given.fresh:
            saturations += engine.counters().saturations
            engine.reset(track_potentials=False)
        ledger = engine.run(bursts, replace(coded, burst=coded.burst + before))
        answers.append(given.answer(ledger, engine.potentials(), before + 1))
        starts.append(ledger.start[1:] + total)
        ids.append(ledger.ids)
        total, clamped = total + len(ledger.ids), clamped + coded.clamped
    saturations += engine.counters().saturations
    hashes = np.zeros((bursts * len(given), 2), np.uint32)
    whole = Ledger(1, q.neurons, np.concatenate(starts), np.concatenate(ids), hashes, None, engine.network_hash)
    return Run(whole, np.array(answers, np.int64), saturations, clamped)


@dataclass(frozen=True)
class AreaFigures:
    """One area in both networks."""

    alike: Similarity
    rates: tuple[float, float]
    """Spikes per neuron and burst."""
    silent: tuple[int, int]
    """Neurons that never fire."""
    always: tuple[int, int]
    """Neurons that fire in every burst."""
    fell_silent: int
    """Neurons that fire in a and never in b."""
    stuck: int
    """Neurons that fire in every burst of b, and not of a."""
    is_input: bool
    read_out: bool
    """Its neurons never fire: their potentials are what counts."""

    @property
    def verdict(self) -> str:
        """In words."""
        if self.read_out:
            return "does not fire: its potentials count"
        if not self.alike.both + self.alike.only_a + self.alike.only_b:
            return "nothing fires"
        if self.is_input and self.alike.f1 == 1:
            return "input, equal"
        equal, f1 = self.alike.decisions_equal, self.alike.f1
        good = equal >= ALIKE[0] and f1 >= ALIKE[1]
        words = "exactly alike" if f1 == 1 else "alike" if good else "close" if f1 >= CLOSE_F1 else "DIFFERS"
        more = [
            f"{count} {what}"
            for count, what in ((self.fell_silent, "fell silent"), (self.stuck, "now fire in every burst"))
            if count
        ]
        return "; ".join([words, *more])

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        pairs = {"rate": self.rates, "silent": self.silent, "fires_always": self.always}
        sides = {f"{name}_{side}": pair[i] for name, pair in pairs.items() for i, side in enumerate("ab")}
        own = {"fell_silent": self.fell_silent, "stuck": self.stuck, "verdict": self.verdict}
        return self.alike.as_json() | sides | own


@dataclass(frozen=True)
class Presented:
    """Two networks that were presented the same."""

    a: Run
    b: Run
    result: Comparison
    areas: tuple[AreaFigures, ...]
    total: Similarity
    """Without areas to which no synapse leads: those are alike by themselves."""
    labels: I64 | None
    names: tuple[str, ...]
    bursts: int
    """Of a presentation."""

    @property
    def accuracy(self) -> tuple[float, float] | None:
        """Percent that a and b answer right; None without labels."""
        if self.labels is None:
            return None
        of_a, of_b = (100 * float(np.mean(run.answers == self.labels)) for run in (self.a, self.b))
        return of_a, of_b

    @property
    def drop(self) -> float | None:
        """Points of accuracy that b loses."""
        return None if self.accuracy is None else self.accuracy[0] - self.accuracy[1]

    @property
    def answers_equal(self) -> float:
        """Share of presentations that both answer alike."""
        return float(np.mean(self.a.answers == self.b.answers))

    def confusion(self, run: Run) -> I64 | None:
        """int64 (right answers, answers + 1): how often which answer was given to which; last column: none."""
        if self.labels is None:
            return None
        count = len(self.names)
        table = np.zeros((count, count + 1), np.int64)
        known = self.labels >= 0
        np.add.at(table, (self.labels[known], run.answers[known]), 1)  # an answer of -1 is the last column
        return table

    @property
    def verdict(self) -> str:
        """In words, and what to do."""
        alike = self.total.decisions_equal >= ALIKE[0] and self.total.f1 >= ALIKE[1]
        held = self.drop is None or self.drop <= POINTS_MOST
        if alike and held:
            return "b does what a does"
        words = ["spikes differ" if not alike else "spikes are alike"]
        if self.drop is not None:
            words.append(f"accuracy falls by {self.drop:.1f} points" if not held else "answers hold")
        if any(area.fell_silent or area.stuck for area in self.areas):
            words.append("some neurons fell silent or fire in every burst")
        decisions = self.total.neurons * self.total.bursts
        if self.b.saturations > ROUNDED * decisions:
            words.append("potentials saturate")
        return ", ".join(words) + (
            "" if held and alike else ": try --calibrate, or more bits, or train with fewer bits"
        )

    def as_json(self) -> dict[str, Any]:
        """JSON values."""
        made: dict[str, Any] = {
            "presentations": len(self.a.answers), "bursts_per_presentation": self.bursts,
            "total": self.total.as_json(), "areas": [area.as_json() for area in self.areas],
            "saturations_a": self.a.saturations, "saturations_b": self.b.saturations,
            "answers_equal": self.answers_equal, "verdict": self.verdict,
        }  # fmt: skip
        if self.accuracy is not None:
            made |= {"accuracy_a": self.accuracy[0], "accuracy_b": self.accuracy[1], "accuracy_drop": self.drop}
            made |= {"labels": list(self.names), "confusion_a": self.confusion(self.a)}
            made |= {"confusion_b": self.confusion(self.b)}
        return made


def compare(a: QuantizedConnectome, b: QuantizedConnectome, given: Presentations) -> Presented:
    """Present everything to both. Raises: EspikeError where they differ in areas."""
    if [(area.id, area.count) for area in a.areas] != [(area.id, area.count) for area in b.areas]:
        raise EspikeError("networks with other areas cannot be compared on data", do="give one network twice")
    runs = run(a, given), run(b, given)
    ledgers = runs[0].ledger, runs[1].ledger
    found = similarity(*ledgers, a.areas)
    by_name = {area.name: area for area in found.areas}
    counts = [np.bincount(ledger.ids, minlength=a.neurons) for ledger in ledgers]
    fed = {p.target for i, p in enumerate(a.projections) if a.projection_start[i + 1] > a.projection_start[i]}
    bursts = ledgers[0].bursts
    areas = tuple(
        _figures(area, by_name.get(area.id), counts, bursts, is_input=i not in fed) for i, area in enumerate(a.areas)
    )
    total = _together([area.alike for area in areas if not area.is_input] or [area.alike for area in areas])
    return Presented(*runs, found, areas, total, given.labels, given.names, given.bursts)


def _figures(area: Area, alike: Similarity | None, counts: list[I64], bursts: int, *, is_input: bool) -> AreaFigures:
    if alike is None:
        alike = Similarity(area.id, area.count, bursts, 0, 0, 0, 0.0, None)
    of_a, of_b = (of[area.first : area.first + area.count] for of in counts)
    decisions = max(1, area.count * bursts)
    return AreaFigures(
        alike=alike,
        rates=(float(of_a.sum() / decisions), float(of_b.sum() / decisions)),
        silent=(int(np.sum(of_a == 0)), int(np.sum(of_b == 0))),
        always=(int(np.sum(of_a == bursts)), int(np.sum(of_b == bursts))),
        fell_silent=int(np.sum((of_a > 0) & (of_b == 0))),
        stuck=int(np.sum((of_a < bursts) & (of_b == bursts))),
        is_input=is_input,
        read_out=area.dynamics is not None and not area.dynamics.fires and not area.dynamics.graded,
    )


def _together(areas: list[Similarity]) -> Similarity:
    neurons = sum(area.neurons for area in areas)
    error = sum(area.rate_error * area.neurons for area in areas) / max(1, neurons)
    both, only_a, only_b = (sum(getattr(area, name) for area in areas) for name in ("both", "only_a", "only_b"))
    return Similarity("all", neurons, areas[0].bursts, both, only_a, only_b, error, None)
