"""Cycles of repair (A: what is answered wrong) and homeostasis (B: rates where they belong), never a step back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ...train import Examples
from .. import measures, statistics
from ..context import Computed, Context, Outcome
from ..contracts import Verdict
from ..measures import examples_bytes, examples_of, right
from ..merge import parameters, with_parameters
from .fit import EPISODES, rates

HARD_TIMES = 4
"""How often an item that was answered wrong is there, beside all others."""
RATE_MOST = 0.35
"""Spikes per burst of a neuron, beyond which an area is turned down."""
GAIN_STEP = 0.15


def run(context: Context) -> Outcome:
    """Begin with A; a kind whose gains have come to a plateau gives way to the other, and where both have, it ends."""
    config, model = context.config, context.only()
    assert model.master is not None
    assert model.image is not None
    tested, learned = context.all_examples("val"), context.all_examples("train")
    master, image = model.master, model.image
    plateaus = {kind: statistics.Plateau(config.tune.plateau_window, config.tune.plateau_threshold) for kind in "AB"}
    counts, kind, applied = {"A": 0, "B": 0}, "A", 0
    refused: list[Verdict] = []
    stalled: set[str] = set()
    accuracy = context.measure("accuracy_before", measures.accuracy, image, tested)
    for cycle in range(1, config.tune.cycles_most + 1):
        if accuracy >= 1 or len(stalled) == len(plateaus):
            break
        counts[kind] += 1
        other = _repaired(context, cycle, master, image) if kind == "A" else _calmed(context, cycle, master)
        made = context.image(other, bits=config.quant.bits, calibrated=learned, name="cycle")
        if kind == "A":
            _losses(context, f"a_cycle/{cycle}", image, {"before": master, "after": other})
        else:
            _homeostasis(context, f"b_cycle/{cycle}", {"before": image, "after": made})
        accepted, verdict = _judged(context, cycle, kind, made, image, tested)
        if accepted and other != master:
            master, image, applied, stalled = other, made, applied + 1, set()
        elif verdict is not None and not verdict.passed:
            refused.append(verdict)
        accuracy = measures.accuracy(context.get(image), context.get(tested))
        if plateaus[kind].add(accuracy):
            context.measure(f"plateau/{cycle}/kind", measures.named, choice=kind)
            context.measure(f"plateau/{cycle}/gain", measures.real, value=plateaus[kind].gain)
            stalled.add(kind)
            kind = "B" if kind == "A" else "A"
    context.measure("plateau_detections", measures.count_of, count=len(stalled))
    context.measure("evaluations", measures.count_of, count=1 + sum(counts.values()))
    return _ended(context, master, image, counts, applied, refused)


def _repaired(context: Context, cycle: int, master: str, image: str) -> str:
    """Trained on all items, those answered wrong several times; part of the change is applied."""
    config = context.config
    learned, tested = context.all_examples("train"), context.all_examples("val")

    def harder() -> Computed:
        some = examples_of(context.get(learned))
        wrong = np.flatnonzero(~right(context.get(image), context.get(learned)))
        order = np.concatenate([np.arange(len(some)), np.repeat(wrong, HARD_TIMES)])
        made = Examples(some.raw[order], some.label[order])
        return {"examples": context.put(examples_bytes(made))}, {}

    step = context.step("failures", {"image": image, "data": learned}, harder)
    context.measure(f"a_cycle/{cycle}/failures", measures.item_count, failed(context, image))
    schedule = context.schedule(config.tune.epochs, config.tune.rate, cycle)
    data = step.outputs["examples"], tested
    trained = context.trained(f"repair/{cycle}", master, data, schedule, bits=context.bits).outputs["master"]
    poisoned = context.sabotage == "poison-update"
    inputs = {"before": master, "after": trained, "strength": config.tune.strength, "poisoned": poisoned}

    def partly() -> Computed:
        before, after = context.master(master), context.master(trained)
        change = parameters(after) - parameters(before)
        if poisoned:
            change = np.random.default_rng(666).normal(0, np.abs(parameters(before)).max(), len(change))
        return {"master": context.put_master(
            with_parameters(before, parameters(before) + config.tune.strength * change))}, {}  # fmt: skip

    return context.step("partly", inputs, partly).outputs["master"]


def failed(context: Context, image: str) -> str:
    """Training items that an image answers wrong -> their hash."""
    learned = context.all_examples("train")

    def miss() -> Computed:
        some = examples_of(context.get(learned))
        wrong = ~right(context.get(image), context.get(learned))
        return {"examples": context.put(examples_bytes(Examples(some.raw[wrong], some.label[wrong])))}, {}

    return context.step("failed", {"image": image, "data": learned}, miss).outputs["examples"]


def _losses(context: Context, path: str, image: str, masters: Mapping[str, str]) -> None:
    """Log the loss on what was answered wrong, before and after a cycle of repair."""
    items = failed(context, image)
    if measures.item_count(context.get(items)):
        for when, master in masters.items():
            context.measure(f"{path}/loss_{when}", measures.loss, master, items)


def _homeostasis(context: Context, path: str, images: Mapping[str, str]) -> None:
    """Log how alike itself a network is before and after a cycle of homeostasis, and where that led its rates."""
    learned, after = context.all_examples("train"), images["after"]
    for when, image in images.items():
        context.measure(f"{path}/consistency_{when}", measures.consistency, image)
    context.measure(f"{path}/rate_error", measures.rates_off, after, learned, most=RATE_MOST)
    context.measure(f"{path}/sigma", measures.branching, after, learned, seed=context.config.run.seed)


def _calmed(context: Context, cycle: int, master: str) -> str:
    """Weights into areas that fire too much made smaller, into areas that are silent larger."""
    learned = context.all_examples("train")
    probe = context.image(master, "fp32", name="rates")

    def calm() -> Computed:
        c = context.master(master)
        rate = rates(context.get(probe), context.get(learned))
        gain = np.ones(c.neurons, np.float32)
        fed = {m.target for m in c.mappings}
        for index in fed:
            area = c.areas[index]
            own = slice(area.first, area.first + area.count)
            gain[own] = np.where(rate[own] > RATE_MOST, 1 - GAIN_STEP, np.where(rate[own] == 0, 1 + GAIN_STEP, 1.0))
        return {"master": context.put_master(replace(c, weight=c.weight * gain[c.target], bias=c.bias * gain))}, {
            "changed": int(np.count_nonzero(gain != 1))
        }

    return context.step("calmed", {"master": master, "data": learned}, calm).outputs["master"]


def _judged(context: Context, cycle: int, kind: str, made: str, image: str, tested: str) -> tuple[bool, Verdict | None]:
    """Is a cycle's network no worse? A poisoned one is told as a missed gate, others are left without a word."""
    config, path = context.config, f"{kind.lower()}_cycle/{cycle}"
    change = measures.accuracy_change(context.get(made), context.get(image), context.get(tested))
    if kind == "A":
        context.measure(f"{path}/solve_before", measures.accuracy, image, tested)
        context.measure(f"{path}/solve_after", measures.accuracy, made, tested)
        low = context.measure(f"{path}/low", measures.gain_low, made, image, tested, seed=config.run.seed)
        accepted = change > 0 and low >= -config.tune.loss_most
    else:
        accepted = change >= 0
    context.measure(f"{path}/strength", measures.real, value=config.tune.strength)
    context.measure(f"{path}/accepted", measures.not_above, value=float(not accepted), most=0.0)
    verdict = None
    if context.sabotage == "poison-update":
        path = f"{path}/low" if kind == "A" else f"{path}/strength"
        verdict = context.gate("an update is no step back", path, change, -config.tune.loss_most, action="refused")
    return accepted, verdict


