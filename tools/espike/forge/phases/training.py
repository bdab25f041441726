"""Levels in order, the one of fitting difficulty first; old ones replayed; what was learned, and what forgotten."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...train import Examples
from .. import measures, statistics
from ..behaviour import random_inputs
from ..context import Computed, Context, Outcome
from ..contracts import Verdict
from ..measures import examples_bytes, examples_of
from ..subject import Subject
from ..tasks import Task, join

TRIALS, EPISODES = 100, 20
CALLS = {"total": "calls_total", "ok": "calls_ok", "failed": "calls_failed", "violations": "violations"}
PSEUDO_ITEMS = 300


@dataclass(frozen=True)
class Level:
    """What a level ended with."""

    task: Task
    image: str
    tested: str
    passed: bool
    histories: tuple[str, ...]
    """Of its trainings."""


def run(context: Context) -> Outcome:
    """Train level by level; judge forgetting, invariants and confidence at the end."""
    model = context.only()
    assert model.master is not None
    assert model.image is not None
    context.measure("dequantization_accuracy", measures.agreement, model.image,
                    context.image(model.master, "fp32"), context.all_examples("val"))  # fmt: skip
    order = _order(context, model.image)
    done: list[Level] = []
    master = model.master
    for number, task in enumerate(order, 1):
        master, level = _level(context, number, task, master, done)
        done.append(level)
        if not level.passed:
            break
    if context.sabotage == "stuck-output":
        master = _stuck(context, master)
    image = context.image(master, bits=context.config.quant.bits, calibrated=context.all_examples("train"))
    gates = [_forgetting(context, image, done), *invariant_gates(context, image), *device_gates(context, image, done)]
    gates.append(_report(context, image, done))
    return Outcome((context.draft(model, master, image, formats=model.formats),), tuple(gates))


def _order(context: Context, image: str) -> list[Task]:
    """Levels, beginning with the one whose accuracy before training is nearest to the difficulty asked for."""
    scores = []
    for task in context.tasks:
        data = context.examples(task, "val")
        path = f"level/{task.level}/assessment"
        context.measure(f"{path}/accuracy", measures.accuracy, image, data)
        low = context.measure(f"{path}/low", measures.low, image, data)
        high = context.measure(f"{path}/high", measures.high, image, data)
        scores.append(statistics.Interval(context.metrics[f"train/{path}/accuracy"], low, high))  # type: ignore[arg-type]
    first = statistics.pick_level(scores, context.config.train.difficulty)
    context.measure("edge_of_chaos_optimal_level", measures.count_of, count=context.tasks[first].level)
    return [*context.tasks[first:], *reversed(context.tasks[:first])]


def _level(context: Context, number: int, task: Task, master: str, done: Sequence[Level]) -> tuple[str, Level]:
    """Train a level until its lower bound reaches `advance_at`, or tries are spent."""
    config, path = context.config.train, f"level/{task.level}"
    learned, tested = context.examples(task, "train"), context.examples(task, "val")
    before, epochs = master, 0
    histories: list[str] = []
    mixed = _replayed(context, task, learned, before, done)
    bits = context.config.quant.bits
    passed = False
    for attempt in range(config.max_retries + 1):
        schedule = context.schedule(config.epochs_per_level, config.rate / (attempt + 1), 100 * attempt)
        made = context.trained(f"{task.name}/{attempt}", master, (mixed, tested), schedule, bits=context.bits)
        master, history = made.outputs["master"], made.outputs["history"]
        epochs += config.epochs_per_level
        histories.append(history)
        image = context.image(master, bits=bits, calibrated=learned, name=f"{task.name}/{attempt}")
        low = context.measure(f"{path}/validation_low", measures.low, image, tested)
        context.measure(f"{path}/train_loss", measures.recorded, history, path=["losses", -1])
        context.measure(f"{path}/train_accuracy", measures.recorded, history, path=["accuracies", -1])
        context.measure(f"{path}/retries", measures.count_of, count=attempt)
        passed = bool(low >= config.advance_at)
        if passed:
            break
    held = context.examples(task, "test")
    context.measure(f"{path}/validation_accuracy", measures.accuracy, image, tested)
    context.measure(f"{path}/accuracy", measures.accuracy, image, held)
    context.measure(f"{path}/epochs_to_completion", measures.count_of, count=epochs)
    context.measure(f"{path}/row_norm_change", measures.norm_change, master, before)
    context.measure(f"{path}/passed", measures.reached, image, tested, least=config.advance_at)
    context.say(f"level {task.level}, {task.name}: {'passed' if passed else 'not passed'} after {epochs} epochs")
    return master, Level(task, image, held, passed, tuple(histories))


def _replayed(context: Context, task: Task, learned: str, before: str, done: Sequence[Level]) -> str:
    """The level's examples, kept ones of old levels, and noise with the answers that the network gave before."""
    config = context.config.train
    if not done or not config.replay or context.sabotage == "no-replay":
        return learned
    old = [context.examples(level.task, "train") for level in done]
    teacher = context.image(before, name=f"teacher/{task.name}")
    inputs = {
        "learned": learned, "old": old, "teacher": teacher, "bytes": config.reservoir_bytes,
        "consolidation": config.consolidation, "seed": context.config.run.seed,
    }  # fmt: skip

    def mix() -> Computed:
        new = examples_of(context.get(learned))
        kept = [reservoir(examples_of(context.get(key)), config.reservoir_bytes // len(old)) for key in old]
        repeated = [some for some in kept for _ in range(max(1, len(new) // max(1, len(old) * len(some))))]
        noise = [_pseudo(context, teacher, round(config.consolidation * len(new)))] if config.consolidation else []
        return {"examples": context.put(examples_bytes(join([new, *repeated, *noise])))}, {}

    return context.step(f"replay/{task.name}", inputs, mix).outputs["examples"]


def reservoir(examples: Examples, most_bytes: int) -> Examples:
    """The first examples of each class in turn that fit in so many bytes, a raw value taking one where it can."""
    raw = examples.raw
    narrow = raw.size == 0 or (raw.min() >= -128 and raw.max() <= 255 and np.ptp(raw) <= 255)
    each = raw[0].size * (1 if narrow else 4) if len(raw) else 1
    count = max(1, most_bytes // each)
    rank = np.zeros(len(raw), np.int64)
    for label in np.unique(examples.label):
        own = np.flatnonzero(examples.label == label)
        rank[own] = np.arange(len(own))
    chosen = np.sort(np.lexsort((examples.label, rank))[:count])
    return Examples(raw[chosen], examples.label[chosen])


def _pseudo(context: Context, teacher: str, count: int) -> Examples:
    """Random inputs with the teacher's answers."""
    with Subject(context.get(teacher)) as subject:
        raws = np.array(random_inputs(subject, max(1, count), np.random.default_rng([context.config.run.seed, 7])))
        return Examples(raws, subject.answers(raws).answer)


def _stuck(context: Context, master: str) -> str:
    """Sabotage: the first answering neuron fires by itself."""

    def stick() -> Computed:
        c = context.master(master)
        assert c.senses is not None
        area = next(area for area in c.areas if area.id == c.senses.decoder.area)
        bias = c.bias.copy()
        bias[area.first] = 2 * c.threshold[area.first]
        return {"master": context.put_master(replace(c, bias=bias))}, {}

    return context.step("sabotage/stuck-output", {"master": master}, stick).outputs["master"]


def _forgetting(context: Context, image: str, done: Sequence[Level]) -> Verdict:
    config = context.config
    pairs = [key for level in done[:-1] for key in (level.image, level.tested)]
    lost = context.measure("forgetting", measures.forgetting, image, *pairs)
    limit = config.gates.forgetting_most
    context.measure("catastrophic_forgetting_prevented", measures.not_above, value=float(lost), most=limit)
    for level in done:
        context.measure(f"level/{level.task.level}/final_accuracy", measures.accuracy, image, level.tested)
    context.measure("curriculum_levels_completed", measures.count_of, count=sum(level.passed for level in done))
    return context.gate("old levels are kept", "forgetting", lost, limit, least=False, action="replay more of them")


def invariant_gates(context: Context, image: str, prefix: str = "") -> list[Verdict]:
    """Four invariants, none of which may be violated. prefix: what metrics begin with."""
    seed, made = context.config.run.seed, []
    limits = {
        name: getattr(context.config.gates, name)
        for name in ("duty_most", "rate_most", "idle_rate_most", "recovery_bursts")
    }
    of = {"trials": TRIALS, "seed": seed, "limits": limits}
    for name in measures.INVARIANTS:
        path = f"{prefix}invariant/{name}"
        found = context.measure(f"{path}/violations", measures.violations, image, invariant=name, **of)
        context.measure(f"{path}/margin", measures.invariant_margin, image, invariant=name, **of)
        made.append(context.gate(name, f"{path}/violations", found, 0, least=False, action="train.quiet, or gates"))
    return made


def device_gates(context: Context, image: str, done: Sequence[Level]) -> list[Verdict]:
    """Closed loops: devices of levels that were passed must succeed; those held out are only measured."""
    trained = [level.task for level in done if level.passed and level.task.plant]
    held_out = [task for task in context.suite.tasks if task.held_out and task.plant]
    made, least = [], context.config.gates.device_success
    for task in [*trained, *held_out]:
        path, seed = f"device/{task.name}", context.config.run.seed
        of = {"suite": context.config.run.suite, "task": task.name, "count": EPISODES, "seed": seed}
        rate = context.measure(f"{path}/success_rate", measures.solved, image, **of)
        context.measure(f"{path}/score", measures.episode_score, image, **of)
        for kind, name in CALLS.items():
            context.measure(f"{path}/{name}", measures.calls, image, kind=kind, **of)
        context.say(f"{task.name}: {rate:.0%} of {EPISODES} episodes solved{', never trained' * task.held_out}")
        if task in trained:
            made.append(context.gate(f"{task.name} succeeds", f"{path}/success_rate", rate, least,
                                     action="train longer"))  # fmt: skip
    return made


def _report(context: Context, image: str, done: Sequence[Level]) -> Verdict:
    data = [level.tested for level in done]
    fitted, tested = context.all_examples("val"), context.all_examples("test")
    context.measure("accuracy", measures.accuracy_of_all, image, *data)
    context.measure("grok/detected", measures.grokked, *(key for level in done for key in level.histories))
    off = context.measure("calibration/ece", measures.calibration_error, image, fitted, tested)
    context.measure("calibration/brier", measures.brier, image, fitted, tested)
    context.measure("calibration/accuracy_covered", measures.accuracy_covered, image, fitted, tested)
    context.measure("calibration/abstain_rate", measures.abstained, image, fitted, tested)
    context.measure("criticality/sigma", measures.branching, image, tested, trials=TRIALS, seed=context.config.run.seed)
    context.measure("criticality/m", measures.multistep, image, tested)
    most = context.config.gates.calibration_error_most
    return context.gate("confidence is calibrated", "calibration/ece", off, most, least=False, action="more validation")
