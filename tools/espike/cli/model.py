"""import; and export nir."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import click

from espike_sim import connectome as connectomes
from espike_sim.errors import EspikeError

from ..nir import model as nir_model
from ..nir import write as nir_write
from ..nir.semantics import GAINS, PROFILES, RESETS, Asked
from .common import FILE, json_option, note, print_json, print_table, warn

SUFFIX = ".connectome.npz"


def _seconds(_: click.Context, __: click.Parameter, value: float | None) -> float | None:
    if value is not None and not 0 < value < float("inf"):
        raise click.BadParameter("a burst is longer than 0 s")
    return value


@click.command(name="import")
@click.argument("path", metavar="MODEL", type=FILE)
@click.option("-o", "--output", type=FILE, help=f"Connectome to write; default: MODEL with {SUFFIX}.")
@click.option("--profile", type=click.Choice(list(PROFILES)), help="Framework that the model is from.")
@click.option("--dt", type=float, callback=_seconds, metavar="SECONDS", help="Length of a burst.")
@click.option("--decay", type=click.Choice(["euler", "exponential"]), help="1 - dt/tau, or exp(-dt/tau).")
@click.option("--gain", type=click.Choice(GAINS), help="What input counts (docs/nir.md).")
@click.option("--reset", type=click.Choice(RESETS), help="After a spike; value: v_reset of the file.")
@click.option("--reset-delay", type=click.Choice(["0", "1"]), help="Bursts from a spike to its reset.")
@click.option("--compare", type=click.Choice(["gt", "ge"]), help="Fires where potential > or >= threshold.")
@click.option("--layer-delay", type=click.Choice(["0", "1"]), help="Bursts from layer to layer.")
@click.option("--current", type=click.Choice(["new", "old"]), help="Which current a CubaLIF's potential takes.")
@click.option("--start", type=click.Choice(["rest", "zero"]), help="Potentials begin at v_leak or 0.")
@click.option("--input", "input_", type=click.Choice(["spikes", "graded"]), help="What Inputs are given.")
@click.option("--expect", type=FILE, help="Recording to match: NIRData, npz or csv (docs/nir.md).")
@click.option("--expect-keys", metavar="NODE=ARRAY,...", help="Arrays of an npz recording: input=x,lif1=hidden,...")
@click.option("--senses", type=FILE, help="Encoders and decoder to give it: JSON (docs/senses.md).")
@json_option
def import_verb(
    path: Path, output: Path | None, profile: str | None, dt: float | None, decay: str | None, gain: str | None,
    reset: str | None, reset_delay: str | None, compare: str | None, layer_delay: str | None, current: str | None,
    start: str | None, input_: str | None, expect: Path | None, expect_keys: str | None, senses: Path | None,
    as_json: bool,
) -> None:  # fmt: skip
    """Read a trained model (a NIR file) as a connectome, and say all that was assumed.

    With --expect, run it and compare it with a recording, spike for spike; exit 1 where they differ.
    """
    target = output or path.with_name(path.name.removesuffix(".nir") + SUFFIX)
    if target.suffix != ".npz":
        raise EspikeError("a connectome file ends in .npz", where=str(target))
    asked = Asked(
        profile, dt, decay, gain, reset,
        late=None if reset_delay is None else reset_delay == "1",
        strict=None if compare is None else compare == "gt",
        layer_delay=None if layer_delay is None else int(layer_delay),
        current=current, start=start, graded_input=None if input_ is None else input_ == "graded",
    )  # fmt: skip
    made = nir_model.load(path, asked, expect, _keys(expect_keys))
    if senses is not None:
        made = replace(made, connectome=nir_model.with_senses(made.connectome, senses))
    connectomes.save(made.connectome, target)
    if as_json:
        print_json({"connectome": target} | made.report())
    else:
        _print(made, target)
    if made.checked is not None and not made.checked.equal:
        sys.exit(1)


def _keys(text: str | None) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",")] if text else []
    if any(not name or not array for name, _, array in pairs):
        raise click.UsageError("--expect-keys takes NODE=ARRAY,NODE=ARRAY")
    return {name: array for name, _, array in pairs}


def _print(made: nir_model.Imported, target: Path) -> None:
    report = made.report()
    print_table("assumed", ("what", "is", "from", ""), [(a.name, a.value, a.origin, a.about) for a in made.assumptions])
    head = ("area", "node", "kind", "neurons", "shape", "role")
    rows = [(a["id"], a["node"], a["kind"], a["neurons"], _times(a["shape"]), a["role"]) for a in report["areas"]]
    print_table("areas", head, rows)
    ends = [(m["source"], m["target"], m["delay"], m["synapses"], " ".join(m["folded"])) for m in report["mappings"]]
    print_table("mappings", ("from", "to", "delay", "synapses", "folded"), ends)
    warn(made.made.notes)
    if made.made.zeros:
        note(f"note: {made.made.zeros:,} weights of exactly 0 are left out")
    if made.checked is not None:
        _print_check(made)
    click.echo(
        f"{target}: {report['neurons']:,} neurons, {report['synapses']:,} synapses, burst {report['timestep_s']:g} s"
    )


def _print_check(made: nir_model.Imported) -> None:
    checked = made.checked
    assert checked is not None
    head = ("area", "samples", "equal", "spikes", "expected", "potentials differ by", "")
    rows = [
        (
            a.area, a.samples, a.samples_equal, a.spikes, a.spikes_expected,
            "-" if a.potential_error is None else f"{a.potential_error:.3g} of {a.potential_most:.3g}",
            "equal" if a.equal else a.first or "potentials differ",
        )
        for a in checked.areas
    ]  # fmt: skip
    print_table(f"beside the recording, {checked.bursts:,} bursts", head, rows)


def _times(shape: list[int]) -> str:
    return " x ".join(map(str, shape))


@click.command(name="nir")
@click.argument("path", metavar="CONNECTOME", type=FILE)
@click.argument("output", metavar="OUT.nir", type=FILE)
@json_option
def nir_verb(path: Path, output: Path, as_json: bool) -> None:
    """Write a network of neuron models as a NIR file, for other frameworks; say what NIR cannot."""
    written = nir_write.write(connectomes.load(path), output)
    if as_json:
        print_json({"nir": output} | vars(written))
        return
    warn(written.notes)
    click.echo(f"{output}: {written.nodes:,} nodes, {written.edges:,} edges")
