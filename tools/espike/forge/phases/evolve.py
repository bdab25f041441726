"""Generations of merges: parents by tournament, children by operator, the fittest stay."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from espike_sim.errors import EspikeError

from .. import measures, merge
from ..context import Computed, Context, Outcome

EPOCHS, RATE = 2, 5e-3
"""Of the variants that a first generation has beside the candidates."""
TIES_PARENTS = 3


@dataclass(frozen=True)
class Member:
    """A network of a generation."""

    master: str
    image: str
    fitness: float
    operator: str
    origin: str
    """Name of the candidate that its areas are of."""


def run(context: Context) -> Outcome:
    """The fittest network after the last generation."""
    config = context.config.evolve
    members, ancestor = _first(context)
    first = max(members, key=_rank)
    counts: dict[str, list[int]] = {operator: [0, 0] for operator in config.operators}
    best, stagnation, scored = first, 0, len(members)
    _log(context, 0, members, stagnation)
    for generation in range(1, config.generations + 1):
        children = _children(context, generation, members, ancestor, counts)
        scored += len(children)
        members = sorted({m.master: m for m in (*members, *children)}.values(), key=_rank, reverse=True)
        members = members[: config.population]
        leader = members[0]
        stagnation = 0 if leader.fitness > best.fitness else stagnation + 1
        best = leader if leader.fitness > best.fitness else best
        _log(context, generation, members, stagnation)
        context.say(f"generation {generation}: fitness {best.fitness:.4f}, {stagnation} without a better one")
        if stagnation >= config.patience:
            break
    return _ended(context, first, best, counts, scored)


def _rank(member: Member) -> tuple[float, str]:
    return member.fitness, member.master


def _first(context: Context) -> tuple[list[Member], Member]:
    """The candidates, and variants of the fittest: trained on for a little with seeds of their own."""
    config = context.config
    learned, tested = context.all_examples("train"), context.all_examples("val")
    members = [_member(context, str(model.master), model.name, model.name) for model in context.models]
    ancestor = max(members, key=_rank)
    for number in range(max(0, config.evolve.population - len(members)) if config.evolve.generations else 0):
        schedule = context.schedule(EPOCHS, RATE, 1000 * number + 500)
        made = context.trained(f"variant/{number}", ancestor.master, (learned, tested), schedule).outputs["master"]
        members.append(_member(context, made, "trained", ancestor.origin))
    return members, ancestor


def _member(context: Context, master: str, operator: str, origin: str) -> Member:
    image = context.image(master, name="member")
    price = context.config.evolve.price_per_kilobyte
    fitness = measures.accuracy(context.get(image), context.get(context.all_examples("val")))
    return Member(master, image, fitness - price * len(context.get(image)) / 1024, operator, origin)


def _children(
    context: Context, generation: int, members: list[Member], ancestor: Member, counts: dict[str, list[int]]
) -> list[Member]:
    config, made = context.config, []
    rng = np.random.default_rng([config.run.seed, 0xE0, generation])
    for number in range(config.evolve.population):
        operator = config.evolve.operators[number % len(config.evolve.operators)]
        parents = [_tournament(members, rng) for _ in range(TIES_PARENTS)]
        seed = int(rng.integers(1 << 31))
        child = _merged(context, operator, parents, ancestor, seed)
        if child is None:
            continue
        member = _member(context, child, operator, parents[0].origin)
        counts[operator][0] += 1
        counts[operator][1] += member.fitness > max(p.fitness for p in parents[:2])
        made.append(member)
    return made


def _tournament(members: list[Member], rng: np.random.Generator) -> Member:
    chosen = rng.integers(len(members), size=2)
    return max((members[int(i)] for i in chosen), key=_rank)


def _merged(context: Context, operator: str, parents: list[Member], ancestor: Member, seed: int) -> str | None:
    """A child, or None where these parents cannot be merged so."""
    masters = [p.master for p in parents]
    inputs = {"operator": operator, "parents": masters, "ancestor": ancestor.master, "seed": seed}

    def join() -> Computed:
        rng = np.random.default_rng(seed)
        a, b, c = (context.master(master) for master in masters)
        root = context.master(ancestor.master)
        try:
            if operator == "linear":
                child = merge.linear(a, b, float(rng.random()))
            elif operator == "slerp":
                child = merge.slerp(a, b, float(rng.random()))
            elif operator == "ties":
                child = merge.ties(root, [a, b, c], density=float(rng.uniform(0.3, 0.9)))
            elif operator == "dare":
                child = merge.dare(root, [a, b], rng, drop=float(rng.uniform(0.1, 0.6)))
            elif operator == "area-swap":
                fed = sorted({a.areas[m.target].id for m in a.mappings})
                child = merge.area_swap(a, b, [fed[int(rng.integers(len(fed)))]])
            else:
                child = merge.projection_insertion(a, b, float(rng.uniform(0.1, 0.6)))
        except EspikeError:
            return {}, {}
        return {"master": context.put_master(child)}, {}

    return context.step(f"merge/{operator}", inputs, join).outputs.get("master")


def _log(context: Context, generation: int, members: list[Member], stagnation: int) -> None:
    path, images = f"generation/{generation}", [m.image for m in members]
    tested, price = context.all_examples("val"), context.config.evolve.price_per_kilobyte
    for name in ("best", "avg", "min", "max", "std"):
        context.measure(f"{path}/{name}_fitness", measures.fitness, tested, *images, price=price, take=name)
    context.measure(f"{path}/diversity", measures.diversity, *(m.master for m in members))
    context.measure(f"{path}/hamming", measures.answers_differ, tested, *images)
    context.measure(f"{path}/stagnation", measures.count_of, count=stagnation)


def _ended(context: Context, first: Member, best: Member, counts: dict[str, list[int]], scored: int) -> Outcome:
    tested = context.all_examples("val")
    price = context.config.evolve.price_per_kilobyte
    for operator, (tried, better) in counts.items():
        context.measure(f"merge/{operator}/tried", measures.count_of, count=tried)
        context.measure(f"merge/{operator}/success_rate", measures.share, count=better, of=tried)
    context.measure("initial_fitness", measures.fitness, tested, first.image, price=price, take="best")
    context.measure("final_fitness", measures.fitness, tested, best.image, price=price, take="best")
    context.measure("fitness_improvement", measures.fitness_change, tested, best.image, first.image, price=price)
    context.measure("fitness_improvement_percent", measures.fitness_percent, tested, best.image, first.image,
                    price=price)  # fmt: skip
    context.measure("evaluations", measures.count_of, count=scored)
    context.measure("best_merge_operator", measures.named, choice=best.operator)
    for task in context.tasks:
        data = context.examples(task, "val")
        context.measure(f"level/{task.level}/gain", measures.accuracy_change, best.image, first.image, data)
    accuracy = context.measure("accuracy", measures.accuracy, best.image, tested)
    context.measure("compression_ratio", measures.size_ratio, first.image, best.image)
    gain = context.metrics["evolve/fitness_improvement"]
    chance = 1 / max(1, len(context.suite.labels))
    gates = (
        context.gate("no step back", "fitness_improvement", float(gain), 0.0, action="the first one goes on"),
        context.gate("better than chance", "accuracy", accuracy, chance, action="train longer"),
    )
    parents = tuple(model.id for model in context.models)
    model = next((m for m in context.models if m.name == best.origin), context.models[0])
    return Outcome((context.draft(model, best.master, best.image, parents=parents),), gates)
