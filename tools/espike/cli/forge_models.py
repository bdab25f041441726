"""forge models; forge export; forge import."""

from __future__ import annotations

from pathlib import Path

import click

from .common import FILE, json_option, print_json, print_table
from .forge_common import HOME, opened, run_of


@click.group("models")
def models_group() -> None:
    """Networks that phases made: list, show, present data to them, save them as files.

    A model is named by its id, or by any part of it that no other has.
    """


@models_group.command("list")
@click.option("--phase", metavar="PHASE", help="Made by this phase.")
@click.option("--tag", metavar="TAG", help="With this tag.")
@click.option("--session", metavar="RUN", help="Of this run.")
@HOME
@json_option
def list_verb(phase: str | None, tag: str | None, session: str | None, home: Path | None, as_json: bool) -> None:
    """List the models."""
    from ..forge import views
    from ..forge.contracts import PHASES

    if phase is not None and phase not in PHASES:
        raise click.UsageError(f"there is no phase {phase}: use {', '.join(PHASES)}")
    with opened(home) as registry:
        run = run_of(registry, session).run if session is not None else None
        found = registry.models(run, phase, tag)
        active = {model.id for model in registry.promoted()}
    if as_json:
        print_json([views.model_row(model) | {"promoted": model.id in active} for model in found])
        return
    rows = [(m.id, m.neurons, m.synapses, m.bytes, " ".join(m.formats), "active" if m.id in active else "")
            for m in found]  # fmt: skip
    print_table("models", ("model", "neurons", "synapses", "bytes", "formats", ""), rows)


@models_group.command("show")
@click.argument("model")
@HOME
@json_option
def show_verb(model: str, home: Path | None, as_json: bool) -> None:
    """Show a model's record, its ancestors and what was measured in its phase."""
    from ..forge import models, views

    with opened(home) as registry:
        found = views.model_details(registry, models.find(registry, model))
    if as_json:
        print_json(found)
        return
    for name, value in found.items():
        if name not in ("metrics", "lineage", "provenance"):
            click.echo(f"{name:18} {', '.join(map(str, value)) if isinstance(value, list) else value}")
    for name, value in found["provenance"].items():
        click.echo(f"{name:18} {', '.join(value) if isinstance(value, list) else value}")
    for child, parent in found["lineage"]:
        click.echo(f"{'lineage':18} {child} from {parent}")
    print_table("metrics of its phase", ("metric", "value"), [(k, str(v)) for k, v in sorted(found["metrics"].items())])


@models_group.command("sim")
@click.argument("model")
@click.option("--data", type=FILE, help="Labelled series (docs/train.md); default: the test items of its run.")
@click.option("--set", "part", type=click.Choice(["test", "train", "all"]), default="test", show_default=True)
@HOME
@json_option
def sim_verb(model: str, data: Path | None, part: str, home: Path | None, as_json: bool) -> None:
    """Present labelled items to a model on the host, and count its right answers."""
    from ..forge import models

    with opened(home) as registry:
        found = models.trial(registry, models.find(registry, model), data, part)
    if as_json:
        print_json({"model": found.model.id, "data": found.data, "items": found.items, "right": found.right,
                    "accuracy": found.accuracy, "labels": found.labels, "confusion": found.confusion,
                    "bursts_mean": found.bursts_mean})  # fmt: skip
        return
    head = ("is \\ taken for", *found.labels, "none")
    rows = [(found.labels[i], *map(int, row)) for i, row in enumerate(found.confusion)]
    print_table("confusion", head, rows)
    right = f"{found.right} of {found.items} right, {100 * found.accuracy:.1f} %"
    click.echo(f"{right}, {found.bursts_mean:.1f} bursts each")


@models_group.command("save")
@click.argument("model")
@click.argument("folder", metavar="DIR", type=FILE)
@HOME
@json_option
def save_verb(model: str, folder: Path, home: Path | None, as_json: bool) -> None:
    """Write a model as files: image.spk, master.npz, image.quantized.npz."""
    from ..forge import models

    with opened(home) as registry:
        some = models.find(registry, model)
        made = models.save(registry, some, folder)
    if as_json:
        print_json({"model": some.id, "files": made})
        return
    for path in made:
        click.echo(path)


@click.command("export")
@click.argument("model")
@click.argument("path", metavar="FILE.zip", type=FILE)
@HOME
@json_option
def export_verb(model: str, path: Path, home: Path | None, as_json: bool) -> None:
    """Write a model with its objects, metrics, configuration and schema as a zip."""
    from ..forge import models

    with opened(home) as registry:
        some = models.find(registry, model)
        registry.export_model(some.id, path)
    if as_json:
        print_json({"model": some.id, "file": path, "bytes": path.stat().st_size})
    else:
        click.echo(f"{path}: {some.id}, {path.stat().st_size:,} bytes")


@click.command("import")
@click.argument("path", metavar="FILE.zip", type=FILE)
@HOME
@json_option
def import_verb(path: Path, home: Path | None, as_json: bool) -> None:
    """Take a model that `forge export` wrote."""
    with opened(home, makes=True) as registry:
        id = registry.import_model(path)
    if as_json:
        print_json({"model": id})
    else:
        click.echo(id)
