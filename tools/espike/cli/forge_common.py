"""What the verbs of `espike forge` share: the home, runs by prefix, configurations, and lines of progress."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Column

from espike_sim.errors import EspikeError

from .common import FILE, note, print_json

if TYPE_CHECKING:
    from ..forge.config import Config
    from ..forge.registry import Registry
    from ..forge.rows import Run

HOME = click.option("--home", type=FILE, metavar="DIR", help="The forge's folder; default: with the boards' state.")
RUN = click.argument("run", required=False)
"""A run's id, its beginning, or `newest`."""


@contextmanager
def opened(home: Path | None, makes: bool = False) -> Iterator[Registry]:
    """The registry of a home; a folder that is named and absent is made only by a verb that puts something there."""
    from ..forge.registry import Registry

    if home is not None and not makes and not home.exists():
        raise EspikeError("no such folder", where=str(home), do="espike forge run makes it")
    with Registry.open(home) as registry:
        yield registry


def run_of(registry: Registry, prefix: str | None) -> Run:
    """The run that a verb is about."""
    from ..forge import views

    return views.find_run(registry, prefix)


def config_of(path: Path, quick: bool = False, as_json: bool = False) -> Config:
    """A configuration whose suite and board are there; one that is wrong is wrong usage."""
    from ..forge import config, run

    try:
        made = config.placed(config.load(path, quick), path.parent)
        run.check(made)
    except EspikeError as error:
        refuse(error, as_json)
    return made


def refuse(error: EspikeError, as_json: bool) -> NoReturn:
    """Say what is wrong with a configuration, a line each, and exit with 2."""
    lines = getattr(error, "problems", [])
    if as_json:
        problems = [{"line": line, "text": text} for line, text in lines] or [{"line": None, "text": str(error)}]
        print_json({"valid": False, "kind": "configuration", "problems": problems})
    note(f"espike: {error}")
    sys.exit(2)


Tell = tuple[Callable[[str], None], Callable[[str, int, int], None]]


@contextmanager
def told(quiet: bool, verbose: bool) -> Iterator[Tell]:
    """(say, on_phase) of a run on stderr: a bar on a terminal, else a line per phase; verbose: every line."""
    if quiet:
        yield (lambda text: None), (lambda phase, number, count: None)
    elif verbose or not sys.stderr.isatty():
        yield (note if verbose else lambda text: None), _line
    else:
        doing = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True, overflow="ellipsis"))
        columns = BarColumn(20), MofNCompleteColumn(), TimeElapsedColumn(), doing
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task("", total=None)
            yield (
                lambda text: bar.update(task, description=text),
                lambda phase, number, count: bar.update(task, completed=number, total=count, description=phase),
            )


def _line(phase: str, number: int, count: int) -> None:
    note(f"phase {number + 1} of {count}: {phase}")