def _ended(
    context: Context, master: str, image: str, counts: dict[str, int], applied: int, refused: list[Verdict]
) -> Outcome:
    config, model = context.config, context.only()
    assert model.image is not None
    tested, held = context.all_examples("val"), context.all_examples("test")
    context.measure("a_cycles_completed", measures.count_of, count=counts["A"])
    context.measure("b_cycles_completed", measures.count_of, count=counts["B"])
    context.measure("total_ab_cycles", measures.count_of, count=sum(counts.values()))
    context.measure("half_baking_iterations", measures.count_of, count=applied)
    context.measure("stacked_strength", measures.stacked, strength=config.tune.strength, updates=applied)
    context.measure("accuracy", measures.accuracy, image, tested)
    lost = failed(context, model.image)
    if measures.item_count(context.get(lost)):
        assert model.master is not None
        context.measure("baking_loss_reduction", measures.loss_reduction, master, model.master, lost)
    unseen = [task.name for task in context.suite.tasks if task.held_out and task.plant]
    if unseen:
        of = {"suite": config.run.suite, "count": EPISODES, "seed": config.run.seed}
        context.measure("solve_rate_held_out", measures.solved_of_all, image, names=unseen, **of)
    strangers = [m for m in context.registry.models(context.run) if m.phase == "adopt" and m.id != context.origin().id]
    if strangers and strangers[0].image is not None:
        context.measure("consistency_other", measures.likeness, image, strangers[0].image)
    solved = context.measure("solve_rate", measures.accuracy, image, held)
    context.measure("convergence_achieved", measures.not_above, value=config.tune.target - solved, most=0.0)
    same = context.measure("consistency", measures.consistency, image)
    change = context.measure("accuracy_change", measures.accuracy_change, image, model.image, tested)
    gates = [
        context.gate("no step back", "accuracy_change", change, -config.tune.loss_most, action="the old one goes on"),
        context.gate("like itself", "consistency", same, config.gates.consistency, action="more homeostasis"),
        *refused,
    ]
    return Outcome((context.draft(model, master, image, formats=model.formats),), tuple(gates))
