"""run; replay; verify."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from espike_sim import ledger as ledgers
from espike_sim import stimulus as stimuli_module
from espike_sim import stimulus_spec
from espike_sim.compare import first_difference
from espike_sim.engine import CodedStimulus, Engine
from espike_sim.errors import EspikeError
from espike_sim.host import Host
from espike_sim.ledger import Ledger

from .. import board as board_module
from .. import engines, network
from ..boards import connect
from ..network import describe
from ..recording import Recording, replay
from .common import (
    FILE,
    bursts_option,
    flash_option,
    json_option,
    network_options,
    note,
    options,
    print_json,
    print_table,
    progress,
    stimulus_option,
)


@click.command()
@click.argument("path", metavar="[NET]", type=FILE, required=False)
@click.option(
    "-e", "--engine", default=None, help="reference, host or auto: any that runs the precision; default host."
)
@click.option("-b", "--board", metavar="BOARD", help="Run on a board instead; without NET: what it holds.")
@bursts_option
@stimulus_option
@click.option("-o", "--output", type=FILE, help="Write the ledger (.npz).")
@click.option("--realtime", is_flag=True, help="A burst per simulation_timestep (boards).")
@flash_option
@network_options
@json_option
def run(
    path: Path | None, engine: str | None, board: str | None, bursts: int, stimuli: tuple[str, ...],
    output: Path | None, realtime: bool, put: bool, as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Run NET for some bursts and say what fired."""
    if engine is not None and (board is not None or engine not in (*engines.HOST_ENGINES, engines.AUTO)):
        raise click.UsageError("--engine is reference, host or auto, and excludes --board")
    if path is None and board is None:
        raise click.UsageError("give NET, or --board for what a board holds")
    if engine == engines.AUTO and path is not None:
        engine = engines.choose(network.precision_of(path, options(**how)))
    with _opened(path, board or engine or "host", put, how) as (made, net):
        coded = coded_stimulus(stimuli, net, bursts)
        begin = time.monotonic()
        ledger = _run(made, bursts, coded, realtime)
        seconds = time.monotonic() - begin
        counters = made.counters()
        overruns = made.state.overruns if isinstance(made, board_module.BoardEngine) else 0
    if output is not None:
        ledgers.save(ledger, output)
    fired = _by_area(ledger, net)
    last = ledger.hashes[-1].tolist()
    if as_json:
        print_json(
            {
                "engine": made.name, "network": made.network_hash, **vars(counters), "seconds": round(seconds, 6),
                "bursts_per_s": round(bursts / max(seconds, 1e-9), 1), "hash": last,
                "clamped": coded.clamped if coded else 0,
                "potential_hash": ledger.potential_hashes[-1].tolist() if ledger.potential_hashes is not None else None,
                "fired_per_area": fired, "overruns": overruns, "ledger": output,
            }
        )  # fmt: skip
        return
    _warn_clamped(coded)
    rows = [(area.id, area.name, area.count, fired[area.id], f"{fired[area.id] / area.count / bursts:.4f}")
            for area in net.areas if fired.get(area.id)]  # fmt: skip
    print_table("fired", ("area", "name", "neurons", "spikes", "per neuron and burst"), rows)
    if not ledger.spikes:
        note("note: nothing fired; give the input areas something: --stimulus poisson:input:rate=0.02:amount=1")
    if realtime:
        note(f"note: {overruns} bursts came late")
    click.echo(
        f"{made.name}: {bursts:,} bursts, {counters.fired:,} spikes, {counters.events:,} events, "
        f"{counters.saturations:,} saturations, {bursts / max(seconds, 1e-9):,.0f} bursts/s, "
        f"hash {last[0]:08x}{last[1]:08x}"
    )


@contextmanager
def _opened(
    path: Path | None, name: str, put: bool, how: dict[str, Any]
) -> Iterator[tuple[Engine, stimuli_module.CodedNetwork]]:
    """The engine that a verb runs on, and the network that it runs."""
    made: Engine
    net: stimuli_module.CodedNetwork
    if path is None:
        target = connect(name)
        try:
            net = engines.network_of(target)
            made = board_module.BoardEngine(target)
        except BaseException:
            target.close()
            raise
    elif network.kind_of(path) == "image" and name == "host":
        network.check_options(path, "image", options(**how))
        view = network.load_image(path)
        if how["precision"] not in (None, view.precision):
            raise EspikeError(f"is packed in {view.precision} already", where=str(path), do="give its genome")
        net = network.read_network(view.meta, view.precision, str(path))
        made = Host(view)
    else:
        net = network.load_quantized(path, options(**how))
        with progress("flashing") as step:
            made = engines.make(name, net, put=put, progress=step)
    try:
        yield made, net
    finally:
        made.close()


def coded_stimulus(specs: tuple[str, ...], net: stimuli_module.CodedNetwork, bursts: int) -> CodedStimulus | None:
    """The stimulus of a run's specs in the network's numbers; None where there are none."""
    if not specs:
        return None
    return stimuli_module.code(stimulus_spec.parse(specs, net, bursts), net)


