"""pack."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from espike_sim.errors import EspikeError

from .. import levels, network, quantize, rows
from .common import FILE, json_option, network_options, options, print_json, print_table, warn

REPORT = {
    "area": "area", "scale": "code", "guard_bits": "F", "shifts": "shifts", "weight_error_rms": "weights",
    "weight_error": "worst", "threshold_error": "thresholds", "weights_clamped": "cut", "weights_lost": "lost",
    "thresholds_clamped": "clamped", "limits_lost": "no limit", "leak_too_weak": "leak weak",
}  # fmt: skip
"""Fields of the quantization report and their column heads (docs/quantization.md)."""
LEVELS = {"ternary": "ternary", "vq4": "vectors of 4", "vq8": "vectors of 8"}
VECTORS = {
    "source": "from", "target": "to", "vectors": "vectors", "refused": "refused", "bytes": "bytes", "sqnr_db": "dB",
    "scalar": "bits instead", "scalar_bytes": "bytes", "scalar_sqnr_db": "dB",
}  # fmt: skip


@click.command()
@click.argument("path", metavar="NET", type=FILE)
@click.option("-o", "--output", type=FILE, help="Image to write (.spk); default: NET with that suffix.")
@click.option("--report", is_flag=True, help="Print the quantization report.")
@click.option(
    "--optimize",
    type=click.Choice(rows.OPTIMIZE),
    default="size",
    show_default=True,
    help="Choose row codecs by bytes or by instructions per event.",
)
@click.option(
    "--weights",
    type=click.Choice(levels.CHOICES),
    default="8",
    show_default=True,
    help="int8: bits of a weight, +w and -w per row, or vectors of 4 or 8 weights for dense rows. Rounds them below 8, "
    "and says what that cost.",
)
@network_options
@json_option
def pack(path: Path, output: Path | None, report: bool, optimize: str, weights: str, as_json: bool, **how: Any) -> None:
    """Quantize NET (a genome or connectome) and pack it into an image.

    Writes the image and, beside it, the quantized connectome that it encodes (X.quantized.npz).
    """
    target = output or network.image_path(path)
    if target.suffix != ".spk":
        raise EspikeError("an image file ends in .spk", where=str(target))
    quantized = levels.reduce(network.load_quantized(path, options(**how)), weights)
    packed, view = network.packed_view(quantized, optimize)
    beside = network.write_packed(packed, quantized, target)
    if as_json:
        print_json(
            {
                "image": str(target),
                "quantized": str(beside),
                "bytes": len(packed.data),
                "sections": packed.sizes,
                "ram_bytes": view.ram_bytes,
                "precision": view.precision,
                "neurons": view.neurons,
                "synapses": view.synapses,
                "hash": view.network_hash,
                "report": quantized.report,
            }
        )
        return
    if report or quantized.report.get("log_quantization_loss"):
        _print_report(quantized.report)
    if "levels" in quantized.report:
        _print_levels(quantized.report["levels"])
    warn(quantize.warnings(quantized.report))
    click.echo(
        f"{target}: {view.neurons:,} neurons, {view.synapses:,} synapses, {view.precision}, "
        f"{len(packed.data):,} bytes of flash, {view.ram_bytes:,} bytes of RAM"
    )


def _print_report(report: dict[str, Any]) -> None:
    rows = [[_short(row.get(name, 0)) for name in REPORT] for row in report["areas"]]
    print_table(f"quantization report, {report['precision']}", list(REPORT.values()), rows)


def _print_levels(report: dict[str, Any]) -> None:
    head = ("area", "mean error", "worst", "sums, rounded", "sums, carried")
    fields = ("area", "weight_error_mean", "weight_error_max", "sum_error_rounded", "sum_error")
    kind = LEVELS.get(report["weights"], f"{report['weights']} bits")
    title = f"weights of {kind}, over the largest weight"
    print_table(title, head, [[_short(row[name]) for name in fields] for row in report["areas"]])
    if "vectors" in report:
        rows = [[_short(row.get(name, "")) for name in VECTORS] for row in report["vectors"]]
        print_table("vectors, and levels of as little noise", list(VECTORS.values()), rows)


def _short(value: Any) -> Any:
    if isinstance(value, list):
        return " ".join(map(str, value))
    return f"{value:.3g}" if isinstance(value, float) else value
