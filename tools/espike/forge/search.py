"""master -> the front of small and right networks: NSGA-II (Deb et al., 2002) over bits, pruning and bursts.

pymoo searches. What an individual is worth is a pure function of its genes, and a step: a search that was cut off goes
on, and one process, several, and a Dask cluster give the same front. Random search with as many evaluations is measured
beside it.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError

from .. import calibration, presentations, selftest, train
from ..quantize import quantize
from . import measures, shrink
from .context import Computed, Context
from .measures import examples_of, master_bytes, master_of
from .packages import one_thread
from .rounded import bits_of
from .rows import Step
from .statistics import hypervolume

PRUNE_STEPS = 9
BURST_SHARES = (1.0, 0.8, 0.64, 0.48)
"""Of a static sample's bursts."""
EPOCHS, RATE = 2, 2e-3
CALIBRATED = 0.1
MULTIPLE = 1.5
"""The hypervolume counts up to this many times the bytes of what the search began with, and an error of 1."""

Genes = tuple[int, ...]
"""Per area that weights lead into: which of the widths; then the step of pruning, then of bursts."""


@dataclass(frozen=True)
class Given:
    """What all individuals of a search share; crosses processes."""

    master: bytes
    learned: bytes
    tested: bytes
    rate: NDArray[np.float64]  # (neurons,)
    widths: tuple[int, ...]
    prune: float
    labels: tuple[str, ...]
    schedule: train.Schedule


@dataclass(frozen=True)
class Individual:
    """An evaluated network."""

    genes: Genes
    master: str
    image: str
    error: float
    bytes: int
    feasible: bool


def ranges(context: Context, master: str) -> list[int]:
    """How many values each gene has."""
    c = context.master(master)
    assert c.senses is not None
    static = c.senses.samples == 1 and c.senses.bursts_per_sample > len(BURST_SHARES)
    widths = len(context.config.fit.bits)
    prunes = PRUNE_STEPS if context.config.fit.prune else 1
    return [*[widths] * len(bits_of(c, 8)), prunes, len(BURST_SHARES) if static else 1]


def evaluate(given: Given, genes: Genes) -> tuple[bytes, bytes]:
    """(master, image) of an individual: pruned, trained on with its bits, quantized. A pure function."""
    c = master_of(given.master)
    *widths, prune, bursts = genes
    c = shrink.prune_neurons(c, given.prune * prune / (PRUNE_STEPS - 1), given.rate)
    senses = c.senses
    assert senses is not None
    shown = max(1, round(senses.bursts_per_sample * BURST_SHARES[bursts]))
    c = replace(c, senses=replace(senses, bursts_per_sample=shown))
    bits = {area: given.widths[k] for area, k in zip(bits_of(c, 8), widths, strict=True)}
    bits = {area: width for area, width in bits.items() if width < 8}
    data = train.Data(examples_of(given.learned), examples_of(given.tested), given.labels, senses.unit)
    with one_thread():
        made = train.train(train.of(c, "individual"), data, given.schedule, bits).connectome
    assert made.senses is not None
    shown_some = presentations.Presentations(data.train.raw, made.senses, made.areas, None, ()).part(CALIBRATED)
    fitted = calibration.calibrate(made, shown_some.stimuli(), shown_some.bursts, len(shown_some))
    return master_bytes(made), selftest.pack(quantize(made, "int8", fitted)).data


Map = Callable[[Callable[[Any], Any], Iterable[Any]], list[Any]]


@contextmanager
def workers(context: Context) -> Any:
    """How individuals are evaluated: here, in processes of this machine, or by a Dask scheduler.

    Raises: EspikeError where the scheduler cannot be reached, or dask is missing.
    """
    asked = context.config.fit.search
    if asked.scheduler:
        with _cluster(asked.scheduler) as client:
            yield lambda f, items: client.gather(client.map(f, list(items), pure=False))
    elif asked.workers > 1:
        with ProcessPoolExecutor(asked.workers) as pool:
            yield lambda f, items: list(pool.map(f, items))
    else:
        yield lambda f, items: list(map(f, items))


def _cluster(address: str) -> Any:
    try:
        from distributed import Client
    except ImportError:
        raise EspikeError("needs dask", where="fit.search.scheduler", do="pip install 'espike[forge]'") from None
    try:
        return Client(address, timeout=10)  # type: ignore[no-untyped-call]
    except (OSError, ValueError, TimeoutError) as error:
        raise EspikeError(f"cannot reach the scheduler {address}: {error}", where="fit.search.scheduler") from None


