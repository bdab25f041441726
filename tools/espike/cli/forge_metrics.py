"""forge metrics."""

from __future__ import annotations

from pathlib import Path

import click

from .common import FILE, json_option, print_json, print_table
from .forge_common import HOME, RUN, opened, run_of

KINDS = ("csv", "jsonl", "tensorboard", "wandb")


@click.group("metrics")
def metrics_group() -> None:
    """What can be measured, what a run measured, and the same for other tools."""


@metrics_group.command("list")
@click.option("--phase", metavar="PHASE", help="Of one phase.")
@click.option("--count", "only_count", is_flag=True, help="How many there are; a template counts once.")
@click.option("--markdown", is_flag=True, help="As docs/forge-metrics.md.")
@json_option
def list_verb(phase: str | None, only_count: bool, markdown: bool, as_json: bool) -> None:
    """List the metrics of the catalogue."""
    from ..forge import catalogue, views

    if phase is not None and phase not in catalogue.PHASES:
        raise click.UsageError(f"there is no phase {phase}: use {', '.join(catalogue.PHASES)}")
    if markdown:
        click.echo(views.metrics_document(), nl=False)
        return
    found = [entry for entry in catalogue.entries() if phase in (None, entry.phase)]
    if only_count:
        counts = {name: catalogue.count(name) for name in catalogue.PHASES if phase in (None, name)}
        if as_json:
            print_json({"count": len(found), "phases": counts})
        else:
            click.echo(len(found))
        return
    if as_json:
        print_json([vars(entry) | {"phase": entry.phase} for entry in found])
        return
    rows = [(e.template, e.unit, f"{e.kind}, time" if e.is_time else e.kind, e.meaning) for e in found]
    print_table("metrics", ("metric", "unit", "type", "meaning"), rows)


@metrics_group.command("show")
@RUN
@click.option("--prefix", default="", metavar="NAME", help="Only names that begin so.")
@HOME
@json_option
def show_verb(run: str | None, prefix: str, home: Path | None, as_json: bool) -> None:
    """Show what a run measured, and where each number comes from."""
    from ..forge import views
    from ..forge.provenance import shown, source

    with opened(home) as registry:
        some = run_of(registry, run)
        found = registry.metrics(some.run, prefix=prefix)
    if as_json:
        print_json([views.metric_row(phase, metric) for phase, metric in found])
        return
    rows = [(m.name, shown(m.value), m.entry.unit, source(m)) for _, m in found]
    print_table(f"metrics of run {some.run[:8]}", ("metric", "value", "unit", "computed by"), rows)


@metrics_group.command("export")
@click.argument("run")
@click.argument("path", metavar="FILE|DIR", type=FILE)
@click.option("--to", "kind", type=click.Choice(KINDS), required=True, help="tensorboard and wandb write into DIR.")
@HOME
@json_option
def export_verb(run: str, path: Path, kind: str, home: Path | None, as_json: bool) -> None:
    """Write a run's metrics for another tool; RUN may be `newest`. Nothing is sent anywhere."""
    from ..forge import exporters

    with opened(home) as registry:
        some = run_of(registry, run)
        made = exporters.export(registry, some.run, kind, path)
    if as_json:
        print_json({"run": some.run, "to": kind, "file": made})
    else:
        click.echo(made)
