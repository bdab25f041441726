"""The ladder of formats: every rung a view of one master, with gates; the last that passes is promoted."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

from espike_sim.host import ImageView

from .. import measures
from ..context import Computed, Context, Outcome
from ..contracts import Verdict
from ..deployment import deployment, profile
from .adjust import Knobs, adjusted
from .fit import EPISODES, board_gates, pruned
from .training import invariant_gates

BITS = {"lossless": 8, "w4": 4, "b53": 3, "b62": 2, "ternary": 2, "vq4": 8, "vq8": 8}
"""Of a rung's weights."""
FINE_RATE = 2e-3


@dataclass(frozen=True)
class Rung:
    """An image that was tried."""

    name: str
    master: str
    image: str
    gates: tuple[Verdict, ...]

    @property
    def passed(self) -> bool:
        """Did every gate pass?"""
        return all(gate.passed for gate in self.gates)


def run(context: Context) -> Outcome:
    """Climb down while gates pass; what was reached is the image."""
    config, model = context.config, context.only()
    assert model.master is not None
    assert model.image is not None
    baseline = model.image
    tasks = {task.name: context.examples(task, "test") for task in context.tasks}
    for name, data in tasks.items():
        context.measure(f"baseline/{name}/score", measures.accuracy, baseline, data)
    reached: Rung | None = None
    missed: list[Verdict] = []
    tried = 0
    for name in config.pack.rungs:
        rung = _tried(context, name, model.master, baseline, tasks)
        tried += 1
        if not rung.passed:
            missed += [gate for gate in rung.gates if not gate.passed]
            context.say(f"rung {name} fails: {', '.join(gate.gate for gate in rung.gates if not gate.passed)}")
            break
        if reached is not None and len(context.get(rung.image)) >= len(context.get(reached.image)):
            context.say(f"rung {name} is no smaller, and is left")
            continue
        reached = rung
    context.measure("stages_completed", measures.count_of, count=tried)
    for name in config.pack.rungs[:tried]:
        is_other = float(reached is None or name != reached.name)
        context.measure(f"rung/{name}/promoted", measures.not_above, value=is_other, most=0.0)
    if reached is None:
        return Outcome((), tuple(missed))
    gates = (*reached.gates, _summary(context, reached, model.image))
    made = context.draft(model, reached.master, reached.image, formats=(reached.name,), tags=("packed",))
    return Outcome((made,), gates, {"image": reached.image, **_described(context, reached)})


def _described(context: Context, rung: Rung) -> dict[str, str]:
    """image.toml and profile.json of the last image -> their hashes."""
    run, held = context.config.run, context.all_examples("test")

    def describe() -> Computed:
        image = context.get(rung.image)
        made = {
            "deployment": deployment(image, rung.image, run.board, rung.name, run.deadline_us),
            "profile": profile(image, rung.image, run.board, context.get(held)),
        }
        return {name: context.put(data) for name, data in made.items()}, {}

    inputs = {"image": rung.image, "board": run.board, "data": held, "deadline": run.deadline_us, "rung": rung.name}
    return dict(context.step("described", inputs, describe).outputs)


def _tried(context: Context, name: str, master: str, baseline: str, tasks: dict[str, str]) -> Rung:
    """A rung; where it fails, again with what the table of adjustments says, as often as it may."""
    knobs, change, began, attempt = Knobs(), "none", time.monotonic(), 0
    while True:
        made, image = _image(context, name, master, knobs)
        rung = Rung(name, made, image, tuple(_gates(context, name, image, baseline, tasks)))
        _log(context, rung, baseline, attempt, change)
        context.timed(f"rung/{name}/seconds", time.monotonic() - began)
        missed = [gate for gate in rung.gates if not gate.passed]
        next_try = adjusted(knobs, missed) if BITS[name] < 8 and attempt < context.config.pack.retries else None
        if not missed or next_try is None:
            return rung
        change, knobs = next_try
        attempt += 1
        context.say(f"rung {name}, again: {change}")
        context.registry.log(context.run, "pack", f"rung {name}: {change}", "warning")


def _log(context: Context, rung: Rung, baseline: str, attempt: int, change: str) -> None:
    """Log what a rung is, and what it took."""
    path, image, held = f"rung/{rung.name}", rung.image, context.all_examples("test")
    context.measure(f"{path}/retries", measures.count_of, count=attempt)
    context.measure(f"{path}/change", measures.named, choice=change)
    context.measure(f"{path}/bytes", measures.byte_count, image)
    context.measure(f"{path}/passed", measures.not_above, value=float(not rung.passed), most=0.0)
    if not context.metrics[f"pack/{path}/whole"]:
        return
    context.measure(f"{path}/accuracy", measures.accuracy, image, held)
    context.measure(f"{path}/compression_ratio", measures.size_ratio, baseline, image)
    began = time.perf_counter()
    ImageView(context.get(image)).expanded()
    context.timed(f"{path}/decode_us", 1e6 * (time.perf_counter() - began))