@dataclass
class Evaluator:
    """Evaluates individuals once each, as steps."""

    context: Context
    given: Given
    keys: dict[str, Any]
    """What a step's key has beside the genes."""
    map: Map
    known: dict[Genes, Individual]

    def all(self, wanted: Sequence[Genes]) -> list[Individual]:
        """Individuals in the order asked for; those that are not kept are evaluated together."""
        new = [genes for genes in dict.fromkeys(wanted) if genes not in self.known]
        missing = [genes for genes in new if self.context.kept("individual", self._inputs(genes)) is None]
        made = dict(zip(missing, self.map(_Task(self.given), missing), strict=True)) if missing else {}
        for genes in new:
            self.known[genes] = self._keep(genes, made.get(genes))
        return [self.known[genes] for genes in wanted]

    def _inputs(self, genes: Genes) -> dict[str, Any]:
        return self.keys | {"genes": list(genes)}

    def _keep(self, genes: Genes, made: tuple[bytes, bytes] | None) -> Individual:
        context = self.context

        def store() -> Computed:
            assert made is not None
            return {"master": context.put(made[0]), "image": context.put(made[1])}, {}

        step: Step = context.step("individual", self._inputs(genes), store)
        image = context.get(step.outputs["image"])
        fits = measures.fits(image, context.config.run.board, context.config.gates.ram_spare_bytes)
        error = 1 - measures.accuracy(image, self.given.tested)
        return Individual(genes, step.outputs["master"], step.outputs["image"], error, len(image), fits)


@dataclass(frozen=True)
class _Task:
    """`evaluate` with what is given, as one argument."""

    given: Given

    def __call__(self, genes: Genes) -> tuple[bytes, bytes]:
        return evaluate(self.given, genes)


def chosen(context: Context, master: str, rate: NDArray[np.float64]) -> str:
    """The smallest master of the front whose error is no more than it may be; `master` itself where none is.

    rate: float64 (neurons,) spikes per burst.
    """
    config = context.config
    learned, tested = context.all_examples("train"), context.all_examples("val")
    given = Given(
        context.get(master), context.get(learned), context.get(tested), rate, config.fit.bits, config.fit.prune,
        context.suite.labels, context.schedule(EPOCHS, RATE),
    )  # fmt: skip
    keys = {"master": master, "learned": learned, "bits": config.fit.bits, "prune": config.fit.prune,
            "schedule": vars(given.schedule)}  # fmt: skip
    spans = ranges(context, master)
    base = context.image(master, bits=config.quant.bits, calibrated=learned, name="unpruned")
    limit = MULTIPLE * len(context.get(base))
    with workers(context) as how:
        evaluator = Evaluator(context, given, keys, how, {})
        found, curve = _evolved(evaluator, spans, limit)
        others, beside = _random(evaluator, spans, limit, len(found))
    _log(context, found, curve, others, beside, limit)
    most = 1 - measures.accuracy(context.get(base), given.tested) + config.fit.score_loss_most
    good = {one.genes: one for one in found if one.feasible and one.error <= most}
    for one in sorted(good.values(), key=lambda one: (one.bytes, one.error, one.genes)):
        image = context.get(context.image(one.master, bits=config.quant.bits, calibrated=learned, name="searched"))
        kept = measures.retention_low(image, context.get(base), given.tested, seed=config.run.seed)
        if kept >= config.gates.retention:
            context.say(f"search: {len(found)} networks, the smallest that is as right has {one.bytes:,} bytes")
            return one.master
    context.say("search: none is as right; the network stays as it is")
    return master


def _evolved(evaluator: Evaluator, spans: Sequence[int], limit: float) -> tuple[list[Individual], list[float]]:
    """All individuals of NSGA-II, in order, and the hypervolume after each generation."""
    moo = _pymoo()
    asked, seed = evaluator.context.config.fit.search, evaluator.context.config.run.seed
    problem = moo.Problem(n_var=len(spans), n_obj=2, n_ieq_constr=1, xl=0, xu=np.array(spans) - 1, vtype=int)
    repair = moo.RoundingRepair()
    crossover = moo.SBX(prob=0.9, eta=3, vtype=float, repair=repair)
    mutation = moo.PM(eta=3, vtype=float, repair=repair)
    algorithm = moo.NSGA2(
        pop_size=asked.population, sampling=first(spans, asked.population, seed), crossover=crossover,
        mutation=mutation, eliminate_duplicates=True,
    )  # fmt: skip
    algorithm.setup(problem, termination=("n_gen", asked.generations + 1), seed=seed, verbose=False)
    found: list[Individual] = []
    curve: list[float] = []
    while algorithm.has_next() and (asked_for := algorithm.ask()) is not None:
        genes = [tuple(int(g) for g in row) for row in asked_for.get("X")]
        some = evaluator.all(genes)
        values = np.array([[one.error, one.bytes] for one in some], np.float64)
        broken = np.array([[0.0 if one.feasible else 1.0] for one in some])
        moo.Evaluator().eval(moo.StaticProblem(problem, F=values, G=broken), asked_for)
        algorithm.tell(infills=asked_for)
        found += some
        curve.append(volume(found, limit))
        evaluator.context.say(f"search: generation {len(curve) - 1}, hypervolume {curve[-1]:.4f}")
    return found, curve


