"""Floats -> int8, and fewer bits where that is asked for; what of the float network is kept."""

from __future__ import annotations

import re

from ...quantize import quantize
from .. import measures
from ..context import Computed, Context, Outcome
from ..measures import examples_of
from ..rounded import bits_of, dequantized, with_bits

FINE_EPOCHS, FINE_RATE = 10, 2e-3
LAYER = {"bits": "bits", "error_max": "weight_error", "error_rms": "weight_error_rms", "lost": "weights_lost"}
"""Metrics of a layer, and what the quantization report calls them."""


def run(context: Context) -> Outcome:
    """An image of the model; the rounded network as floats, for the trainer to begin with."""
    config, model = context.config, context.only()
    assert model.master is not None
    learned, tested = context.all_examples("train"), context.all_examples("val")
    exact = context.image(model.master, "fp32", name="fp32")
    bits = config.quant.bits
    rounded = context.image(model.master, bits=bits, calibrated=learned, name="rounded")
    context.measure("accuracy_before", measures.accuracy, exact, tested)
    context.measure("accuracy_rounded", measures.accuracy, rounded, tested)
    master, image, epochs = model.master, rounded, 0
    if bits < 8:
        epochs = FINE_EPOCHS
        master, image = fine_tuned(context, "fine", master, (learned, tested), bits)
    if config.quant.ternary:
        other, smaller = fine_tuned(context, "ternary", model.master, (learned, tested), 2)
        context.measure("ternary/accuracy", measures.accuracy, smaller, tested)
        context.measure("ternary/bytes", measures.byte_count, smaller)
        low = context.measure("ternary/retention_low", measures.retention_low, smaller, exact, tested, seed=0)
        alike = context.measure("ternary/agreement", measures.agreement, smaller, exact, tested)
        if low >= config.pack.retention.ternary and alike >= config.gates.agreement:
            master, image, bits, epochs = other, smaller, 2, FINE_EPOCHS
    copy = _decoded(context, master, bits)
    _layers(context, master, learned, bits)
    share = len(examples_of(context.get(learned))) * config.quant.calibrate
    context.measure("calibration_samples", measures.count_of, count=max(1, round(share)))
    context.measure("finetuning_epochs", measures.count_of, count=epochs)
    context.measure("accuracy_recovery", measures.accuracy_change, image, rounded, tested)
    context.measure("accuracy_retention", measures.retention, image, exact, tested)
    context.measure("bytes_before", measures.row_bytes, master, each=4)
    context.measure("bytes", measures.byte_count, image)
    context.measure("bytes_per_synapse", measures.bytes_per_synapse, image)
    context.measure("compression_ratio", measures.ratio_to_rows, image, master, each=4)
    context.measure("accuracy", measures.accuracy, image, tested)
    context.measure("sparsity", measures.sparsity, copy)
    agreement = context.measure("dequantization_accuracy", measures.agreement, image, exact, tested)
    context.measure("instructions_per_burst", measures.instructions, image, tested)
    context.measure("speedup", measures.speedup, image, exact, tested)
    kept = context.measure("retention_low", measures.retention_low, image, exact, tested, seed=config.run.seed)
    gates = (
        context.gate("accuracy is kept", "retention_low", kept, config.gates.retention, action="use more bits"),
        context.gate(
            "answers are those of floats",
            "dequantization_accuracy",
            agreement,
            config.gates.agreement,
            action="use more bits",
        ),
    )
    made = context.draft(model, master, image, formats=(f"int8, {bits} bits",))
    return Outcome((made,), gates, {"rounded": copy})


def _layers(context: Context, master: str, learned: str, bits: int) -> None:
    """Log what rounding did to the weights into each area."""
    of = {"bits": bits, "share": context.config.quant.calibrate}
    context.measure("layers_compressed", measures.layer_count, master)
    for area in bits_of(context.master(master), bits):
        for metric, what in LAYER.items():
            name = re.sub(r"[^A-Za-z0-9_.+-]", "_", area)
            context.measure(f"layer/{name}/{metric}", measures.layer, master, learned, area=area, what=what, **of)


def fine_tuned(
    context: Context, name: str, master: str, data: tuple[str, str], bits: int, epochs: int = FINE_EPOCHS
) -> tuple[str, str]:
    """A master trained on with weights of so many bits -> (master, image)."""
    schedule = context.schedule(epochs, FINE_RATE)
    made = context.trained(name, master, data, schedule, bits=bits).outputs["master"]
    return made, context.image(made, bits=bits, name=name)


def _decoded(context: Context, master: str, bits: int) -> str:
    """The network as its integers have it, in floats."""

    def decode() -> Computed:
        c = with_bits(context.master(master), bits)
        return {"master": context.put_master(dequantized(c, quantize(c, "int8")))}, {}

    return context.step("decoded", {"master": master, "bits": bits}, decode).outputs["master"]
