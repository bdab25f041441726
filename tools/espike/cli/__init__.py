"""The command `espike`: a table of verbs, each a parser and one library call."""

from __future__ import annotations

import signal
import sys
from importlib import import_module

import click

from espike_sim.errors import EspikeError

from .. import __version__

VERBS = {
    "genome": "genome:genome", "grow": "genome:grow", "import": "model:import_verb", "train": "train:train_verb",
    "pack": "pack:pack", "plan": "planning:plan_verb", "boards": "boards:boards_verb", "engines": "boards:engines_verb",
    "flash": "flash:flash", "selftest": "flash:selftest", "key": "flash:key", "run": "board:run",
    "classify": "classify:classify", "monitor": "monitor:monitor_verb", "stop": "monitor:stop_verb",
    "sleep": "monitor:sleep_verb", "replay": "board:replay_verb", "verify": "board:verify",
    "compare": "compare:compare_verb", "export": "export:export", "plot": "output:plot_verb",
    "segment": "segment:segment", "forge": "forge:forge", "dashboard": "dashboard:dashboard_verb",
    "bench": "output:bench_verb", "demo": "output:demo_verb",
}  # fmt: skip
"""Module and function of each; a module is imported when its verb is asked for, for all of them take long."""


class Verbs(click.Group):
    """The table as a group."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every verb, by name."""
        return sorted(VERBS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A verb; None: there is none."""
        if cmd_name not in VERBS:
            return None
        module, _, name = VERBS[cmd_name].partition(":")
        found: click.Command = getattr(import_module(f".{module}", __name__), name)
        return found


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="espike")
def cli() -> None:
    """Spiking neural networks on microcontrollers, proven bit for bit against the host."""


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
