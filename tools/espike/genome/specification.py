"""specification JSON -> genome: areas by name under `blueprint.cortical_areas`, parameters in words.

In this shape `leak_coefficient` is the fraction that is KEPT per burst, and charge accumulates unless the file
says otherwise: the update it describes has no flag that would clear a potential.
"""

from __future__ import annotations

from dataclasses import replace

from espike_sim.learning import DELAY_MOST

from .flat import read_excitability, read_fire_limit
from .model import NEURONS_MAX, Area, Genome, Morphology, Rule, Voxel
from .node import Node, clean, short
from .parts import Notes, read_quantization, read_timestep

THRESHOLD = ("threshold", "firing_threshold", "firing_threshold_starting_value")
MAPPINGS = ("cortical_mapping_dstn", "cortical_mapping_dst")
_ALL: tuple[str, str, str] = ("*", "*", "*")
KINDS = {
    "fully_connected": Morphology("fully_connected", "fully_connected"),
    "all_to_all": Morphology("all_to_all", "patterns", patterns=((_ALL, _ALL),)),
    "one_to_one": Morphology("one_to_one", "vectors", vectors=((0, 0, 0),)),
}
"""Mapping types of this shape beside FEAGI's functions and `random`."""
RANDOM_KEYS = ("fan_out", "seed", "weights", "weight")
AREA_KEYS = (
    "cortical_id", "cortical_name", "cortical_group", "neuron_count", "cortical_neuron_count", "dimensions",
    "cortical_neuron_per_voxel_count", "parameters", "morphology_id", "location", *MAPPINGS,
)  # fmt: skip
PARAMETERS = (
    *THRESHOLD, "firing_threshold_increment_x", "firing_threshold_increment_y", "firing_threshold_increment_z",
    "firing_threshold_limit", "leak_coefficient", "refractory_period", "consecutive_fire_cnt_max", "snooze_length",
    "neuron_excitability", "excitability", "mp_charge_accumulation", "mp_driven_psp", "psp_uniform_distribution",
    "postsynaptic_current",
)  # fmt: skip


def read_specification(root: Node, file_hash: str) -> Genome:
    """The genome of a file in the specification's shape. Raises: EspikeError naming the key that does not fit."""
    notes = Notes()
    described = root.child("blueprint").child("cortical_areas")
    neuron_kinds = root.get("morphologies")
    areas: list[Area] = []
    ids: dict[str, str] = {}
    nodes: dict[str, Node] = {}
    for name, node in described.members():
        area = _read_area(name, node, neuron_kinds, notes)
        if area.id in nodes:
            node.fail(f"two areas have the id {area.id}", do="give each area its own cortical_id")
        areas.append(area)
        nodes[area.id] = node
        ids[name] = area.id
    rules: list[Rule] = []
    for area in areas:
        rules += _read_mappings(area, nodes[area.id], ids, notes)
    morphologies = {rule.morphology: _morphology(rule.morphology) for rule in rules}
    return Genome(
        areas=tuple(areas),
        morphologies=morphologies,
        rules=tuple(rules),
        shape="specification",
        timestep_s=read_timestep(root),
        quantization=read_quantization(root),
        notes=tuple(notes.taken),
        hash=file_hash,
        file=root.file,
    )


def _morphology(name: str) -> Morphology:
    word, _, fan_out = name.partition(" ")
    if word == "random" and fan_out:
        return Morphology(name, "random", fan_out=int(fan_out))
    return KINDS.get(name, Morphology(name, "function"))


