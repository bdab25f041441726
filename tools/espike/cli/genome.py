"""genome new, check, show; grow."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from espike_sim import connectome as connectome_file
from espike_sim import npzfile
from espike_sim.errors import EspikeError

from .. import genome as genomes
from .. import network
from .common import FILE, growth_options, json_option, options, print_json, print_table, progress, warn


@click.group()
def genome() -> None:
    """Make, check and look at genomes."""


@genome.command()
@click.argument("recipe", required=False)
@click.option("-o", "--output", type=FILE, help="Where to write; default: RECIPE.json.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("-p", "--set", "values", multiple=True, metavar="KEY=VALUE", help="A parameter of the recipe.")
@json_option
def new(recipe: str | None, output: Path | None, seed: int, values: tuple[str, ...], as_json: bool) -> None:
    """Make a genome from RECIPE; without one, list the recipes and their parameters."""
    if recipe is None:
        _list_recipes(as_json)
        return
    parameters: dict[str, Any] = {}
    for value in values:
        key, equals, text = value.partition("=")
        if not equals:
            raise click.UsageError(f"--set takes KEY=VALUE, not {value!r}")
        parameters[key] = text
    made = genomes.new(recipe, seed, **parameters)
    path = output or Path(f"{recipe}.json")
    npzfile.write_atomic(path, genomes.encode(made))
    if as_json:
        print_json({"genome": str(path), "recipe": recipe, "seed": seed, **made["stats"]})
    else:
        stats = made["stats"]
        click.echo(f"{path}: {stats['innate_neuron_count']:,} neurons, {stats['innate_synapse_count']:,} synapses")


def _list_recipes(as_json: bool) -> None:
    if as_json:
        print_json(
            {
                name: {"line": r.line, "parameters": {p.name: [p.default, p.range, p.line] for p in r.parameters}}
                for name, r in genomes.RECIPES.items()
            }
        )
        return
    for name, recipe in genomes.RECIPES.items():
        rows = [(p.name, str(p.default), p.range, p.line) for p in recipe.parameters]
        print_table(f"{name}: {recipe.line}", ("parameter", "default", "range", "what"), rows)


@genome.command()
@click.argument("path", type=FILE)
@click.option("--extended", is_flag=True, help="Check the functions that FEAGI describes and does not grow as grown.")
@json_option
def check(path: Path, extended: bool, as_json: bool) -> None:
    """Say what is wrong with a genome. Exit 1 where it has errors."""
    findings = genomes.check(path, extended=extended)
    errors = sum(finding.severity == "error" for finding in findings)
    if as_json:
        print_json({"errors": errors, "findings": [vars(finding) for finding in findings]})
    else:
        for finding in findings:
            click.echo(str(finding))
        click.echo(f"{path}: {errors} errors, {len(findings) - errors} warnings")
    sys.exit(1 if errors else 0)


@genome.command()
@click.argument("path", type=FILE)
@click.option("-o", "--output", type=FILE, help="Draw a picture (.png, .svg or .pdf) instead of text.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True)
@click.option("--extended", is_flag=True)
@json_option
def show(path: Path, output: Path | None, seed: int, extended: bool, as_json: bool) -> None:
    """Show the areas and mappings of a genome or connectome, as text or as a picture."""
    grown = network.load_connectome(path, network.Options(seed=seed, extended=extended, strict=False))
    if output is not None:
        genomes.show(grown, output, title=path.stem)
    if as_json:
        print_json(genomes.summary(grown) | ({"picture": str(output)} if output else {}))
    elif output is not None:
        click.echo(str(output))
    else:
        for line in genomes.text(grown):
            click.echo(line)


@click.command()
@click.argument("path", metavar="GENOME", type=FILE)
@click.option("-o", "--output", type=FILE, help="Connectome file to write (.npz).")
@click.option("--strict", is_flag=True, help="Refuse a mapping to an area that does not exist.")
@growth_options
@json_option
def grow(path: Path, output: Path | None, strict: bool, as_json: bool, **how: Any) -> None:
    """Grow GENOME into a connectome: every neuron and synapse, explicit."""
    with progress("growing") as step:
        chosen = replace(options(None, strict=strict, **how), progress=lambda done, total, _: step(done, total))
        grown = network.load_connectome(path, chosen)
    if output is not None:
        if output.suffix != ".npz":
            raise EspikeError("a connectome file ends in .npz", where=str(output))
        connectome_file.save(grown, output)
    summary = genomes.summary(grown)
    if as_json:
        print_json(summary | ({"connectome": str(output)} if output else {}))
        return
    warn(grown.notes)
    rows = [(area["id"], area["name"], area["neurons"]) for area in summary["areas"]]
    print_table("areas", ("id", "name", "neurons"), rows)
    rules = [(m["source"], m["destination"], m["rule"], m["synapses"]) for m in summary["mappings"]]
    print_table("mappings", ("source", "destination", "rule", "synapses"), rules)
    click.echo(f"{output or path}: {grown.neurons:,} neurons, {grown.synapses:,} synapses")
