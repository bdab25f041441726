"""A network made to fit its board: what cannot matter folded, what matters least pruned, and a search over the rest."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import Connectome

from ...image import pack
from ...quantize import quantize
from .. import measures, search, shrink
from ..context import Computed, Context, Outcome
from ..contracts import Verdict
from ..measures import examples_of
from ..subject import Subject

TINY = {"flash": 1024, "ram": 64}
"""The board of `--sabotage small-board`: bytes."""
FINE_EPOCHS, FINE_RATE = 5, 3e-3
EPISODES = 20
"""Of each device."""
STEPS = 4
"""Of pruning, each a further part of what is asked for."""
INFLATED = 8.0


def run(context: Context) -> Outcome:
    """Fold, prune while accuracy holds, search; then the board's limits."""
    config, model = context.config, context.only()
    assert model.master is not None
    assert model.image is not None
    tested, held = context.all_examples("val"), context.all_examples("test")
    (master, passes), bits = _folded(context, model.master), config.quant.bits
    folded = master
    if config.fit.search.generations:
        probe = context.image(master, "fp32", name="rates")
        found = rates(context.get(probe), context.get(context.all_examples("train")))
        master = search.chosen(context, master, found)
    else:
        master = _pruned_in_steps(context, master)
    passes += ["search" if config.fit.search.generations else "prune"] * (master != folded)
    context.measure("optimization/techniques_applied", measures.named, choice=",".join(passes) or "none")
    if context.sabotage == "inflate-weights":
        master = _inflated(context, master)
    learned = context.all_examples("train")
    image = context.image(master, bits=bits, calibrated=learned, name="fitted")
    context.measure("quality/accuracy_before", measures.accuracy, model.image, held)
    context.measure("quality/accuracy", measures.accuracy, image, held)
    kept = context.measure(
        "quality/retention_low", measures.retention_low, image, model.image, tested, seed=config.run.seed
    )
    context.measure("quality/accuracy_retention", measures.retention, image, model.image, held)
    context.measure("accuracy", measures.accuracy, image, held)
    _performance(context, image)
    gates = (
        context.gate("accuracy is kept", "quality/retention_low", kept, config.gates.retention, action="prune less"),
        *board_gates(context, image),
    )
    made = context.draft(model, master, image, formats=("int8",))
    return Outcome((made,), gates)


def board_gates(context: Context, image: str, path: str = "") -> list[Verdict]:
    """Bytes of flash and RAM, and the time of a burst, within what the board has. path: what metrics begin with."""
    config = context.config
    board, held = config.run.board, context.all_examples("test")
    limits = TINY if context.sabotage == "small-board" else {}
    spare = 0 if limits else config.gates.ram_spare_bytes
    time_of, met = f"{path}performance/burst_us", f"{path}deployment/target_met"
    context.measure(f"{path}performance/bytes", measures.byte_count, image)
    context.measure(f"{path}performance/ram_bytes", measures.ram_bytes, image)
    us = context.measure(time_of, measures.burst_us, image, held, board=board)
    fits = context.measure(met, measures.fits, image, board=board, spare=spare, **limits)
    made = [context.gate(f"fits {board}", met, fits, 1, action="prune more, or fewer bits")]
    if config.run.deadline_us:
        limit = config.run.deadline_us * config.gates.busy_most
        action = "fewer neurons, or a faster board"
        made.append(context.gate("keeps the deadline", time_of, us, limit, least=False, action=action))
    return made


def _performance(context: Context, image: str) -> None:
    """Log what the board will do with the image, as planned, and what its bytes are."""
    board, held = context.config.run.board, context.all_examples("test")
    context.measure("deployment/device_type", measures.named, choice=board)
    context.measure("performance/burst_us_p99", measures.burst_us_of, image, held, board=board, quantile=0.99)
    context.measure("performance/burst_us_max", measures.burst_us_of, image, held, board=board, quantile=1.0)
    context.measure("performance/bursts_per_s", measures.bursts_per_s, image, held, board=board)
    context.measure("performance/energy_uj", measures.energy_uj, image, held, board=board)
    for section in measures.SECTIONS:
        context.measure(f"section/{section}/bytes", measures.section_bytes, image, section=section)
    devices = [task.name for task in context.tasks if task.plant]
    if devices:
        of = {"suite": context.config.run.suite, "count": EPISODES, "seed": context.config.run.seed}
        context.measure("quality/tool_success_rate", measures.solved_of_all, image, names=devices, **of)