def _image(context: Context, name: str, master: str, knobs: Knobs) -> tuple[str, str]:
    """A rung's master and image, the knobs turned so."""
    learned, tested, bits = context.all_examples("train"), context.all_examples("val"), BITS[name]
    if knobs.prune:
        master = pruned(context, master, learned, knobs.prune)
    if knobs.epochs:
        schedule = replace(
            context.schedule(knobs.epochs, FINE_RATE), quiet=max(knobs.quiet, context.config.train.quiet)
        )
        step = context.trained(f"{name}/{knobs.epochs}", master, (learned, tested), schedule, bits=bits)
        master = step.outputs["master"]
    weights = name if name.startswith("vq") else "8"
    image = context.image(master, bits=bits, calibrated=learned, name=name, weights=weights)
    if context.sabotage == "corrupt-image":
        broken = bytearray(context.get(image))
        broken[len(broken) // 2] ^= 0x10
        image = context.put(bytes(broken))
    return master, image


def _gates(context: Context, name: str, image: str, baseline: str, tasks: dict[str, str]) -> list[Verdict]:
    """What a rung must keep: a whole image, accuracy per task and over all, invariants, dynamics, the board."""
    config, path = context.config, f"rung/{name}"
    whole = context.measure(f"{path}/whole", measures.opens, image)
    gates = [context.gate("image is whole", f"{path}/whole", whole, 1, action="rolled back")]
    if not whole:
        return gates
    context.measure(f"{path}/bytes_per_synapse", measures.bytes_per_synapse, image)
    seed = config.run.seed
    least = 1.0 if name == "lossless" else getattr(config.pack.retention, name)
    for task, data in tasks.items():
        gate = f"{path}/gate/{task}"
        context.measure(f"{gate}/score", measures.accuracy, image, data)
        context.measure(f"{gate}/retention", measures.retention, image, baseline, data)
        low = context.measure(f"{gate}/low", measures.retention_low, image, baseline, data, seed=seed)
        gates.append(context.gate(f"{task} is kept", f"{gate}/low", low, least - _slack(name), action="rolled back"))
    low = context.measure("retention_cumulative", measures.retention_low, image, baseline, *tasks.values(), seed=seed)
    gates.append(context.gate("all is kept", "retention_cumulative", low, config.pack.retention.cumulative,
                              action="rolled back"))  # fmt: skip
    gates += _loops(context, path, image, baseline)
    held = context.all_examples("test")
    sigma = context.measure(f"{path}/sigma_drift", measures.branching_drift, image, baseline, held, seed=seed)
    limit = config.gates.branching_drift_most
    gates.append(context.gate("dynamics are kept", f"{path}/sigma_drift", sigma, limit, least=False,
                              action="rolled back"))  # fmt: skip
    drift = context.measure(f"{path}/rate_drift", measures.rate_drift, image, baseline, held)
    limit = config.gates.rate_drift_most
    gates.append(context.gate("rates are kept", f"{path}/rate_drift", drift, limit, least=False, action="rolled back"))
    gates += invariant_gates(context, image, f"{path}/")
    return gates + board_gates(context, image, f"{path}/")


def _loops(context: Context, path: str, image: str, baseline: str) -> list[Verdict]:
    """Tasks with devices: as many episodes solved as before, nearly."""
    made, least = [], context.config.gates.retention_closed_loop
    for task in context.tasks:
        if not task.plant:
            continue
        of = {"suite": context.config.run.suite, "task": task.name, "count": EPISODES, "seed": context.config.run.seed}
        kept = context.measure(f"{path}/gate/{task.name}/solved", measures.solved_ratio, image, baseline, **of)
        made.append(context.gate(f"{task.name} acts as before", f"{path}/gate/{task.name}/solved", kept, least,
                                 action="rolled back"))  # fmt: skip
    return made


def _slack(name: str) -> float:
    """What rounding anew to the same bits may cost."""
    return 0.01 if name == "lossless" else 0.0


def _summary(context: Context, rung: Rung, before: str) -> Verdict:
    """Log what the whole way made smaller; judge the last image against what was adopted."""
    held, image, origin = context.all_examples("test"), rung.image, context.origin()
    assert origin.master is not None
    assert origin.image is not None
    exact = context.image(rung.master, "fp32", name="fp32")
    context.measure("original_bytes", measures.row_bytes, origin.master, each=8)
    context.measure("final_bytes", measures.byte_count, image)
    context.measure("bytes_per_synapse", measures.bytes_per_synapse, image)
    ratio = context.measure("total_compression_ratio", measures.ratio_to_rows, image, origin.master)
    context.measure("float_compression_ratio", measures.ratio_to_rows, image, origin.master, each=8)
    context.measure("phase1_to_phase4_compression", measures.size_ratio, origin.master, before)
    context.measure("phase4_to_phase8_compression", measures.size_ratio, before, image)
    context.measure("entropy_ratio", measures.transfer_ratio, image)
    context.measure("entropy_excess", measures.entropy_excess, image)
    context.measure("vq_ratio", measures.vector_ratio, image)
    context.measure("vq_codebook_bytes", measures.codebook_bytes, image)
    context.measure("compressed_format", measures.format_version, image)
    context.measure("decompression_required", measures.must_be_decoded, image)
    context.measure("final_accuracy", measures.accuracy, image, held)
    change = context.measure("accuracy_vs_phase1", measures.accuracy_change, image, origin.image, held)
    context.measure("instructions_per_burst", measures.instructions, image, held)
    context.measure("inference_speedup", measures.speedup, image, exact, held)
    context.measure("final_compression_level", measures.named, choice=rung.name)
    size = f"{len(context.get(image)):,} bytes, {ratio:.1f} times smaller than rows of 12 bytes"
    context.say(f"rung {rung.name}: {size}, accuracy {change:+.3f}")
    low = context.measure("retention_of_adopted", measures.retention_low, image, origin.image, held,
                          seed=context.config.run.seed)  # fmt: skip
    return context.gate("as good as what was adopted", "retention_of_adopted", low, context.config.gates.retention,
                        action="train longer, or prune less")  # fmt: skip
