"""forge config; forge tasks."""

from __future__ import annotations

from pathlib import Path

import click

from espike_sim.errors import EspikeError

from .common import FILE, json_option, note, print_json, print_table
from .forge_common import config_of, refuse


@click.group("config")
def config_group() -> None:
    """Configurations: show, edit, validate, and their schema."""


@config_group.command("show")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--quick", is_flag=True, help="With the table [quick] laid over the rest.")
@json_option
def show_verb(path: Path, quick: bool, as_json: bool) -> None:
    """Print FILE with every key written out, as a run takes it."""
    from ..forge import config
    from ..forge.packages import msgspec

    made = config_of(path, quick, as_json)
    if as_json:
        print_json(msgspec.to_builtins(made))
    else:
        click.echo(config.as_toml(made), nl=False)


@config_group.command("validate")
@click.argument("path", metavar="FILE", type=FILE)
@json_option
def validate_verb(path: Path, as_json: bool) -> None:
    """Check FILE, with its [quick] and without; what is wrong is said with its line, and the exit code is 2."""
    for quick in (False, True):
        config_of(path, quick, as_json)
    if as_json:
        print_json({"valid": True, "problems": []})
    else:
        click.echo(f"{path}: valid")


@config_group.command("edit")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--force", is_flag=True, help="Keep what was written even where it is no configuration.")
@json_option
def edit_verb(path: Path, force: bool, as_json: bool) -> None:
    """Open FILE in $EDITOR; it is replaced by what is valid alone.

    What is not valid is kept beside it, as FILE.rejected, and the exit code is 2.
    """
    from ..forge import config

    try:
        before = path.read_text("utf8") if path.exists() else ""
        made = click.edit(before, extension=".toml", require_save=True)
        if made is None or made == before:
            _said(path, "unchanged", as_json)
            return
        try:
            config.parse(made, str(path))
        except config.ConfigError as error:
            if not force:
                rejected = path.with_name(f"{path.name}.rejected")
                rejected.write_text(made, "utf8")
                note(f"{path} stays as it was; what was written is {rejected}")
                refuse(error, as_json)
            note(f"espike: {error}")
        path.write_text(made, "utf8")
    except OSError as error:
        raise EspikeError(f"cannot be edited ({error.strerror})", where=str(path)) from None
    _said(path, "changed", as_json)


def _said(path: Path, state: str, as_json: bool) -> None:
    if as_json:
        print_json({"file": path, "state": state})
    else:
        click.echo(f"{path}: {state}")


@config_group.command("schema")
@json_option
def schema_verb(as_json: bool) -> None:
    """Print the JSON Schema of configurations."""
    from ..forge import schemas

    document = schemas.documents()["forge-config.schema.json"]
    if as_json:
        print_json(document)
    else:
        click.echo(schemas.text(document), nl=False)


@click.group("tasks")
def tasks_group() -> None:
    """Suites of tasks: list, show, and make one of recordings."""


@tasks_group.command("list")
@json_option
def list_verb(as_json: bool) -> None:
    """List the suites that come with espike."""
    from ..forge import views

    found = views.suites()
    if as_json:
        print_json(found)
        return
    rows = [(s["suite"], len(s["tasks"]), s.get("missing") or s["about"]) for s in found]
    print_table("suites", ("suite", "tasks", "what"), rows)


@tasks_group.command("show")
@click.argument("name", metavar="SUITE")
@json_option
def show_suite_verb(name: str, as_json: bool) -> None:
    """Show a suite, by name or by its file or folder of recordings."""
    from ..forge import tasks, views

    found = views.suite_row(tasks.suite(name))
    if as_json:
        print_json(found)
        return
    what = f"{found['samples']} samples of {found['channels']} channels, answers {', '.join(found['labels'])}"
    click.echo(f"{found['suite']}: {found['about']}; {what}")
    rows = [(t["task"], t["level"], len(t["classes"]), "yes" if t["plant"] else "", "yes" if t["held_out"] else "",
             t["about"]) for t in found["tasks"]]  # fmt: skip
    print_table("tasks", ("task", "level", "classes", "device", "held out", "what"), rows)


@tasks_group.command("import")
@click.argument("path", metavar="FILE", type=FILE)
@click.option("--output", "-o", "folder", type=FILE, required=True, metavar="FOLDER", help="Where the suite is put.")
@click.option("--test", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.2, show_default=True,
              help="Share of each class that is kept for the test, where FILE does not say.")  # fmt: skip
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Draws that share.")
@json_option
def import_tasks_verb(path: Path, folder: Path, test: float, seed: int, as_json: bool) -> None:
    """Make a suite of recordings (docs/train.md, Data): a configuration names FOLDER as its suite."""
    from ..forge import tasks, views

    made = views.suite_row(tasks.import_recordings(path, folder, test=test, seed=seed))
    if as_json:
        print_json(made | {"folder": folder})
    else:
        click.echo(f"{folder}: suite {made['suite']}, {len(made['labels'])} classes")
