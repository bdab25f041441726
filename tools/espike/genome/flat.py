"""flat 2.x or 3.0 JSON -> genome: one key per gene, `_____10c-<area>-<cx|nx>-<gene>-<type>`."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from .model import NEURONS_MAX, Area, Genome, Rule, Voxel
from .node import Node, clean, short
from .parts import COORDINATE_MAX, Notes, read_morphology, read_quantization, read_rules, read_timestep

KEY = re.compile(r"_____10[bc]-(?P<area>.+)-(?:cx|nx)-(?P<gene>.{6})[-_](?P<type>[a-z])", re.DOTALL)
SIZES = ("___bbx", "___bby", "___bbz")
GENES = (
    *SIZES, "__name", "_group", "subgrp", "_n_cnt", "rcordx", "rcordy", "rcordz", "2dcorx", "2dcory",
    "fire_t", "ftincx", "ftincy", "ftincz", "fthlim", "leak_c", "refrac", "c_fr_c", "snooze", "excite",
    "pstcr_", "pspuni", "mp_acc", "mp_psp", "memory", "synatt", "dstmap",
)  # fmt: skip
"""Genes that are read."""
UNUSED_GENES = (
    "leak_v", "pstcrm", "de_gen", "mem__t", "mem_gr", "mem_ls", "tmpdpt", "gd_vis", "devcnt", "twinrf",
    "plst_c", "init_s", "__rand", "locr__", "locrp_",
)  # fmt: skip
"""Genes that FEAGI writes and that have no effect on growth or on a run."""
MEMORY_WORDS = ("MEMORY",)
Genes = dict[str, Node]
"""The genes of one area by their 6 letters."""
NEVER = 65535
"""Consecutive fire counts from here on mean: no limit."""


def is_flat(blueprint: Any) -> bool:
    """Whether a blueprint is flat, by the test that FEAGI uses."""
    return any(key.startswith("___") and "-" in key and len(key) > 20 for key in blueprint)


def read_flat(root: Node, file_hash: str, rename: Callable[[str], str] = str) -> Genome:
    """The genome of a flat file; `rename` makes area ids readable. Raises: EspikeError naming what does not fit."""
    notes = Notes()
    return assemble(root, _collect(root.child("blueprint"), notes, rename), notes, "flat", file_hash, rename)


def assemble(
    root: Node, genes: dict[str, Genes], notes: Notes, shape: str, file_hash: str, rename: Callable[[str], str] = str
) -> Genome:
    """The genome of genes by area id, and of all that stands beside the blueprint. Raises: EspikeError."""
    areas = [_read_area(area_id, genes[area_id], notes) for area_id in genes]
    rules: list[Rule] = []
    for area in areas:
        if "dstmap" in genes[area.id]:
            for target, node in genes[area.id]["dstmap"].members():
                rules += read_rules(node, area.id, rename(clean(target)), area.psp, notes)
    found = root.get("neuron_morphologies")
    named = found.members() if found is not None else ()
    return Genome(
        areas=tuple(areas),
        morphologies={clean(name): read_morphology(clean(name), node) for name, node in named},
        rules=tuple(rules),
        shape=shape,
        timestep_s=read_timestep(root),
        quantization=read_quantization(root),
        notes=tuple(notes.taken),
        hash=file_hash,
        file=root.file,
    )


def _collect(blueprint: Node, notes: Notes, rename: Callable[[str], str]) -> dict[str, Genes]:
    """Genes by area, in the order of first appearance; an area is an id with at least one size."""
    found: dict[str, Genes] = {}
    for key, node in blueprint.members():
        match = KEY.fullmatch(key)
        if match is None:
            continue
        area, gene = rename(clean(match["area"])), match["gene"]
        genes = found.setdefault(area, {})
        if gene in genes and genes[gene].value != node.value:
            notes.add(node.path, f"area {area}: {clean(gene)} is given twice, {genes[gene].path} counts")
        genes.setdefault(gene, node)
    return {area: genes for area, genes in found.items() if any(size in genes for size in SIZES)}


def stray_keys(blueprint: Node) -> list[tuple[str, str]]:
    """(JSON path, why) of each blueprint key that nothing reads."""
    sized = {m["area"] for key in blueprint.value if (m := KEY.fullmatch(key)) is not None and m["gene"] in SIZES}
    found = []
    for key in blueprint.value:
        match, path = KEY.fullmatch(key), blueprint.child(key).path
        if match is None:
            found.append((path, "the key belongs to no area"))
        elif match["area"] not in sized:
            found.append((path, f"the key belongs to no area: {clean(match['area'])} has no size"))
        elif match["gene"] not in GENES + UNUSED_GENES:
            found.append((path, f"the gene {clean(match['gene'])} is unknown"))
    return found


def _read_area(area_id: str, genes: Genes, notes: Notes) -> Area:
    what = f"area {area_id}:"

    def number(gene: str, default: float) -> float:
        return genes[gene].number() if gene in genes else default

    def bursts(gene: str, name: str) -> int:
        return notes.clamp_whole(genes[gene], 0, 65535, f"{what} {name}") if gene in genes else 0

    def flag(gene: str) -> bool:
        return gene in genes and genes[gene].flag()

    def text(gene: str, default: str) -> str:
        return genes[gene].text() if gene in genes else default

    leak = notes.clamp(genes["leak_c"], number("leak_c", 0), 0, 1, f"{what} leak") if "leak_c" in genes else 0.0
    psp = notes.clamp_whole(genes["pstcr_"], 0, 255, f"{what} psp") if "pstcr_" in genes else 1
    x, y, z = (number(gene, 0) for gene in ("ftincx", "ftincy", "ftincz"))
    if number("synatt", 100) != 100:
        notes.add(
            genes["synatt"].path, f"{what} synatt {short(genes['synatt'].value)} is not used, rules have their own"
        )
    group, subgroup = text("_group", "CUSTOM"), text("subgrp", "")
    return Area(
        id=area_id,
        name=text("__name", area_id),
        group=group.upper(),
        dimensions=_dimensions(area_id, genes),
        neurons_per_voxel=_neurons_per_voxel(area_id, genes),
        threshold=number("fire_t", 1),
        threshold_increment=(x, y, z),
        limit=number("fthlim", 0),
        leak=leak,
        refractory=bursts("refrac", "refractory period"),
        fire_limit=_fire_limit(genes, notes, what),
        snooze=bursts("snooze", "snooze"),
        excitability=_excitability(genes, notes, what),
        accumulate=flag("mp_acc"),
        psp=psp,
        psp_uniform=flag("pspuni"),
        psp_driven=flag("mp_psp"),
        memory=flag("memory") or subgroup.upper() in MEMORY_WORDS,
        relative_coordinate=_relative_coordinate(genes),
        coordinate_2d=_coordinate_2d(genes),
        path=_path(area_id, genes),
    )


def _path(area_id: str, genes: Genes) -> str:
    """Where the area stands: the common part of its keys (flat), or its object."""
    first = next((node.path for node in genes.values()), f"blueprint.{area_id}")
    match = re.match(r"(.*-.+)-(?:cx|nx)-.{6}[-_][a-z]$", first, re.DOTALL)
    return match[1] if match else first.rpartition(".")[0]


def _dimensions(area_id: str, genes: Genes) -> Voxel:
    for gene in SIZES:
        if gene not in genes:
            next(iter(genes.values())).fail(f"area {area_id} has no {gene}", do="give all of " + ", ".join(SIZES))
    x, y, z = (genes[gene].whole(1, NEURONS_MAX) for gene in SIZES)
    return x, y, z


def _neurons_per_voxel(area_id: str, genes: Genes) -> int:
    return genes["_n_cnt"].whole(1, NEURONS_MAX) if "_n_cnt" in genes else 1


def _fire_limit(genes: Genes, notes: Notes, what: str) -> int:
    if "c_fr_c" not in genes:
        return 0
    return read_fire_limit(genes["c_fr_c"], notes, what)


def read_fire_limit(node: Node, notes: Notes, what: str) -> int:
    """Consecutive fire limit: 0 and from 65535 on = off."""
    value = node.whole()
    if value < 0:
        return notes.clamp_whole(node, 0, NEVER, f"{what} consecutive fire limit")
    return 0 if value >= NEVER else value


def _excitability(genes: Genes, notes: Notes, what: str) -> float:
    return read_excitability(genes["excite"], notes, what) if "excite" in genes else 1.0


def read_excitability(node: Node, notes: Notes, what: str) -> float:
    """Probability of firing, 0..1. From 0.999 on it is always, so 1..100 (per cent or not) all mean always."""
    value = node.number()
    if 1 < value < 100:
        notes.add(node.path, f"{what} excitability {value:g} means always, as every value from 0.999 on")
    return min(max(value, 0.0), 1.0)


def _relative_coordinate(genes: Genes) -> Voxel | None:
    names = ("rcordx", "rcordy", "rcordz")
    if not all(gene in genes for gene in names):
        return None
    x, y, z = (int(genes[gene].number(-COORDINATE_MAX, COORDINATE_MAX)) for gene in names)
    return x, y, z


def _coordinate_2d(genes: Genes) -> tuple[int, int] | None:
    names = ("2dcorx", "2dcory")
    if not all(gene in genes for gene in names):
        return None
    x, y = (int(genes[gene].number(-COORDINATE_MAX, COORDINATE_MAX)) for gene in names)
    return x, y
