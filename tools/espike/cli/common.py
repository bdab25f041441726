"""What the verbs share: options, tables, JSON, progress."""

from __future__ import annotations

import json
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from espike_sim.connectome import PRECISIONS

from .. import network
from ..network import CALIBRATE_SHARE, Options

F = TypeVar("F", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)
"""A path; whoever reads it says what is wrong with it."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for machines.")
stimulus_option = click.option(
    "-s", "--stimulus", "stimuli", multiple=True, metavar="SPEC",
    help="poisson:AREA:rate=R:amount=A, periodic:..., constant:..., power:..., or a file; several are merged "
    "(docs/stimulus.md).",
)  # fmt: skip
board_option = click.option(
    "-b", "--board", required=True, metavar="BOARD",
    help="A board by name (starts it: see `espike boards`) or by port (/dev/ttyUSB0, socket://host:port).",
)  # fmt: skip
bursts_option = click.option("-n", "--bursts", type=click.IntRange(1), default=1000, show_default=True, help="Bursts.")
flash_option = click.option("--flash", "put", is_flag=True, help="Put the network on the board if it holds another.")


precision_option = click.option(
    "--precision", type=click.Choice(PRECISIONS), help="Overrides what the genome asks for."
)


def growth_options(function: F) -> F:
    """Options of every verb that may grow a genome."""
    for option in (
        click.option("--every-neuron", is_flag=True, help="Update every neuron in every burst, not candidates only."),
        click.option("--extended", is_flag=True, help="Grow the functions that FEAGI describes and does not grow."),
        click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Growth seed."),
    ):
        function = option(function)
    return function


def quantize_options(function: F) -> F:
    """How int8 numbers of trained networks are chosen (docs/quantization.md)."""
    for option in (
        click.option(
            "--calibrate-share", type=click.FloatRange(0, 1, min_open=True), default=CALIBRATE_SHARE, show_default=True,
            help="Of that data's training set, the share that is run.",
        ),
        click.option(
            "--calibrate", type=FILE, metavar="DATA",
            help="int8 of a trained network: fit codes to what it does with this data (npz or csv, as for train).",
        ),
        click.option(
            "--bits", metavar="BITS", help="int8 of a trained network: weights of 2 to 8 bits, `4` or `hidden=4,out=8`."
        ),
    ):  # fmt: skip
        function = option(function)
    return function


def network_options(function: F) -> F:
    """Options of every verb that takes a genome, connectome or quantized connectome."""
    return growth_options(precision_option(quantize_options(function)))


def options(
    precision: str | None, seed: int, extended: bool, every_neuron: bool, bits: str | None = None,
    calibrate: Path | None = None, calibrate_share: float = CALIBRATE_SHARE, strict: bool = True,
) -> Options:  # fmt: skip
    """The options of a verb as the library takes them."""
    return Options(
        precision, seed, extended, strict, every_neuron, bits, calibrate, calibrate_share, calibrating=_when_long()
    )


def _when_long(after_s: float = 2.0) -> network.Progress:
    """Says on stderr how far something is that takes long, every few seconds."""
    last = time.monotonic()

    def step(done: int, total: int, what: str) -> None:
        nonlocal last
        if time.monotonic() - last >= after_s and done < total:
            last = time.monotonic()
            note(f"{what}: {done} of {total}")

    return step


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, tuple | set | frozenset):
        return list(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def print_json(value: Any) -> None:
    """One JSON value on stdout."""
    click.echo(json.dumps(value, default=_plain))


def print_table(title: str, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on stdout; numbers right, thousands separated."""
    rows = [list(row) for row in rows]
    table = Table(title=title, title_justify="left")
    for column, name in enumerate(head):
        numeric = bool(rows) and all(isinstance(row[column], int | float) for row in rows)
        table.add_column(name, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(f"{cell:,}" if isinstance(cell, int) else str(cell) for cell in row))
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def note(text: str) -> None:
    """A line for people on stderr."""
    click.echo(text, err=True)


def warn(lines: Sequence[str], limit: int = 12) -> None:
    """Notes on stderr, the first `limit` of them."""
    for line in lines[:limit]:
        note(f"note: {line}")
    if len(lines) > limit:
        note(f"note: and {len(lines) - limit} more (--json lists them)")


@contextmanager
def interrupts() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and its like as a question, for work to be ended and not broken off; a second one breaks it off."""
    asked: list[int] = []

    def ask(number: int, _: Any) -> None:
        if asked:
            raise KeyboardInterrupt
        asked.append(number)

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield lambda: bool(asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def progress(what: str) -> Iterator[Callable[..., None]]:
    """A bar on stderr where that is a terminal; yields a function (done, all, what is done now, if it says so)."""
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(*columns, console=Console(stderr=True), disable=not sys.stderr.isatty(), transient=True) as bar:
        task = bar.add_task(what, total=None)

        def step(done: int, total: int, now: str = "") -> None:
            bar.update(task, completed=done, total=total, description=f"{what} {now}".rstrip())

        yield step
