"""train."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import click

from espike_sim import connectome as connectome_file
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from .. import train as training
from .common import FILE, json_option, print_json, print_table, progress

SUFFIX = ".connectome.npz"
NEW = training.Schedule()
FINE = training.Schedule(epochs=15, steps=300, rate=5e-3)
"""Of a network that has been trained before."""


@click.command(name="train")
@click.argument("path", metavar="DATA", type=FILE)
@click.option("-o", "--output", type=FILE, help=f"Connectome to write; default: DATA with {SUFFIX}.")
@click.option("--from", "base", metavar="CONNECTOME", type=FILE, help="Fine-tune this connectome.")
@click.option("--bits", metavar="BITS", help="With --from: weights of 2 to 8 bits, `4` or `hidden=4,out=8`.")
@click.option(
    "-e", "--encoder", "encoders", multiple=True, metavar="SPEC",
    help="rate[:LOW,HIGH], delta[:STEP,...], level[:LEVEL,...], latency[:LOW,HIGH], population[:COUNT,LOW,HIGH] or "
    "value[:ZERO,DEVIATION]; several stand side by side. Default: rate for vectors, delta and level for series.",
)  # fmt: skip
@click.option("--hidden", default="32", show_default=True, help="Neurons of hidden areas: 32 or 64,32; 0: none.")
@click.option("--recurrent", is_flag=True, help="Hidden areas have synapses to themselves.")
@click.option(
    "--bursts", type=click.IntRange(1, 65535), help="Bursts per sample; default: 25 for vectors, 1 for series."
)
@click.option("--settle", type=click.IntRange(0, 65535), default=0, show_default=True, help="Bursts after the last.")
@click.option("--leak", type=float, help="Lost per burst, 0..1; default: 0.1 for vectors, 0.05 for series.")
@click.option("--reset", type=click.Choice(["zero", "subtract"]), default="zero", show_default=True)
@click.option("--bias", is_flag=True, help="Train a bias per neuron.")
@click.option(
    "--epochs", type=click.IntRange(1), help=f"Default: {NEW.epochs}, with --from {FINE.epochs}; more for little data."
)
@click.option("--batch", type=click.IntRange(1), default=NEW.batch, show_default=True, help="Series per step.")
@click.option(
    "--lr",
    type=click.FloatRange(0, min_open=True),
    help=f"Learning rate. Default: {NEW.rate}, with --from {FINE.rate}.",
)
@click.option(
    "--augment", type=click.IntRange(0), help="Changed copies of a series per epoch, 0: none. Default: by DATA."
)
@click.option(
    "--test", type=click.FloatRange(0, 0.9), default=0.2, show_default=True, help="Share, if DATA has no test."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--plot", "drawing", type=FILE, help="Picture of loss, accuracy and confusion: .png or .svg.")
@json_option
def train_verb(
    path: Path, output: Path | None, base: Path | None, bits: str | None, encoders: tuple[str, ...], hidden: str,
    recurrent: bool, bursts: int | None, settle: int, leak: float | None, reset: str, bias: bool, epochs: int | None,
    batch: int, lr: float | None, augment: int | None, test: float, seed: int, drawing: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Train a network on DATA (.npz or .csv: labelled vectors or series), or fine-tune one to few bits."""
    if bits is not None and base is None:
        raise click.UsageError("--bits goes with --from: train first, then fine-tune")
    if base is not None and output is None:
        raise click.UsageError("--from goes with --output: the network to begin with is kept")
    target = output or path.with_suffix(SUFFIX)
    if not target.name.endswith(".npz"):
        raise EspikeError(f"a connectome file ends in {SUFFIX}", where=str(target))
    design = training.Design(encoders, _hidden(hidden), recurrent, bursts, settle, leak, reset)
    data, network = _start(path, base, design, test, seed)
    model = training.of(network, str(base or path))
    fed = [area.id for index, area in enumerate(network.areas) if model.net.fed(index)]
    widths = training.parse_bits(bits, fed) if bits is not None else network.quantization.bits
    schedule = replace(FINE if base else NEW, batch=batch, seed=seed, copies=augment, bias=bias)
    schedule = replace(schedule, rate=lr or schedule.rate)
    if epochs is not None:
        schedule = replace(schedule, epochs=epochs, steps=0)
    with progress("training") as step:
        outcome = training.train(model, data, schedule, widths, step)
    connectome_file.save(outcome.connectome, target)
    if drawing is not None:
        training.picture(outcome, drawing, title=target.name)
    if as_json:
        pictured = {} if drawing is None else {"picture": drawing}
        print_json({"connectome": target, "bits": widths, **pictured, **training.as_json(outcome)})
        return
    _print(outcome)
    click.echo(f"{target}: {outcome.connectome.neurons:,} neurons, {outcome.connectome.synapses:,} synapses")


def _hidden(text: str) -> tuple[int, ...]:
    if not all(part.isdecimal() for part in text.split(",")):
        raise click.UsageError(f"--hidden takes 32 or 64,32, not {text!r}")
    return () if text == "0" else tuple(map(int, text.split(",")))


def _start(
    path: Path, base: Path | None, design: training.Design, test: float, seed: int
) -> tuple[training.Data, Connectome]:
    """The data, and the network to begin with: a new one, or `base` with senses."""
    if base is None:
        data = training.load(path, test, seed)
        return data, training.build(design, data, seed)
    network = connectome_file.load(base)
    data = training.load(path, test, seed, None if network.senses is None else network.senses.unit)
    if network.senses is not None and design.encoders:
        raise EspikeError("has senses, so --encoder says nothing", where=str(base), do="leave it out")
    if network.senses is None:
        senses = training.senses_of(design, data, network.areas[0].id, network.areas[-1].id)
        senses.check(network.areas, str(base))
        network = replace(network, senses=senses)
    return data, network


def _print(outcome: training.Outcome) -> None:
    sets = {"training": outcome.train, "test": outcome.test}
    shown = {name: scores for name, scores in sets.items() if scores is not None}
    areas = [area.id for area in outcome.connectome.areas]
    rows = [
        [name, int(scores.confusion.sum()), f"{scores.accuracy:.1%}", *(f"{scores.rates[area]:.3f}" for area in areas)]
        for name, scores in shown.items()
    ]
    print_table("accuracy, and spikes per neuron and burst", ("set", "series", "right", *areas), rows)
    name, scores = list(shown.items())[-1]
    table = [[label, *row] for label, row in zip(outcome.labels, scores.confusion.tolist(), strict=True)]
    print_table(f"{name} set: class down, answer across", ("", *outcome.labels), table)
