"""file -> genome: FEAGI's flat and hierarchical files and the specification's own shape, read into one form."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from .flat import is_flat, read_flat
from .hierarchical import is_hierarchical, read_hierarchical, readable_id
from .model import NEURONS_MAX, Genome, Note
from .node import Node, clean, load_bytes, parse_json
from .specification import read_specification

_DO = "give a genome of FEAGI, version 2.x or 3.0, or one with blueprint.cortical_areas"


def read(path: Path | str) -> Genome:
    """The genome in a file, with a note for every value that was changed or ignored.

    Raises: EspikeError with file and JSON path where the file cannot be read, is no JSON, no genome, a genome of
    another version, or holds a value that does not fit.
    """
    return parse(load_bytes(Path(path)), str(path))


def parse(data: bytes, file: str = "genome") -> Genome:
    """The genome in JSON text; `file` names it in messages. Raises: EspikeError as `read`."""
    value, twice = parse_json(data, file)
    genome = from_json(value, file, hashlib.sha256(data).hexdigest())
    said = tuple(Note("", f"key {clean(key)} appears twice in one object, the last one counts") for key in twice)
    return replace(genome, notes=said + genome.notes)


def from_json(value: Mapping[str, Any], file: str = "genome", file_hash: str = "") -> Genome:
    """The genome in JSON values, as `new` makes them. Raises: EspikeError as `read`."""
    root = Node(value, "", file)
    if not isinstance(value, dict) or not isinstance(value.get("blueprint"), dict):
        root.fail("is JSON, but no genome: it has no blueprint", do=_DO)
    version = _version(root)
    blueprint = root.child("blueprint")
    major = version.split(".")[0]
    if "cortical_areas" in blueprint:
        areas = blueprint.child("cortical_areas")
        worded = is_hierarchical(areas.value)
        genome = read_hierarchical(root, areas, file_hash) if worded else read_specification(root, file_hash)
    elif major not in ("", "2", "3"):
        root.fail(f"is a genome of version {clean(version)[:40]}, which is not read", do=_DO)
    elif is_flat(blueprint.value):
        genome = read_flat(root, file_hash, readable_id if major == "3" else str)
    elif is_hierarchical(blueprint.value):
        genome = read_hierarchical(root, blueprint, file_hash)
    elif blueprint.value and all(isinstance(v, dict) for v in blueprint.value.values()):
        root.fail("is a hierarchical genome whose areas have no block_boundaries", do="give every area its size")
    else:
        root.fail("is JSON, but no genome: its blueprint holds no area", do=_DO)
    _check_sizes(genome, root)
    texts = {name: node.text() for name in ("genome_id", "genome_title") if (node := root.get(name)) is not None}
    return replace(genome, id=texts.get("genome_id", ""), title=texts.get("genome_title", ""), version=version)


def _version(root: Node) -> str:
    node = root.get("version") or root.get("genome_version")
    if node is None:
        return ""
    return node.text() if isinstance(node.value, str) else f"{node.number():g}"


def _check_sizes(genome: Genome, root: Node) -> None:
    if not genome.areas:
        root.fail("is a genome without areas", do=_DO)
    for area in genome.areas:
        if area.count > NEURONS_MAX:
            Node(None, area.path, root.file).fail(f"area {area.id} has {area.count} neurons, at most {NEURONS_MAX} fit")
    total = sum(area.count for area in genome.areas)
    if total > NEURONS_MAX - 3:
        root.fail(f"has {total} neurons, at most {NEURONS_MAX} fit with the core areas")
