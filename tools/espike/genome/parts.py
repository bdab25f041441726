"""JSON values -> morphologies, rules, physiology: what both file shapes share."""

from __future__ import annotations

from espike_sim.connectome import RANGES
from espike_sim.learning import DELAY_MOST, WINDOW_MOST

from .model import Element, Morphology, Note, PatternPair, Plasticity, Quantization, Rule, Voxel
from .node import FLOAT32_MAX, Node, short

PRECISIONS = {
    "fp32": "fp32", "f32": "fp32", "float32": "fp32", "float": "fp32", "single": "fp32",
    "fp16": "fp16", "f16": "fp16", "float16": "fp16", "half": "fp16",
    "int8": "int8", "i8": "int8", "s8": "int8",
}  # fmt: skip
"""Every spelling of a precision, in lower case."""
RULE_ENTRIES = (
    "morphology_id", "morphology_scalar", "postSynapticCurrent_multiplier", "plasticity_flag",
    "plasticity_constant", "ltp_multiplier", "ltd_multiplier", "plasticity_window",
)  # fmt: skip
"""What the entries of an array rule mean, in order."""
COORDINATE_MAX = 2**31 - 1
WILDCARDS = ("*", "?", "!")
_KINDS = ("vectors", "patterns", "functions", "composite")


class Notes:
    """Collects notes while a genome is read."""

    def __init__(self) -> None:
        self.taken: list[Note] = []

    def add(self, path: str, text: str) -> None:
        """Remember one line about a JSON path."""
        self.taken.append(Note(path, text))

    def clamp(self, node: Node, value: float, low: float, high: float, what: str) -> float:
        """`value` clamped to low..high; a change is noted under `what`."""
        kept = min(max(value, low), high)
        if kept != value:
            self.add(node.path, f"{what} {short(node.value)} is clamped to {kept:g}")
        return kept

    def clamp_whole(self, node: Node, low: int, high: int, what: str) -> int:
        """The node's number clamped to low..high and truncated; each change is noted under `what`."""
        value = self.clamp(node, node.number(-1e300, 1e300), low, high, what)
        if value != int(value):
            self.add(node.path, f"{what} {short(node.value)} is truncated to {int(value)}")
        return int(value)


def read_morphology(name: str, node: Node) -> Morphology:
    """One entry of neuron_morphologies, in today's form or with its kind as the only key.

    Raises: EspikeError where a vector or pattern is malformed or negative. An entry of no known kind is
    kept: it matters only when a rule names it.
    """
    kind, body = "", node
    named = node.get("type")
    if named is not None:
        kind = named.text()
        parameters = node.get("parameters")
        body = parameters if parameters is not None else node
    else:
        kind = next((k for k in _KINDS if k in node), "without a kind")
    if kind == "vectors":
        return Morphology(name, kind, vectors=_vectors(body), path=node.path)
    if kind == "patterns":
        return Morphology(name, kind, patterns=_patterns(body), path=node.path)
    return Morphology(name, "function" if kind == "functions" else kind, path=node.path)


def _vectors(body: Node) -> tuple[Voxel, ...]:
    node = body.get("vectors")
    if node is None:
        body.fail("vectors are missing", do="write a list of [x, y, z]")
    entries = node.list()
    if len(entries) == 3 and not any(isinstance(entry.value, list) for entry in entries):
        return (_voxel(node),)
    return tuple(_voxel(entry) for entry in entries)


def _voxel(node: Node) -> Voxel:
    entries = node.list()
    if len(entries) != 3:
        node.fail(f"has {len(entries)} entries, expected 3", do="write [x, y, z]")
    x, y, z = (entry.whole(-COORDINATE_MAX, COORDINATE_MAX) for entry in entries)
    return x, y, z


def _patterns(body: Node) -> tuple[PatternPair, ...]:
    node = body.get("patterns")
    if node is None:
        body.fail("patterns are missing", do="write a list of [source, destination]")
    entries = node.list()
    flat = [entry for entry in entries if isinstance(entry.value, list)]
    bare_pair = len(entries) == 2 and len(flat) == 2
    if bare_pair and not any(isinstance(e, list) for entry in flat for e in entry.value):
        return (_pair(node),)
    return tuple(_pair(entry) for entry in entries)


def _pair(node: Node) -> PatternPair:
    if _is_pair(node.value):  # the usual case, without a Node per coordinate
        (a, b, c), (d, e, f) = node.value
        return (a, b, c), (d, e, f)
    entries = node.list()
    if len(entries) != 2:
        node.fail(f"has {len(entries)} entries, expected 2", do="write [source, destination]")
    return _elements(entries[0]), _elements(entries[1])


