"""`espike forge`: runs of the pipeline, what they made and measured."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from espike_sim.errors import EspikeError

from .common import FILE, json_option, note, print_json, print_table, progress
from .forge_common import HOME, RUN, config_of, opened, run_of, told
from .forge_config import config_group, tasks_group
from .forge_metrics import metrics_group
from .forge_models import export_verb, import_verb, models_group

if TYPE_CHECKING:
    from ..forge.run import Ended

FOLLOW_S = 0.3


@click.group()
def forge() -> None:
    """From candidates to the best image that passes its gates (docs/forge.md)."""


@forge.command("run")
@click.argument("config", type=FILE, required=False)
@click.option("--quick", is_flag=True, help="With the table [quick] laid over the rest.")
@click.option("--phase", "phases", multiple=True, metavar="PHASE", help="Only this phase; may be given again.")
@click.option("--resume", metavar="RUN", help="Go on with a run.")
@click.option("--sabotage", metavar="KIND", help="Break something on purpose: a gate must catch it.")
@click.option("--quiet", "-q", is_flag=True, help="No progress.")
@click.option("--verbose", "-v", is_flag=True, help="Every gate and epoch as a line.")
@HOME
@json_option
def run_verb(
    config: Path | None, quick: bool, phases: tuple[str, ...], resume: str | None, sabotage: str | None, quiet: bool,
    verbose: bool, home: Path | None, as_json: bool,
) -> None:  # fmt: skip
    """Run CONFIG, phase by phase.

    Exits with 0 where every gate passed, with 1 where a gate, a contract or a board failed, with 2 where the
    configuration is wrong.
    """
    from ..forge import config as configs
    from ..forge import run as runs
    from ..forge.context import SABOTAGES

    chosen = _chosen(phases, resume)
    if sabotage is not None and sabotage not in SABOTAGES:
        raise click.UsageError(f"there is no sabotage {sabotage}: use {', '.join(SABOTAGES)}")
    if config is None and resume is None:
        raise click.UsageError("give a configuration, or --resume RUN")
    asked = config_of(config, quick, as_json) if config is not None else None
    with opened(home, makes=resume is None) as registry, told(quiet, verbose) as (say, on_phase):
        before = run_of(registry, resume) if resume is not None else None
        if asked is None and before is not None:
            asked = configs.parse(before.config, f"run {before.run}")
        assert asked is not None
        ended = runs.run(
            registry, asked, resume=before.run if before is not None else None, phases=chosen,
            sabotage=sabotage or "", say=say, on_phase=on_phase,
        )  # fmt: skip
    _print_ended(ended, as_json)
    if not ended.success:
        sys.exit(1)


def _chosen(phases: tuple[str, ...], resume: str | None) -> Any:
    from ..forge.contracts import PHASES

    unknown = [phase for phase in phases if phase not in PHASES]
    if unknown:
        raise click.UsageError(f"there is no phase {unknown[0]}: use {', '.join(PHASES)}")
    if phases and PHASES[0] not in phases and resume is None:
        raise click.UsageError(f"phase {phases[0]} goes on with a run: give --resume RUN")
    return tuple(phase for phase in PHASES if not phases or phase in phases)


def _print_ended(ended: Ended, as_json: bool) -> None:
    from ..forge import views

    if as_json:
        print_json({
            "run": ended.run, "success": ended.success, "kind": ended.kind, "reason": ended.reason,
            "seconds": round(ended.seconds, 3),
            "phases": [{"phase": r.phase, "success": r.success, "seconds": round(r.seconds, 3), "models": r.models,
                        "gates": [views.gate_row(g) for g in r.gates]} for r in ended.results],
            "models": [m.id for m in ended.models],
            "image": ended.models[0].image if ended.models else None,
        })  # fmt: skip
        return
    rows = [(r.phase, "passed" if r.success else "FAILED", round(r.seconds, 1), len(r.gates), r.reason)
            for r in ended.results]  # fmt: skip
    print_table(f"run {ended.run[:8]}", ("phase", "", "s", "gates", "reason"), rows)
    for model in ended.models:
        click.echo(f"{model.id}: {model.neurons:,} neurons, {model.synapses:,} synapses, {model.bytes:,} bytes")
    if ended.success:
        click.echo(f"success: every gate passed, in {ended.seconds:.0f} s")
    else:
        note(f"espike: forge: {ended.kind}: {ended.reason}")


@forge.command("status")
@click.option("--session", metavar="RUN", help="One run, with its phases and models.")
@HOME
@json_option
def status_verb(session: str | None, home: Path | None, as_json: bool) -> None:
    """List the runs, the newest first, or show one."""
    from ..forge import views

    with opened(home) as registry:
        if session is None:
            runs = [views.run_row(run) for run in registry.runs()]
            if as_json:
                print_json(runs)
                return
            rows = [(r["run"][:8], r["name"], r["status"], r["started"][:19], round(r["seconds"], 1), r["reason"])
                    for r in runs]  # fmt: skip
            print_table("runs", ("run", "name", "status", "began", "s", "reason"), rows)
            return
        found = views.status(registry, run_of(registry, session))
    if as_json:
        print_json(found)
        return
    lines = [
        (p["phase"], p["status"], round(p["seconds"], 1), _passed(p["gates"]), p["reason"]) for p in found["phases"]
    ]
    print_table(f"run {found['run']}: {found['status']}", ("phase", "status", "s", "gates passed", "reason"), lines)
    for model in found["models"]:
        click.echo(f"{model}{' (active)' if model in found['promoted'] else ''}")
    if found["reason"]:
        click.echo(f"{found['kind']}: {found['reason']}" if found["kind"] else found["reason"])


def _passed(gates: list[dict[str, Any]]) -> str:
    return f"{sum(gate['passed'] for gate in gates)} of {len(gates)}"


@forge.command("phases")
@RUN
@HOME
@json_option
def phases_verb(run: str | None, home: Path | None, as_json: bool) -> None:
    """List the phases with what each takes and gives, its gates, and its state in RUN."""
    from ..forge import views

    with opened(home) as registry:
        some = run_of(registry, run) if run is not None or registry.runs() else None
        found = views.phase_table(registry, some)
    if as_json:
        print_json({"run": some.run if some else None, "phases": found})
        return
    rows = [(p["phase"], p["status"], "\n".join(p["inputs"]), "\n".join([*p["models"], *p["artefacts"]]) or "-",
             "\n".join(f"{'passed' if g['passed'] else 'MISSED'} {g['gate']}" for g in p["gates"]) or "-")
            for p in found]  # fmt: skip
    head = ("phase", "status", "takes", "gave", "gates")
    print_table(f"phases of run {some.run[:8]}" if some else "phases", head, rows)


@forge.command("logs")
@RUN
@click.option("--follow", "-f", is_flag=True, help="Wait for further lines until the run ends.")
@click.option("--phase", metavar="PHASE", help="Of one phase.")
@HOME
@json_option
def logs_verb(run: str | None, follow: bool, phase: str | None, home: Path | None, as_json: bool) -> None:
    """Print a run's log; with --json a value a line."""
    from ..forge import views

    with opened(home) as registry:
        id, after, going = run_of(registry, run).run, 0, True
        while going:
            going = follow and registry.find_run(id).status == "running"
            for log in registry.logs(id, phase, after):
                after = log.number
                if as_json:
                    print_json(views.log_row(log))
                else:
                    click.echo(f"{log.at[11:19]} {log.phase:7} {log.level:8} {log.text}")
            if going:
                time.sleep(FOLLOW_S)


