"""hierarchical JSON -> genome: area id -> named properties, as FEAGI's 2.1 writes them; and FEAGI's ids in base64.

Every property is one gene of the flat form under another name, so the values are read as those are.
"""

from __future__ import annotations

import base64
import binascii
import re
from typing import Any

from .flat import Genes, assemble
from .model import Genome
from .node import Node, clean, short
from .parts import Notes

PROPERTIES = {
    "cortical_name": "__name", "group_id": "_group", "cortical_group": "_group", "sub_group_id": "subgrp",
    "per_voxel_neuron_cnt": "_n_cnt", "synapse_attractivity": "synatt", "cortical_mapping_dst": "dstmap",
    "postsynaptic_current": "pstcr_", "psp_uniform_distribution": "pspuni",
    "firing_threshold": "fire_t", "firing_threshold_limit": "fthlim",
    "firing_threshold_increment_x": "ftincx", "firing_threshold_increment_y": "ftincy",
    "firing_threshold_increment_z": "ftincz",
    "leak_coefficient": "leak_c", "refractory_period": "refrac", "consecutive_fire_cnt_max": "c_fr_c",
    "snooze_length": "snooze", "neuron_excitability": "excite", "mp_charge_accumulation": "mp_acc",
    "mp_driven_psp": "mp_psp", "is_mem_type": "memory",
}  # fmt: skip
"""Properties and the genes that they are. `leak_coefficient` is the fraction lost, as in FEAGI's genes."""
TRIPLES = {
    "block_boundaries": ("___bbx", "___bby", "___bbz"),
    "relative_coordinate": ("rcordx", "rcordy", "rcordz"),
    "2d_coordinate": ("2dcorx", "2dcory"),
}
"""Properties that hold several genes in a list."""
UNUSED = (
    "visualization", "postsynaptic_current_max", "leak_variability", "degeneration", "plasticity_constant",
    "longterm_mem_threshold", "lifespan_growth_rate", "init_lifespan", "temporal_depth", "dev_count", "cortical_id",
    "cortical_type", "location_generation_type", "firing_threshold_increment",
)  # fmt: skip
"""Properties that FEAGI writes and that have no effect on growth or on a run."""

_BASE64 = re.compile(r"[A-Za-z0-9+/]{11}=")


def is_hierarchical(blueprint: Any) -> bool:
    """Whether a blueprint is objects by area id, at least one of which has a size in FEAGI's words."""
    if not isinstance(blueprint, dict):
        return False
    return any(isinstance(value, dict) and "block_boundaries" in value for value in blueprint.values())


def read_hierarchical(root: Node, blueprint: Node, file_hash: str) -> Genome:
    """The genome of a hierarchical file; `blueprint` holds its areas. Raises: EspikeError naming what does not fit."""
    notes = Notes()
    areas: dict[str, Genes] = {}
    for key, node in blueprint.members():
        if not isinstance(node.value, dict):
            notes.add(node.path, f"key {clean(key)} belongs to no area")
            continue
        name = readable_id(clean(key))
        if name in areas:
            node.fail(f"two areas have the id {name}", do="give each area its own id")
        areas[name] = _genes(name, node, notes)
    return assemble(root, areas, notes, "hierarchical", file_hash, readable_id)


def _genes(area: str, node: Node, notes: Notes) -> Genes:
    if "block_boundaries" not in node:
        node.fail(f"area {area} has no block_boundaries", do="write its size, [x, y, z]")
    genes: Genes = {}
    for place in (node, node.get("neuron_params")):
        for key, member in place.members() if place is not None else ():
            if key in TRIPLES:
                entries = member.list()
                if len(entries) != len(TRIPLES[key]):
                    member.fail(f"has {len(entries)} entries, expected {len(TRIPLES[key])}")
                genes |= dict(zip(TRIPLES[key], entries, strict=True))
            elif key in PROPERTIES:
                genes.setdefault(PROPERTIES[key], member)
            elif key not in UNUSED and key != "neuron_params" and member.value:
                notes.add(member.path, f"area {area}: property {clean(key)} {short(member.value)} is not used")
    return genes


def readable_id(text: str) -> str:
    """An area id as people read it: FEAGI 3.0 writes the 8 bytes of an id in base64.

    What follows the letters, digits and `_` in front is written in hex behind a `-`; other ids stay as they are.
    """
    if not _BASE64.fullmatch(text):
        return text
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error:
        return text
    plain = re.match(rb"[A-Za-z0-9_]*", data)
    kept = plain[0] if plain is not None else b""
    rest = data[len(kept) :]
    return kept.decode() + (f"-{rest.hex()}" if rest else "")