def _is_pair(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 2:
        return False
    return all(isinstance(side, list) and len(side) == 3 and all(map(_is_element, side)) for side in value)


def _is_element(value: object) -> bool:
    if isinstance(value, str):
        return value in WILDCARDS
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= COORDINATE_MAX


def _elements(node: Node) -> tuple[Element, Element, Element]:
    entries = node.list()
    if len(entries) != 3:
        node.fail(f"has {len(entries)} entries, expected 3", do="write [x, y, z]")
    x, y, z = (_element(entry) for entry in entries)
    return x, y, z


def _element(node: Node) -> Element:
    if isinstance(node.value, str):
        if node.value not in WILDCARDS:
            node.fail(f"{short(node.value)} is no pattern element", do='write a coordinate, "*", "?" or "!"')
        return node.value
    return node.whole(0, COORDINATE_MAX)


def read_rules(node: Node, source: str, target: str, psp: int, notes: Notes) -> list[Rule]:
    """The rules of one mapping: a list of array rules and object rules, or one of them alone.

    Raises: EspikeError where a rule has fewer than 4 or more than 8 entries, or a value of a wrong type.
    """
    entries = node.list() if isinstance(node.value, list) else [node]
    if entries and isinstance(entries[0].value, str):
        entries = [node]
    return [_read_rule(entry, source, target, psp, notes) for entry in entries]


def _read_rule(node: Node, source: str, target: str, psp: int, notes: Notes) -> Rule:
    members: dict[str, Node] = {}
    if isinstance(node.value, dict):
        members = dict(node.members())
    else:
        entries = node.list()
        if not 4 <= len(entries) <= len(RULE_ENTRIES):
            do = "write 4 to 8 entries: " + ", ".join(RULE_ENTRIES)
            node.fail(f"the rule has {len(entries)} entries", do=do)
        members = {name: entry for name, entry in zip(RULE_ENTRIES, entries, strict=False) if entry.value is not None}
    if "morphology_id" not in members:
        node.fail("the rule has no morphology_id", do="name the morphology that grows")
    name = members["morphology_id"].text()
    what = f"mapping {source} -> {target}, rule {name}:"
    plastic = None
    if "plasticity_flag" in members and members["plasticity_flag"].flag():
        plastic = _read_plasticity(members)
    delay = members["delay"].whole(0, DELAY_MOST) if "delay" in members else 1
    multiplier, attractivity = 1.0, 100.0
    if "postSynapticCurrent_multiplier" in members:
        m = members["postSynapticCurrent_multiplier"]
        multiplier = notes.clamp(m, m.number(-1e300, 1e300), -255, 255, f"{what} multiplier")
    if "synapse_attractivity" in members:
        a = members["synapse_attractivity"]
        attractivity = notes.clamp(a, a.number(-1e300, 1e300), 0, 100, f"{what} synapse_attractivity")
    return Rule(source, target, name, multiplier, psp, plastic, attractivity, node.path, delay=delay)


def _read_plasticity(members: dict[str, Node]) -> Plasticity:
    """What a plastic rule says of its steps and window; defaults where it is silent."""
    names = {"plasticity_constant": "constant", "ltp_multiplier": "ltp_multiplier", "ltd_multiplier": "ltd_multiplier"}
    given = {field: members[name].number(-1e9, 1e9) for name, field in names.items() if name in members}
    window = members["plasticity_window"].whole(1, WINDOW_MOST) if "plasticity_window" in members else 1
    return Plasticity(**given, window=window)


def read_timestep(root: Node) -> float:
    """Seconds per burst: simulation_timestep or burst_delay of physiology, or at the top of old files; 0 = none."""
    physiology = root.get("physiology")
    for place in [physiology] if physiology is not None else [root]:
        for name in ("simulation_timestep", "burst_delay"):
            node = place.get(name)
            if node is not None:
                return node.number(0, 1e9)
    return 0.0


def read_quantization(root: Node) -> Quantization:
    """What physiology says of precision, ranges and validation; absent = fp32.

    Raises: EspikeError naming the field where the precision is unknown, or where two fields disagree.
    """
    physiology = root.get("physiology")
    if physiology is None:
        return Quantization()
    section, later = physiology.get("quantization"), physiology.get("quantization_precision")
    asked: list[Node] = [later] if later is not None else []
    ranges: dict[str, float] = {}
    strict = log = False
    if section is not None and isinstance(section.value, str):
        asked.append(section)
    elif section is not None:
        inner, bounds, validation = (section.get(k) for k in ("precision", "ranges", "validation"))
        asked += [inner] if inner is not None else []
        if bounds is not None:
            ranges = {name: bounds.child(name).number() for name in RANGES if name in bounds}
            _check_ranges(ranges, bounds)
        if validation is not None:
            strict = "strict_bounds" in validation and validation.child("strict_bounds").flag()
            log = "log_quantization_loss" in validation and validation.child("log_quantization_loss").flag()
    found = [_precision(node) for node in asked]
    if len(set(found)) > 1:
        asked[0].fail(f"asks for {found[0]}, but {asked[1].path} for {found[1]}", do="keep one of them")
    return Quantization(found[0] if found else "fp32", ranges, strict, log)


def _check_ranges(ranges: dict[str, float], node: Node) -> None:
    for low, high in (RANGES[:2], RANGES[2:]):
        if ranges.get(low, -FLOAT32_MAX) > ranges.get(high, FLOAT32_MAX):
            node.fail(f"{low} {ranges[low]:g} is above {high} {ranges[high]:g}", do="exchange them")
    if not ranges.get(RANGES[0], 0) <= 0 <= ranges.get(RANGES[1], 0):
        node.fail("the range of membrane potentials leaves out 0, which is rest", do="let it hold 0")


def _precision(node: Node) -> str:
    name = PRECISIONS.get(node.text().strip().lower())
    if name is None:
        node.fail(f"precision {short(node.value)} is unknown", do="write fp32, fp16 or int8")
    return name