class _Parameters:
    """The parameters of an area: its own, then those of the morphology it names."""

    def __init__(self, area: Node, neuron_kinds: Node | None, notes: Notes, what: str) -> None:
        self.places: list[Node] = []
        own, named = area.get("parameters"), area.get("morphology_id")
        if own is not None:
            self._take(own, notes, what)
        if named is not None:
            kind = neuron_kinds.get(named.text()) if neuron_kinds is not None else None
            if kind is None:
                notes.add(named.path, f"{what} morphology {named.text()} is not defined, defaults are used")
            elif "parameters" in kind:
                self._take(kind.child("parameters"), notes, what)

    def _take(self, place: Node, notes: Notes, what: str) -> None:
        for key, node in place.members():
            if key not in PARAMETERS and node.value:
                notes.add(node.path, f"{what} parameter {clean(key)} {short(node.value)} is not used")
        self.places.append(place)

    def find(self, *names: str) -> Node | None:
        """The first parameter of these names."""
        for place in self.places:
            for name in names:
                if name in place:
                    return place.child(name)
        return None

    def number(self, default: float, *names: str) -> float:
        """The first parameter of these names as a number."""
        node = self.find(*names)
        return default if node is None else node.number()

    def flag(self, default: bool, name: str) -> bool:
        """A parameter as true or false."""
        node = self.find(name)
        return default if node is None else node.flag()


def _read_area(name: str, node: Node, neuron_kinds: Node | None, notes: Notes) -> Area:
    given, title, group = (node.get(k) for k in ("cortical_id", "cortical_name", "cortical_group"))
    area_id = given.text() if given is not None else clean(name)
    what = f"area {area_id}:"
    for key, member in node.members():
        if key not in AREA_KEYS:
            notes.add(member.path, f"{what} {clean(key)} {short(member.value)} is not used")
    p = _Parameters(node, neuron_kinds, notes, what)
    per_voxel = node.get("cortical_neuron_per_voxel_count")
    neurons_per_voxel = per_voxel.whole(1, NEURONS_MAX) if per_voxel is not None else 1
    area = Area(
        id=area_id,
        name=title.text() if title is not None else area_id,
        group=group.text().upper() if group is not None else "CUSTOM",
        dimensions=_dimensions(node, area_id, neurons_per_voxel),
        neurons_per_voxel=neurons_per_voxel,
        threshold=p.number(1, *THRESHOLD),
        threshold_increment=(
            p.number(0, "firing_threshold_increment_x"),
            p.number(0, "firing_threshold_increment_y"),
            p.number(0, "firing_threshold_increment_z"),
        ),
        limit=p.number(0, "firing_threshold_limit"),
        accumulate=p.flag(True, "mp_charge_accumulation"),
        psp_uniform=p.flag(False, "psp_uniform_distribution"),
        psp_driven=p.flag(False, "mp_driven_psp"),
        relative_coordinate=_location(node),
        path=node.path,
    )
    return _with_notes(area, p, notes, what)


def _with_notes(area: Area, p: _Parameters, notes: Notes, what: str) -> Area:
    """The area with the parameters that may be clamped."""
    kept, psp = p.find("leak_coefficient"), p.find("postsynaptic_current")
    refractory, snooze = p.find("refractory_period"), p.find("snooze_length")
    limit = p.find("consecutive_fire_cnt_max")
    excitability = p.find("neuron_excitability", "excitability")
    fraction = 1.0 if kept is None else notes.clamp(kept, kept.number(), 0, 1, f"{what} leak_coefficient (kept)")
    return replace(
        area,
        leak=1.0 - fraction,
        psp=1 if psp is None else notes.clamp_whole(psp, 0, 255, f"{what} psp"),
        refractory=0 if refractory is None else notes.clamp_whole(refractory, 0, 65535, f"{what} refractory period"),
        snooze=0 if snooze is None else notes.clamp_whole(snooze, 0, 65535, f"{what} snooze"),
        fire_limit=0 if limit is None else read_fire_limit(limit, notes, what),
        excitability=1.0 if excitability is None else read_excitability(excitability, notes, what),
    )