@forge.command("clean")
@click.option("--keep", type=click.IntRange(0), default=5, show_default=True, help="Runs to keep, the newest.")
@click.option("--yes", is_flag=True, help="Remove; else only say what would be.")
@HOME
@json_option
def clean_verb(keep: int, yes: bool, home: Path | None, as_json: bool) -> None:
    """Remove old runs and what only they need; active images and their runs stay."""
    with opened(home) as registry:
        found = registry.clean(keep, dry_run=not yes)
    if as_json:
        print_json({"dry_run": not yes, **vars(found)})
        return
    for run in found.runs:
        click.echo(run)
    rows = f"{len(found.runs)} runs, {len(found.models)} models, {found.steps} steps"
    what = f"{rows}, {found.objects} objects, {found.bytes:,} bytes"
    click.echo(f"{'removed' if yes else 'would remove'}: {what}{'' if yes else '; --yes does it'}")


@forge.command("report")
@RUN
@click.option("--output", "-o", type=FILE, default=Path("report.html"), show_default=True, help="The HTML file.")
@HOME
@json_option
def report_verb(run: str | None, output: Path, home: Path | None, as_json: bool) -> None:
    """Write RUN's report: one HTML file that needs nothing else."""
    from espike_sim import npzfile

    from ..forge.report import report

    with opened(home) as registry:
        some = run_of(registry, run)
        page = report(registry, some).encode()
    try:
        npzfile.write_atomic(output, page)
    except OSError as error:
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(output)) from None
    if as_json:
        print_json({"run": some.run, "report": output, "bytes": len(page)})
    else:
        click.echo(f"{output}: {len(page):,} bytes")


@forge.command("validate")
@click.option("--recompute", metavar="RUN", help="Compute every metric of a run again, and compare.")
@click.option("--check", "checks", multiple=True, metavar="CHECK", help="Only this check; may be given again.")
@HOME
@json_option
def validate_verb(recompute: str | None, checks: tuple[str, ...], home: Path | None, as_json: bool) -> None:
    """Check this machine: compiler, packages, C core, boards, ports, home; with --recompute a run's numbers.

    Exits with 1 where a check fails; --check asks for one at a time.
    """
    if recompute is not None:
        _recompute(recompute, home, as_json)
        return
    from ..forge import system
    from ..forge.registry import home as home_of

    unknown = [name for name in checks if name not in system.CHECKS]
    if unknown:
        raise click.UsageError(f"there is no check {unknown[0]}: use {', '.join(system.CHECKS)}")
    found = system.check(checks, home_of(home))
    if as_json:
        print_json({"success": all(c.passed for c in found), "checks": [vars(c) for c in found]})
    else:
        rows = [(c.name, "ok" if c.passed else "FAILED", c.detail) for c in found]
        print_table("checks", ("check", "", "what"), rows)
    if not all(c.passed for c in found):
        sys.exit(1)


def _recompute(prefix: str, home: Path | None, as_json: bool) -> None:
    from ..forge import recompute as again

    with opened(home) as registry, progress("recomputing") as step:
        found = again.recompute(registry, run_of(registry, prefix).run, step)
    wrong, left = found.of(again.WRONG), found.of(again.LEFT)
    equal = len(found.of(again.EQUAL))
    if as_json:
        print_json({"run": found.run, "success": found.success, "equal": equal, "wrong": [vars(c) for c in wrong],
                    "not_recomputed": [{"name": c.name, "reason": c.reason} for c in left]})  # fmt: skip
    else:
        if left:
            print_table("not recomputed", ("metric", "why"), [(c.name, c.reason) for c in left])
        for check in wrong:
            note(f"espike: {check.name}: {check.reason}")
        click.echo(f"run {found.run[:8]}: {equal} metrics equal, {len(left)} not recomputed, {len(wrong)} wrong")
    if not found.success:
        sys.exit(1)


for _verb in (config_group, tasks_group, metrics_group, models_group, export_verb, import_verb):
    forge.add_command(_verb)