def first(spans: Sequence[int], count: int, seed: int) -> NDArray[np.int64]:
    """int64 (count, genes): a first generation. Half of it at most is what spans the front, the rest is drawn.

    These have one width throughout, and all that may be pruned or nothing: first the smallest of all, then the network
    as it is.
    """
    *widths, prunes, _ = spans
    ends: list[Genes] = []
    for k in range(widths[0]):
        ends += [(*[widths[0] - 1 - k] * len(widths), prunes - 1, 0), (*[k] * len(widths), 0, 0)]
    known = list(dict.fromkeys(ends))[: count // 2]
    return np.array(known + drawn(spans, count, np.random.default_rng([seed, 0xF1]), known), np.int64)


def drawn(spans: Sequence[int], count: int, rng: np.random.Generator, known: Sequence[Genes] = ()) -> list[Genes]:
    """Genes by chance, none twice, until there are `count` with those that are known, or no others."""
    made = dict.fromkeys(known)
    while len(made) < min(count, math.prod(spans)):
        made[tuple(int(rng.integers(span)) for span in spans)] = None
    return list(made)[len(known) :]


def _random(
    evaluator: Evaluator, spans: Sequence[int], limit: float, count: int
) -> tuple[list[Individual], list[float]]:
    """As many individuals by chance, in parts of a population, and the hypervolume after each part."""
    config = evaluator.context.config
    genes = drawn(spans, count, np.random.default_rng([config.run.seed, 0x5EA]))
    size = config.fit.search.population
    found: list[Individual] = []
    curve: list[float] = []
    for begin in range(0, len(genes), size):
        found += evaluator.all(genes[begin : begin + size])
        curve.append(volume(found, limit))
    return found, curve


def volume(found: Sequence[Individual], limit: float) -> float:
    """The share of (error 0..1) x (bytes 0..limit) that feasible individuals dominate."""
    points = np.array([[one.error, one.bytes / limit] for one in found if one.feasible]).reshape(-1, 2)
    return hypervolume(points, (1.0, 1.0))


def front(found: Sequence[Individual]) -> list[Individual]:
    """Feasible ones that none beats in error and bytes, by bytes."""
    made: list[Individual] = []
    for one in sorted((i for i in found if i.feasible), key=lambda i: (i.bytes, i.error, i.genes)):
        if not made or one.error < made[-1].error:
            made.append(one)
    return made


def _log(
    context: Context, found: list[Individual], curve: list[float], others: list[Individual], beside: list[float],
    limit: float,
) -> None:  # fmt: skip
    tested = context.all_examples("val")
    record = context.put_json({"hypervolume": curve, "random": beside, "limit": limit})
    for generation in range(len(curve)):
        path = f"search/generation/{generation}"
        context.measure(f"{path}/hypervolume", measures.recorded, record, path=["hypervolume", generation])
    for generation in range(len(beside)):
        path = f"search/generation/{generation}"
        context.measure(f"{path}/random_hypervolume", measures.recorded, record, path=["random", generation])
    context.measure("search/hypervolume", measures.dominated, tested, *(i.image for i in found), limit=limit)
    context.measure("search/random_hypervolume", measures.dominated, tested, *(i.image for i in others), limit=limit)
    context.measure("search/evaluations", measures.count_of, count=len(found))
    for number, one in enumerate(front(found)):
        path = f"search/front/{number}"
        context.measure(f"{path}/error", measures.error, one.image, tested)
        context.measure(f"{path}/bytes", measures.byte_count, one.image)
        context.measure(f"{path}/burst_us", measures.burst_us, one.image, tested, board=context.config.run.board)


def _pymoo() -> Any:
    """What is used of pymoo, as one object. Raises: EspikeError where it is missing."""
    try:
        from pymoo.algorithms.moo.nsga2 import NSGA2
        from pymoo.core.evaluator import Evaluator
        from pymoo.core.problem import Problem
        from pymoo.operators.crossover.sbx import SBX
        from pymoo.operators.mutation.pm import PM
        from pymoo.operators.repair.rounding import RoundingRepair
        from pymoo.problems.static import StaticProblem
    except ImportError:
        raise EspikeError(
            "needs pymoo", where="fit.search", do="pip install 'espike[forge]', or generations = 0"
        ) from None
    logging.getLogger("pymoo").setLevel(logging.ERROR)
    from types import SimpleNamespace

    return SimpleNamespace(
        NSGA2=NSGA2, Evaluator=Evaluator, Problem=Problem, SBX=SBX, PM=PM, RoundingRepair=RoundingRepair,
        StaticProblem=StaticProblem,
    )  # fmt: skip
