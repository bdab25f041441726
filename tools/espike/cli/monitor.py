"""monitor; stop; sleep: a board that runs."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import click

from espike_sim.errors import EspikeError

from .. import board as board_module
from .. import engines, monitor, telemetry
from ..boards import Running, boards, running
from ..link import Hello
from ..recording import Recorder
from ..transport import LinkError
from .board import coded_stimulus
from .common import FILE, board_option, interrupts, json_option, note, print_json, progress, stimulus_option


@click.command(name="monitor")
@board_option
@stimulus_option
@click.option("-n", "--bursts", type=click.IntRange(1), help="Stop after so many; default: at Ctrl-C.")
@click.option("--realtime", is_flag=True, help="A burst per simulation_timestep.")
@click.option("--interval", default=1.0, show_default=True, type=click.FloatRange(0.05), help="Seconds per line.")
@click.option("--record", type=FILE, help="Keep what the board streams in this new file; espike replay runs it again.")
@click.option(
    "--stream",
    "streams",
    multiple=True,
    metavar="STREAM",
    help="With --record: fired, potentials:AREA[:BITS], stimulus:AREA[:BITS]; up to 4. Default: fired.",
)
@json_option
def monitor_verb(
    board: str, stimuli: tuple[str, ...], bursts: int | None, realtime: bool, interval: float, record: Path | None,
    streams: tuple[str, ...], as_json: bool,
) -> None:  # fmt: skip
    """Run what a board holds and print a line per interval: bursts/s, spikes per area, faults.

    A board on a port that runs already is only looked at. At Ctrl-C such a board goes on running (espike stop ends
    that); a board that was unplugged is waited for. With -n, --record or a stimulus Ctrl-C ends the run between two
    bursts, and a recording with its last hash.
    """
    if streams and record is None:
        raise click.UsageError("--stream goes with --record")
    met = False  # a board that was there is waited for, one that never was is not
    leaves = not (bursts or record or stimuli) and board not in boards()

    def tell(status: monitor.Status) -> None:
        print_json(status.as_json()) if as_json else click.echo(status.line())
        sys.stdout.flush()

    with ExitStack() as stack:
        # First of all: a recording that cannot be written leaves the board as it is.
        recorder = stack.enter_context(closing(Recorder(record))) if record is not None else None
        is_stopped = stack.enter_context(interrupts())
        while True:
            try:
                with running(board) as target:
                    hello = target.link.hello()
                    met = True
                    if leaves and hello.running:
                        _look_on(target, hello, interval, is_stopped, tell)
                    else:
                        _watch(target, stimuli, bursts, realtime, interval, recorder, streams, is_stopped, tell, leaves)
                return
            except LinkError as error:
                if not (leaves and met) or is_stopped():
                    raise
                note(f"{error.where}: {error.what}; waiting for it, Ctrl-C ends that")
            if not _comes_back(board, is_stopped):
                return


def _introduce(hello: Hello) -> None:
    """Why the board started, and what runs there."""
    runs = f"network {hello.network_hash[:12]}" if hello.has_image else "empty"
    was = "" if hello.outcome in ("none", "confirmed") else f", last image {hello.outcome}"
    note(f"{hello.board}: {runs}, started by {hello.reset_cause}{was}, {'running' if hello.running else 'at rest'}")


def _look_on(
    target: Running, hello: Hello, interval: float, is_stopped: Callable[[], bool],
    tell: Callable[[monitor.Status], None],
) -> None:  # fmt: skip
    _introduce(hello)
    for status in monitor.attach(target.link, hello, interval_s=interval, until=is_stopped):
        tell(status)
    state = target.link.state()
    note(f"left running at burst {state.burst}" if state.running else f"stopped at burst {state.burst}")


def _watch(
    target: Running, stimuli: tuple[str, ...], bursts: int | None, realtime: bool, interval: float,
    recorder: Recorder | None, streams: tuple[str, ...], is_stopped: Callable[[], bool],
    tell: Callable[[monitor.Status], None], leaves: bool,
) -> None:  # fmt: skip
    net = engines.network_of(target)
    wanted = telemetry.parse(streams or ("fired",), net)
    coded_stimulus(stimuli, net, 1)  # what is wrong with it is said before anything runs
    engine = board_module.BoardEngine(target, owns=False)
    period = engine.hello.timestep_us if realtime else 0
    if realtime and not period:
        raise EspikeError("the network has no simulation_timestep", do="run without --realtime")
    if recorder is not None:
        _begin(recorder, engine, wanted, monitor.flush_bursts(period, interval))
    else:
        _introduce(engine.hello)
    statuses = monitor.watch(
        engine, net, stimuli, bursts=bursts, period_us=period, interval_s=interval, until=is_stopped,
        recorder=recorder, leaves=leaves,
    )  # fmt: skip
    with closing(statuses):
        for status in statuses:
            tell(status)
    if is_stopped():
        state = target.link.state()
        note(f"left running at burst {state.burst}" if state.running else f"stopped at burst {engine.burst}")
    if recorder is not None:
        note(f"{recorder.path}: {recorder.segments:,} segments, {recorder.bytes:,} bytes")


def _comes_back(board: str, is_stopped: Callable[[], bool]) -> bool:
    """Wait until a port answers again; False where Ctrl-C came first."""
    while not is_stopped():
        time.sleep(0.3)
        with suppress(EspikeError), running(board) as target:
            target.link.hello(timeout=0.5)
            return True
    return False


@click.command(name="stop")
@board_option
@json_option
def stop_verb(board: str, as_json: bool) -> None:
    """End the run that is on, on a board that was left running."""
    with running(board) as target:
        was = target.link.hello().running
        hello = board_module.attach(target)
        burst = target.link.state().burst
    if as_json:
        print_json({"board": hello.board, "was_running": was, "burst": burst})
    else:
        click.echo(f"{hello.board}: {'stopped' if was else 'was not running'}, at burst {burst}")


@click.command(name="sleep")
@board_option
@click.option("--seconds", required=True, type=click.FloatRange(0.001, 4000), help="How long.")
@json_option
def sleep_verb(board: str, seconds: float, as_json: bool) -> None:
    """Send a board to sleep: its network's state is retained, and goes on with the next burst when it wakes."""
    with running(board) as target:
        hello = board_module.sleep(target, seconds)
        state = target.link.state()
    if as_json:
        print_json({"board": hello.board, "reset_cause": hello.reset_cause, "burst": state.burst})
    else:
        click.echo(f"{hello.board}: woke by {hello.reset_cause}, at burst {state.burst}")


def _begin(
    recorder: Recorder, engine: board_module.BoardEngine, streams: list[telemetry.Stream], flush_bursts: int
) -> None:
    """Tell the board what to stream, the recording what runs."""
    used = engine.telemetry(streams, flush_bursts=flush_bursts)
    with progress("reading the image") as step:
        recorder.begin(engine.hello, engine.image(step), streams)
    note(f"recording {', '.join(stream.tensor_id for stream in streams)} with {used:,} bytes of the board's RAM")
