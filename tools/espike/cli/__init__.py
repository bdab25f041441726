"""The command `espike`: a table of verbs, each a parser and one library call."""

from __future__ import annotations

import signal
import sys

import click

from espike_sim.errors import EspikeError

from .. import __version__
from .board import replay_verb, run, verify
from .boards import boards_verb, engines_verb
from .classify import classify
from .compare import compare_verb
from .dashboard import dashboard_verb
from .export import export
from .flash import flash, key, selftest
from .forge import forge
from .genome import genome, grow
from .model import import_verb
from .monitor import monitor_verb, sleep_verb, stop_verb
from .output import bench_verb, demo_verb, plot_verb
from .pack import pack
from .planning import plan_verb
from .segment import segment
from .train import train_verb

VERBS = (
    genome, grow, import_verb, train_verb, pack, plan_verb, boards_verb, engines_verb, flash, selftest, key, run,
    classify, monitor_verb, stop_verb, sleep_verb, replay_verb, verify, compare_verb, export, plot_verb, segment,
    forge, dashboard_verb, bench_verb, demo_verb,
)  # fmt: skip


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="espike")
def cli() -> None:
    """Spiking neural networks on microcontrollers, proven bit for bit against the host."""


for verb in VERBS:
    cli.add_command(verb)


def main(arguments: list[str] | None = None) -> None:
    """Run the command: exit 0 done, 1 failed or differs, 2 wrong usage. Being ended is being interrupted."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        code = cli.main(arguments, prog_name="espike", standalone_mode=False)
    except click.exceptions.Exit as stop:
        code = stop.exit_code
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except EspikeError as error:
        click.echo(f"espike: {error}", err=True)
        code = 1
    except (KeyboardInterrupt, click.Abort):
        click.echo("espike: interrupted", err=True)
        code = 1
    except BrokenPipeError:
        sys.stderr.close()
        code = 1
    except MemoryError:
        click.echo("espike: out of memory; make the network smaller", err=True)
        code = 1
    sys.exit(code if isinstance(code, int) else 0)