def _dimensions(node: Node, area_id: str, neurons_per_voxel: int) -> Voxel:
    sizes = node.get("dimensions")
    count = node.get("neuron_count") or node.get("cortical_neuron_count")
    if sizes is None:
        if count is None:
            node.fail(f"area {area_id} has no neuron_count and no dimensions", do="give one of them")
        neurons = count.whole(1, NEURONS_MAX)
        if neurons % neurons_per_voxel:
            count.fail(f"{neurons} neurons do not fill voxels of {neurons_per_voxel}")
        return neurons // neurons_per_voxel, 1, 1
    if isinstance(sizes.value, list) and len(sizes.value) == 3:
        x, y, z = (entry.whole(1, NEURONS_MAX) for entry in sizes.list())
    else:
        for axis in "xyz":
            if axis not in sizes:
                sizes.fail(f"has no {axis}", do="give x, y and z")
        x, y, z = (sizes.child(axis).whole(1, NEURONS_MAX) for axis in "xyz")
    held = x * y * z * neurons_per_voxel
    if count is not None and count.whole() != held:
        count.fail(f"is {short(count.value)}, but the dimensions hold {held} neurons", do="make them agree")
    return x, y, z


def _location(node: Node) -> Voxel | None:
    place = node.get("location")
    if place is None or not all(axis in place for axis in "xyz"):
        return None
    x, y, z = (int(place.child(axis).number()) for axis in "xyz")
    return x, y, z


def _read_mappings(area: Area, node: Node, ids: dict[str, str], notes: Notes) -> list[Rule]:
    found = next((node.child(name) for name in MAPPINGS if name in node), None)
    rules: list[Rule] = []
    for target, described in found.members() if found is not None else ():
        entries = described.list() if isinstance(described.value, list) else [described]
        for entry in entries:
            rules.append(_read_rule(area, ids.get(target, clean(target)), entry, notes))
    return rules


def _read_rule(area: Area, target: str, node: Node, notes: Notes) -> Rule:
    if isinstance(node.value, str):
        return Rule(area.id, target, node.text(), psp=area.psp, path=node.path)
    kind = node.get("cortical_mapping_type")
    if kind is None:
        node.fail("has no cortical_mapping_type", do="write " + ", ".join((*KINDS, "random")))
    what = f"mapping {area.id} -> {target}:"
    psp, multiplier = node.get("postsynaptic_current"), node.get("postSynapticCurrent_multiplier")
    own = None if psp is None else notes.clamp_whole(psp, 0, 255, f"{what} psp")
    factor = 1.0
    if multiplier is not None:
        factor = notes.clamp(multiplier, multiplier.number(), -255, 255, f"{what} multiplier")
    made = Rule(area.id, target, kind.text(), factor, area.psp if own is None else own, path=node.path)
    if "delay" in node:
        made = replace(made, delay=node.child("delay").whole(0, DELAY_MOST))
    if made.morphology == "random":
        return _random(made, node)
    for key in RANDOM_KEYS:
        if key in node:
            notes.add(node.child(key).path, f"{what} {key} is not used by {made.morphology}, only by random")
    return made


def _random(rule: Rule, node: Node) -> Rule:
    """A rule of random targets: `fan_out` of them per neuron; `weights` w or [low, high] in potential units."""
    if "fan_out" not in node:
        node.fail("a random mapping has no fan_out", do="give the targets of each source neuron")
    fan_out, seed = node.child("fan_out").whole(1, NEURONS_MAX), node.get("seed")
    given = node.get("weights") or node.get("weight")
    weights: tuple[float, float] | None = None
    if given is not None and isinstance(given.value, list):
        entries = [entry.number() for entry in given.list()]
        if len(entries) != 2 or entries[0] > entries[1]:
            given.fail("is no range", do="write one weight, or [lowest, highest]")
        weights = entries[0], entries[1]
    elif given is not None:
        weights = given.number(), given.number()
    return replace(
        rule,
        morphology=f"random {fan_out}",
        weights=weights,
        seed=None if seed is None else seed.whole(0, 2**32 - 1),
    )
