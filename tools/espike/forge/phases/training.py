"""Levels in order, the one of fitting difficulty first; old ones replayed; what was learned, and what forgotten."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ...train import Examples
from .. import measures, statistics
from ..behaviour import noisy, random_inputs
from ..context import Computed, Context, Outcome
from ..contracts import Verdict
from ..measures import examples_bytes, examples_of
from ..subject import Subject
from ..tasks import PARTS, Task, join
from .fit import EPISODES

TRIALS = 100
DREAM_NOISE = 1 / 8
"""Of the span between the encoders' ends, to either side."""
CALLS = {"total": "calls_total", "ok": "calls_ok", "failed": "calls_failed", "violations": "violations"}
CURVES = {
    "loss": "losses", "train_accuracy": "accuracies", "validation_accuracy": "validation",
    "validation_loss": "validation_losses", "rate": "rates", "gradient_norm": "norms",
}  # fmt: skip
"""Of a level's training: names of metrics, and of what its history has."""


@dataclass(frozen=True)
class Level:
    """What a level ended with."""

    task: Task
    image: str
    tested: str
    passed: bool
    histories: tuple[str, ...]
    """Of its trainings."""
    replayed: bool
    """Were old levels trained again beside it?"""


def run(context: Context) -> Outcome:
    """Train level by level; judge forgetting, invariants and confidence at the end."""
    model = context.only()
    assert model.master is not None
    assert model.image is not None
    context.measure("dequantization_accuracy", measures.agreement, model.image,
                    context.image(model.master, "fp32"), context.all_examples("val"))  # fmt: skip
    _drawn(context)
    begins = time.monotonic()
    order = _order(context, model.image)
    done: list[Level] = []
    master = model.master
    for task in order:
        began = time.monotonic()
        master, level = _level(context, task, master, done)
        done.append(level)
        context.timed(f"level/{task.level}/seconds", time.monotonic() - began)
        if not level.passed:
            break
    if context.sabotage == "stuck-output":
        master = _stuck(context, master)
    image = context.image(master, bits=context.config.quant.bits, calibrated=context.all_examples("train"))
    gates = [_forgetting(context, image, done), *invariant_gates(context, image), *device_gates(context, image, done)]
    gates.append(_report(context, image, done))
    _summary(context, image, done, gates)
    context.timed("total_training_hours", (time.monotonic() - begins) / 3600)
    return Outcome((context.draft(model, master, image, formats=model.formats),), tuple(gates))


def _drawn(context: Context) -> None:
    """Log what examples there are of each task."""
    for task in context.tasks:
        parts = [context.examples(task, part) for part in PARTS]
        context.measure(f"tasks/{task.name}/generated", measures.count_of, count=sum(
            measures.item_count(context.get(part)) for part in parts))  # fmt: skip
        context.measure(f"tasks/{task.name}/duplicate_rate", measures.duplicate_rate, *parts)
        context.measure(f"tasks/{task.name}/label_balance", measures.label_balance, parts[0])


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
    data = context.examples(context.tasks[first], "val")
    context.measure("edge_of_chaos_accuracy", measures.accuracy, image, data)
    return [*context.tasks[first:], *reversed(context.tasks[:first])]


def _level(context: Context, task: Task, master: str, done: Sequence[Level]) -> tuple[str, Level]:
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
        context.learned(path, history, CURVES, epochs)
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
    if task.numbers is not None:
        context.measure(f"{path}/smape", measures.smape, image, held, numbers=task.numbers)
    replayed = mixed != learned
    if replayed and config.consolidation:
        kept = [_reservoir(context, level.task, len(done)) for level in done]
        noise = _noise(context, task, before, kept, len(examples_of(context.get(learned))))
        context.measure(f"{path}/dream_reconstruction_loss", measures.error, image, noise)
    context.measure(f"{path}/passed", measures.reached, image, tested, least=config.advance_at)
    context.say(f"level {task.level}, {task.name}: {'passed' if passed else 'not passed'} after {epochs} epochs")
    return master, Level(task, image, held, passed, tuple(histories), replayed)


