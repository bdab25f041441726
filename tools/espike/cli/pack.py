"""pack; plan."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from .. import network, plan, quantize
from ..boards import boards
from ..image import Packed
from .common import FILE, json_option, network_options, options, print_json, print_table, warn


@click.command()
@click.argument("path", metavar="NET", type=FILE)
@click.option("-o", "--output", type=FILE, help="Image to write (.spk); default: NET with that suffix.")
@click.option("--report", is_flag=True, help="Print the quantization report.")
@network_options
@json_option
def pack(path: Path, output: Path | None, report: bool, as_json: bool, **how: Any) -> None:
    """Quantize NET (a genome or connectome) and pack it into an image.

    Writes the image and, beside it, the quantized connectome that it encodes (X.quantized.npz).
    """
    target = output or network.image_path(path)
    if target.suffix != ".spk":
        raise EspikeError("an image file ends in .spk", where=str(target))
    quantized = network.load_quantized(path, options(**how))
    packed, view = network.packed_view(quantized)
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
    if report:
        _print_report(quantized.report)
    warn(quantize.warnings(quantized.report))
    click.echo(
        f"{target}: {view.neurons:,} neurons, {view.synapses:,} synapses, {view.precision}, "
        f"{len(packed.data):,} bytes of flash, {view.ram_bytes:,} bytes of RAM"
    )


def _print_report(report: dict[str, Any]) -> None:
    head = (
        "area", "unit", "guard_bits", "shifts", "weight_error", "weights_clamped", "weights_lost", "threshold_error",
        "limits_lost", "leak_too_weak",
    )  # fmt: skip
    rows = [
        [row[name] if name != "shifts" else " ".join(map(str, row[name])) for name in head] for row in report["areas"]
    ]
    print_table(f"quantization report, {report['precision']}", head, rows)


@click.command(name="plan")
@click.argument("path", metavar="NET", type=FILE)
@click.option("-b", "--board", "names", multiple=True, help="Only these boards; default: all.")
@click.option("--ram", help="RAM for the network, for example 320K.")
@click.option("--flash", help="Flash for the image, for example 4M.")
@network_options
@json_option
def plan_verb(
    path: Path, names: tuple[str, ...], ram: str | None, flash: str | None, as_json: bool, **how: Any
) -> None:
    """Say what NET needs and which boards it fits. Exit 1 where it does not fit one that was asked for."""
    known = boards()
    for name in names:
        if name not in known:
            raise EspikeError(f"no board is called {name}", do="boards are " + ", ".join(known))
    given = ram is not None or flash is not None
    chosen = [known[name] for name in names] if names or given else list(known.values())
    ram_bytes, flash_bytes = (plan.parse_size(text) if text is not None else None for text in (ram, flash))
    packed, view = _image(path, how)
    made = plan.plan(packed, view, chosen, ram_bytes, flash_bytes)
    if as_json:
        print_json(made.as_json())
    else:
        click.echo(f"{path}: {made.neurons:,} neurons, {made.synapses:,} synapses, {made.precision}")
        print_table("flash", ("section", "bytes"), [*made.sections.items(), ("all", made.flash_bytes)])
        click.echo(f"RAM: {made.ram_bytes:,} bytes, {made.ram_bytes / max(made.neurons, 1):.2f} per neuron")
        rows = [(fit.name, _room(fit.ram_bytes), _room(fit.flash_bytes), _verdict(fit)) for fit in made.fits]
        print_table("fits", ("where", "RAM", "flash", ""), rows)
    if (names or given) and not all(fit.fits for fit in made.fits):
        worst = next(fit for fit in made.fits if not fit.fits)
        raise EspikeError(f"does not fit {worst.name}: {_verdict(worst)}", where=str(path))
    sys.exit(0)


def _image(path: Path, how: dict[str, Any]) -> tuple[Packed, ImageView]:
    if network.kind_of(path) == "image":
        network.check_options(path, "image", options(**how))
        view = network.load_image(path)
        return Packed(path.read_bytes(), {"image": view.total_bytes}), view
    return network.packed_view(network.load_quantized(path, options(**how)))


def _room(most: int | None) -> str:
    return "any" if most is None else f"{most:,}"


def _verdict(fit: plan.Fit) -> str:
    short = [
        f"{count:,} bytes of {what} too few"
        for what, count in (("RAM", fit.ram_short), ("flash", fit.flash_short))
        if count
    ]
    return ", ".join(short) or "fits"
