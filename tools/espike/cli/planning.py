"""plan."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from espike_sim import connectome, quantized
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from .. import network, plan
from ..boards import boards
from ..image import Packed
from ..quantize import quantize
from .common import FILE, json_option, network_options, note, options, print_json, print_table


@click.command(name="plan")
@click.argument("path", metavar="NET", type=FILE)
@click.option("-b", "--board", "names", multiple=True, help="Only these boards; default: all.")
@click.option("--all-boards", is_flag=True, help="Only the table of all boards, with what each assumes.")
@click.option("--ram", help="RAM for the network, for example 320K.")
@click.option("--flash", help="Flash for the image, for example 4M.")
@click.option(
    "--activity",
    type=click.FloatRange(0, 1),
    default=plan.ACTIVITY,
    show_default=True,
    help="Share of the neurons that fire per burst, for the mean time of a burst.",
)
@network_options
@json_option
def plan_verb(
    path: Path, names: tuple[str, ...], all_boards: bool, ram: str | None, flash: str | None, activity: float,
    as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Say what NET needs, which boards it fits, how fast it runs there, and what would fit.

    Bytes are exact, times are estimates (docs/plan.md). Exit 1 where NET does not fit one that was asked for.
    """
    known = boards()
    for name in names:
        if name not in known:
            raise EspikeError(f"no board is called {name}", do="boards are " + ", ".join(known))
    given = ram is not None or flash is not None
    if all_boards and (names or given):
        raise click.UsageError("--all-boards excludes --board, --ram and --flash")
    chosen = [known[name] for name in names] if names or given else list(known.values())
    ram_bytes, flash_bytes = (plan.parse_size(text) if text is not None else None for text in (ram, flash))
    packed, view, source = _image(path, how)
    made = plan.plan(packed, view, chosen, ram_bytes, flash_bytes, activity=activity, source=source)
    if as_json:
        print_json(made.as_json())
    else:
        _print(path, made, short=all_boards)
    asked = [fit for fit in made.fits if names or given]
    for name in dict.fromkeys(fit.name for fit in asked):
        places = [fit for fit in asked if fit.name == name]
        if not any(fit.fits for fit in places):
            raise EspikeError(f"does not fit {name}: {_verdict(places[0])}", where=str(path))


def _image(path: Path, how: dict[str, Any]) -> tuple[Packed, ImageView, plan.Source | None]:
    kind = network.kind_of(path)
    if kind == "image":
        network.check_options(path, "image", options(**how))
        view = network.load_image(path)
        q = _beside(path, view)
        return Packed(path.read_bytes(), _sections(view, q)), view, plan.Source(q) if q is not None else None
    if kind == quantized.FORMAT:
        q = network.load_quantized(path, options(**how))
        return *network.packed_view(q), plan.Source(q)
    grown = network.load_connectome(path, options(**how))
    q = network.quantized_of(grown, options(**how), str(path))
    return *network.packed_view(q), plan.Source(q, _int8_of(grown))


def _int8_of(grown: connectome.Connectome) -> Any:
    return lambda: quantize(grown, "int8")


def _beside(path: Path, view: ImageView) -> QuantizedConnectome | None:
    """What an image encodes, where that lies beside it."""
    beside = network.quantized_path(path)
    found = quantized.load(beside) if beside.exists() else None
    return found if found is not None and found.hash == view.network_hash else None


def _sections(view: ImageView, q: QuantizedConnectome | None) -> dict[str, int]:
    """What the bytes of an image file are for, as far as that is known."""
    for optimize in ("size", "speed") if q is not None else ():
        assert q is not None
        sizes = network.packed_view(q, optimize)[0].sizes
        if sum(sizes.values()) == view.total_bytes:
            return sizes
    return {"image": view.total_bytes}


def _print(path: Path, made: plan.Plan, *, short: bool) -> None:
    each = made.ram_bytes / max(made.neurons, 1)
    click.echo(f"{path}: {made.neurons:,} neurons, {made.synapses:,} synapses, {made.precision}")
    if not short:
        print_table("flash", ("section", "bytes"), [*made.sections.items(), ("all", made.flash_bytes)])
    click.echo(f"RAM {made.ram_bytes:,} bytes, {each:.2f} per neuron; flash {made.flash_bytes:,} bytes")
    work = next((fit.speed for fit in made.fits if fit.speed is not None), None)
    if work is not None:
        click.echo(
            f"a burst takes about {work.instructions:,} instructions with {made.activity:.3g} of the neurons firing, "
            f"{work.instructions_worst:,} with all"
        )
    print_table(
        "boards (needed / free bytes; us and bursts/s are estimates)",
        ("board", "RAM", "flash", "us", "us worst", "bursts/s", "largest: neurons/ synapses", "verdict"),
        [_row(fit) for fit in made.fits],
    )
    waiting = dict.fromkeys(fit.name for fit in made.fits if fit.plan_only)
    if waiting:
        note(f"note: planned for, not flashed yet: {', '.join(waiting)}")
    if short:
        for assumes in dict.fromkeys(fit.assumes for fit in made.fits if fit.assumes):
            alike = dict.fromkeys(fit.name for fit in made.fits if fit.assumes == assumes)
            note(f"note: {', '.join(alike)}: this assumes {'; '.join(assumes)}")


def _row(fit: plan.Fit) -> tuple[str, ...]:
    speed, largest = fit.speed, fit.largest
    return (
        fit.name + (" in RAM" if fit.place == "ram" else ""),
        f"{fit.ram_needed:,}/ {_room(fit.ram_bytes)}",
        f"{fit.flash_needed:,}/ {_room(fit.flash_bytes)}",
        _figure(speed.us if speed is not None else None),
        _figure(speed.us_worst if speed is not None else None),
        _figure(speed.bursts_per_s if speed is not None else None),
        f"{largest.neurons:,}/ {largest.synapses:,}" if largest is not None else "-",
        _verdict(fit),
    )


def _figure(value: float | None) -> str:
    return "-" if value is None else f"{value:,.0f}"


def _room(most: int | None) -> str:
    return "any" if most is None else f"{most:,}"


def _verdict(fit: plan.Fit) -> str:
    short = [
        f"{count:,} bytes of {what} too few"
        for what, count in (("RAM", fit.ram_short), ("flash", fit.flash_short))
        if count
    ]
    if not short:
        return "fits"
    if fit.change is None:
        return ", ".join(short)
    needs = f"{fit.change.ram_bytes:,} RAM, {fit.change.flash_bytes:,} flash"
    return f"{', '.join(short)}; fits with {fit.change.options} ({needs})"