def _replayed(context: Context, task: Task, learned: str, before: str, done: Sequence[Level]) -> str:
    """The level's examples, kept ones of old levels, and noise with the answers that the network gave before."""
    config = context.config.train
    if not done or not config.replay or context.sabotage == "no-replay":
        return learned
    kept = [_reservoir(context, level.task, len(done)) for level in done]
    count = len(examples_of(context.get(learned)))
    noise = [_noise(context, task, before, kept, count)] if config.consolidation else []

    def mix() -> Computed:
        new = examples_of(context.get(learned))
        old = [examples_of(context.get(key)) for key in kept]
        repeated = [some for some in old for _ in range(max(1, len(new) // max(1, len(old) * len(some))))]
        dreamt = [examples_of(context.get(key)) for key in noise]
        return {"examples": context.put(examples_bytes(join([new, *repeated, *dreamt])))}, {}

    inputs = {"learned": learned, "old": kept, "noise": noise}
    return context.step(f"replay/{task.name}", inputs, mix).outputs["examples"]


def _reservoir(context: Context, task: Task, levels: int) -> str:
    """What is kept of an old level's examples, one of several."""
    learned, most = context.examples(task, "train"), context.config.train.reservoir_bytes // levels

    def keep() -> Computed:
        kept = reservoir(examples_of(context.get(learned)), most)
        return {"examples": context.put(examples_bytes(kept))}, {}

    return context.step(f"reservoir/{task.name}", {"learned": learned, "bytes": most}, keep).outputs["examples"]


def _noise(context: Context, task: Task, before: str, kept: Sequence[str], count: int) -> str:
    """Random inputs, and kept items with noise, in all a share of `count`, with the answers from before a level."""
    teacher = context.image(before, name=f"teacher/{task.name}")
    count, seed = max(1, round(context.config.train.consolidation * count)), context.config.run.seed

    def dream() -> Computed:
        rng = np.random.default_rng([seed, 7])
        old = np.concatenate([examples_of(context.get(key)).raw for key in kept])
        with Subject(context.get(teacher)) as subject:
            raws = np.array(random_inputs(subject, max(1, count // 4), rng))
            some = old[rng.integers(len(old), size=count - len(raws))]
            raws = np.concatenate([raws, noisy(subject, some, DREAM_NOISE, rng)])
            found = Examples(raws, subject.answers(raws).answer)
        return {"examples": context.put(examples_bytes(found))}, {}

    inputs = {"teacher": teacher, "count": count, "seed": seed, "kept": kept}
    return context.step(f"noise/{task.name}", inputs, dream).outputs["examples"]


def reservoir(examples: Examples, most_bytes: int) -> Examples:
    """The first examples of each class in turn that fit in so many bytes, a raw value taking one where it can."""
    raw = examples.raw
    count = max(1, most_bytes * len(raw) // max(1, measures.raw_bytes(raw)))
    rank = np.zeros(len(raw), np.int64)
    for label in np.unique(examples.label):
        own = np.flatnonzero(examples.label == label)
        rank[own] = np.arange(len(own))
    chosen = np.sort(np.lexsort((examples.label, rank))[:count])
    return Examples(raw[chosen], examples.label[chosen])


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
        path = f"level/{level.task.level}"
        context.measure(f"{path}/final_accuracy", measures.accuracy, image, level.tested)
        context.measure(f"{path}/forgetting", measures.forgetting, image, level.image, level.tested)
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
    if trained:
        of = {"suite": context.config.run.suite, "count": EPISODES, "seed": context.config.run.seed}
        names = [task.name for task in trained]
        context.measure("tool_use_success_rate", measures.solved_of_all, image, names=names, **of)
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
    histories = [key for level in done for key in level.histories]
    context.measure("grok/detected", measures.grokked, *histories)
    context.measure("grok/epoch", measures.grok_epoch, *histories)
    context.measure("grok/accuracy_derivative", measures.largest_gain, *histories)
    off = context.measure("calibration/ece", measures.calibration_error, image, fitted, tested)
    context.measure("self_modeling_accuracy", measures.self_knowledge, image, fitted, tested)
    context.measure("calibration/brier", measures.brier, image, fitted, tested)
    context.measure("calibration/accuracy_covered", measures.accuracy_covered, image, fitted, tested)
    context.measure("calibration/abstain_rate", measures.abstained, image, fitted, tested)
    context.measure("criticality/sigma", measures.branching, image, tested, trials=TRIALS, seed=context.config.run.seed)
    context.measure("criticality/m", measures.multistep, image, tested)
    context.measure("criticality/gain", measures.critical_gain, image, tested)
    for level in done if len(done) > 1 else ():
        path = f"criticality/{level.task.name}"
        context.measure(f"{path}/sigma", measures.branching, image, level.tested, trials=TRIALS,
                        seed=context.config.run.seed)  # fmt: skip
        context.measure(f"{path}/m", measures.multistep, image, level.tested)
    most = context.config.gates.calibration_error_most
    return context.gate("confidence is calibrated", "calibration/ece", off, most, least=False, action="more validation")


def _summary(context: Context, image: str, done: Sequence[Level], gates: Sequence[Verdict]) -> None:
    """Log what the phase took, and whether all invariants hold."""
    config = context.config.train
    histories = [key for level in done for key in level.histories]
    dreamt = sum(len(level.histories) for level in done if level.replayed) * config.epochs_per_level
    stages = ["assessment", "levels", "invariants", "confidence", "criticality"]
    stages += ["consolidation"] * bool(dreamt) + ["devices"] * any(level.task.plant is not None for level in done)
    context.measure("stages_completed", measures.count_of, count=len(stages))
    context.measure("final_curriculum_accuracy", measures.accuracy_of_all, image, *(level.tested for level in done))
    context.measure("total_epochs", measures.recorded_sum, *histories, path=["epochs"])
    context.measure("total_steps", measures.recorded_sum, *histories, path=["steps"])
    context.measure("dream_consolidation_epochs", measures.count_of, count=dreamt)
    kept = [_reservoir(context, level.task, len(done) - 1) for level in done[:-1]] if dreamt else []
    context.measure("reservoir_bytes", measures.raw_bytes_of_all, *kept)
    if config.quiet:
        context.measure("invariant/quiet_when_idle/penalty_loss", measures.recorded, histories[-1], path=["noise", -1])
        context.measure("invariant/quiet_when_idle/steps", measures.recorded_sum, *histories, path=["steps"])
    violated = sum(gate.value for gate in gates if gate.gate in measures.INVARIANTS)
    context.measure("eudaimonia_baking_success", measures.not_above, value=violated, most=0.0)