def _run(made: Engine, bursts: int, coded: CodedStimulus | None, realtime: bool) -> Ledger:
    if not realtime:
        return made.run(bursts, coded)
    if not isinstance(made, board_module.BoardEngine):
        raise EspikeError("--realtime paces boards", do="add --board")
    period_us = made.hello.timestep_us
    if not period_us:
        raise EspikeError("the network has no simulation_timestep", do="run without --realtime")
    return made.run(bursts, coded, period_us=period_us)


def _by_area(ledger: Ledger, net: stimuli_module.CodedNetwork) -> dict[str, int]:
    return {
        area.id: int(((ledger.ids >= area.first) & (ledger.ids < area.first + area.count)).sum()) for area in net.areas
    }


def _warn_clamped(coded: CodedStimulus | None) -> None:
    if coded is not None and coded.clamped:
        note(
            f"note: {coded.clamped:,} of {len(coded.burst):,} stimulus entries were cut to their area's stimulus limit"
        )


@click.command(name="replay")
@click.argument("path", metavar="RECORDING", type=FILE)
@click.option("-e", "--engine", default="host", show_default=True, help="host or a board.")
@flash_option
@json_option
def replay_verb(path: Path, engine: str, put: bool, as_json: bool) -> None:
    """Run a recording again and compare: fired ids, potentials within their bound, the last hash.

    Exit 1 where they differ.
    """
    with closing(Recording(path)) as recording:
        with progress("flashing") as step:
            made = engines.of_recording(recording, engine, put=put, progress=step)
        with closing(made), progress("replaying") as step:
            told = replay(recording, made, step)
        broke_off = recording.end is None
    if as_json:
        print_json(told.as_json())
        sys.exit(0 if told.difference is None else 1)
    if broke_off:
        note("note: the recording broke off, so its last hash is not known")
    if told.difference is not None:
        raise EspikeError(f"does not replay: {told.difference}", where=str(path))
    kept = f"{told.compared:,} of {told.bursts:,} bursts, {told.spikes:,} spikes, {told.values:,} values"
    hashes = "".join(f"{word:08x}" for word in told.hash) or "none"
    click.echo(f"equal: {kept}, hash {hashes}")


@click.command()
@click.argument("path", metavar="NET", type=FILE)
@click.option("--a", "name_a", default="reference", show_default=True, help="reference, host, auto or a board.")
@click.option("--b", "name_b", default="host", show_default=True, help="reference, host, auto or a board.")
@bursts_option
@stimulus_option
@flash_option
@network_options
@json_option
def verify(
    path: Path, name_a: str, name_b: str, bursts: int, stimuli: tuple[str, ...], put: bool, as_json: bool, **how: Any
) -> None:
    """Prove that two engines run NET alike, bit for bit: fired ids and potentials of every burst.

    Exit 1 where they differ, naming the first difference.
    """
    if name_a == name_b != engines.AUTO:
        raise click.UsageError("--a and --b name the same engine")
    quantized = network.load_quantized(path, options(**how))
    if name_a == engines.AUTO:
        name_a = engines.choose(quantized.precision, exclude=name_b)
    if name_b == engines.AUTO:
        name_b = engines.choose(quantized.precision, exclude=name_a)
    coded = coded_stimulus(stimuli, quantized, bursts)
    made: list[Engine] = []
    try:
        for name in (name_a, name_b):
            with progress("flashing") as step:
                made.append(engines.make(name, quantized, put=put, progress=step))
        with progress("comparing") as step:
            difference = first_difference(made[0], made[1], bursts, coded, progress=step)
        counters = made[1].counters()
    finally:
        for engine in made:
            engine.close()
    if as_json:
        print_json(
            {
                "equal": difference is None, "a": name_a, "b": name_b, "bursts": bursts, "network": quantized.hash,
                "precision": quantized.precision, "neurons": quantized.neurons, "synapses": quantized.synapses,
                "fired": counters.fired, "events": counters.events,
                "difference": _difference_json(difference, quantized.areas) if difference else None,
            }
        )  # fmt: skip
        sys.exit(0 if difference is None else 1)
    _warn_clamped(coded)
    if difference is None:
        if not counters.fired:
            note("note: nothing fired; a stimulus makes a stronger proof: --stimulus poisson:input:rate=0.02:amount=1")
        click.echo(
            f"equal: {name_a} and {name_b}, {bursts:,} bursts, {quantized.neurons:,} neurons, {quantized.precision}, "
            f"{counters.fired:,} spikes, every potential"
        )
        return
    where = difference.potential or difference.spike
    place = f" [{describe(quantized.areas, where.neuron)}]" if where else ""
    raise EspikeError(f"engines differ at burst {difference.burst}: {difference}{place}", where=str(path))


def _difference_json(difference: Any, areas: Any) -> dict[str, Any]:
    parts = {"potential": difference.potential, "spike": difference.spike}
    return {
        "burst": difference.burst,
        **{k: vars(v) | {"place": describe(areas, v.neuron)} if v else None for k, v in parts.items()},
    }
