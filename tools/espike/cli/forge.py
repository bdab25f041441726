"""`espike forge`: runs of the pipeline, what they made and measured."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from espike_sim.errors import EspikeError

from .common import FILE, json_option, note, print_json, print_table

HOME = click.option("--home", type=FILE, metavar="DIR", help="The forge's folder; default: with the boards' state.")


@click.group()
def forge() -> None:
    """From candidates to the best image that passes its gates (docs/forge.md)."""


@forge.command("run")
@click.argument("config", type=FILE, required=False)
@click.option("--quick", is_flag=True, help="With the table [quick] laid over the rest.")
@click.option("--phase", "phases", multiple=True, metavar="PHASE", help="Only this phase; may be given again.")
@click.option("--resume", metavar="RUN", help="Go on with a run.")
@click.option("--sabotage", metavar="KIND", help="Break something on purpose: a gate must catch it.")
@HOME
@json_option
def run_verb(
    config: Path | None, quick: bool, phases: tuple[str, ...], resume: str | None, sabotage: str | None,
    home: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run CONFIG, phase by phase; exit 0 only where every gate passed."""
    from ..forge import config as configs
    from ..forge import run as runs
    from ..forge.contracts import PHASES
    from ..forge.registry import Registry

    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown:
        raise click.UsageError(f"there is no phase {unknown[0]}: use {', '.join(PHASES)}")
    with Registry.open(home) as registry:
        before = registry.find_run(resume) if resume is not None else None
        if config is None and before is None:
            raise click.UsageError("give a configuration, or --resume RUN")
        kept = before.config if before is not None else ""
        asked = _config(config, quick) if config is not None else configs.parse(kept, "the run's configuration")
        chosen = tuple(phase for phase in PHASES if not phases or phase in phases)
        ended = runs.run(
            registry, asked, resume=before.run if before is not None else None, phases=chosen,
            sabotage=sabotage or "", say=note,
        )  # fmt: skip
        _print_ended(ended, as_json)
    if not ended.success:
        sys.exit(1)


def _config(path: Path, quick: bool) -> Any:
    """A configuration; one that is wrong is wrong usage."""
    from ..forge import config as configs

    try:
        return configs.load(path, quick)
    except configs.ConfigError as error:
        note(f"espike: {error}")
        sys.exit(2)


def _print_ended(ended: Any, as_json: bool) -> None:
    if as_json:
        print_json({
            "run": ended.run, "success": ended.success, "reason": ended.reason, "kind": "gate" if ended.missed else "",
            "phases": [{"phase": r.phase, "success": r.success, "seconds": round(r.seconds, 3), "models": r.models,
                        "gates": [_gate(g) for g in r.gates]} for r in ended.results],
            "models": [m.id for m in ended.models],
            "image": ended.models[0].image if ended.models else None,
        })  # fmt: skip
        return
    rows = [
        (r.phase, "passed" if r.success else "FAILED", f"{r.seconds:.1f}", len(r.gates), r.reason)
        for r in ended.results
    ]
    print_table(f"run {ended.run[:8]}", ("phase", "", "s", "gates", "reason"), rows)
    for model in ended.models:
        click.echo(f"{model.id}: {model.neurons:,} neurons, {model.synapses:,} synapses, {model.bytes:,} bytes")
    if ended.success:
        click.echo(f"success: every gate passed, in {ended.seconds:.0f} s")
    else:
        note(f"espike: forge: {ended.reason}")


def _gate(gate: Any) -> dict[str, Any]:
    return {"gate": gate.gate, "metric": gate.metric, "value": gate.value, "limit": gate.limit, "passed": gate.passed,
            "action": gate.action}  # fmt: skip


__all__ = ["EspikeError", "forge"]