def _folded(context: Context, master: str) -> tuple[str, list[str]]:
    """Lossless: what is left fires as before -> master, and the passes that changed it."""
    raw, passes = examples_of(context.get(context.all_examples("train"))).raw, []
    changes = {
        "fold": shrink.fold, "channels": lambda c: shrink.unread_channels(c, raw),
        "renumber": _nearer,
    }  # fmt: skip
    made = {"": master}
    for name, change in changes.items():
        before = list(made.values())[-1]

        def apply(change: Callable[[Connectome], Connectome] = change, before: str = before) -> Computed:
            return {"master": context.put_master(change(context.master(before)))}, {}

        inputs = {"master": before, "data": context.all_examples("train")}
        made[name] = context.step(name, inputs, apply).outputs["master"]
        passes += [name] * (made[name] != before)
    context.measure("optimization/duplicates_merged", measures.duplicates, master)
    context.measure("optimization/dead_removed", measures.neurons_removed, made["fold"], master)
    context.measure("optimization/inputs_pruned", measures.channels_removed, made["channels"], made["fold"])
    images = [context.image(made[name], name=name) for name in ("channels", "renumber")]
    context.measure("optimization/gap_bits_saved", measures.bits_saved, images[1], images[0])
    return made["renumber"], passes


def _nearer(c: Connectome) -> Connectome:
    """Renumbered, where that makes the image smaller."""
    return min((c, shrink.renumbered(c)), key=lambda one: len(pack(quantize(one, "int8")).data))


def _pruned_in_steps(context: Context, master: str) -> str:
    """Inner neurons out in steps, each followed by training; the last master whose accuracy holds."""
    config = context.config
    learned, tested = context.all_examples("train"), context.all_examples("val")
    base = context.image(master, bits=config.quant.bits, calibrated=learned, name="unpruned")
    best, ratio = master, config.fit.prune
    for number in range(1, STEPS + 1 if ratio else 1):
        part = ratio * number / STEPS
        smaller = pruned(context, master, learned, part)
        schedule = context.schedule(FINE_EPOCHS, FINE_RATE)
        trained = context.trained(f"pruned/{number}", smaller, (learned, tested), schedule, bits=context.bits)
        made, bits = trained.outputs["master"], config.quant.bits
        image = context.image(made, bits=bits, calibrated=learned, name=f"pruned/{number}")
        context.measure(f"prune/{number}/accuracy", measures.accuracy, image, tested)
        context.measure(f"prune/{number}/neurons", measures.neuron_count, made)
        change = context.measure(f"prune/{number}/change", measures.accuracy_change, image, base, tested)
        context.say(f"pruned {part:.0%} of the inner neurons: accuracy {change:+.3f}")
        if change < -config.fit.score_loss_most:
            break
        best = made
    context.measure("optimization/synapses_pruned", measures.synapses_removed, best, master)
    context.measure("optimization/pruning_ratio", measures.share_removed, best, master)
    return best


def pruned(context: Context, master: str, learned: str, ratio: float) -> str:
    """A master less a share of its inner neurons, those that say least on examples."""
    probe = context.image(master, "fp32", name="rates")

    def prune() -> Computed:
        rate = rates(context.get(probe), context.get(learned))
        return {"master": context.put_master(shrink.prune_neurons(context.master(master), ratio, rate))}, {}

    return context.step("prune", {"master": master, "data": learned, "ratio": ratio}, prune).outputs["master"]


def rates(image: bytes, data: bytes, items: int = 100) -> NDArray[np.float64]:
    """float64 (neurons,): spikes per burst of each neuron over some examples."""
    with Subject(image) as subject:
        return measures.rates(subject, examples_of(data).raw[:items])


def _inflated(context: Context, master: str) -> str:
    """Sabotage: weights many times as large."""

    def inflate() -> Computed:
        c = context.master(master)
        return {"master": context.put_master(replace(c, weight=c.weight * np.float32(INFLATED)))}, {}

    return context.step("sabotage/inflate-weights", {"master": master}, inflate).outputs["master"]
