"""genome: areas, morphologies and rules that grow, in the one form that `develop` sees.

Every file shape is read into this: gene names, prefixes, array rules and clamps are behind us here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

NEURONS_MAX = 2**31 - 1
"""Neurons of a genome: ids stay below 2^31."""
CORE_AREAS = ("death", "power", "fatigue")
"""The areas that come first in every connectome, in this order."""

_CORE_SPELLINGS = {
    "death": "death", "dth": "death",
    "power": "power", "pwr": "power",
    "fatigue": "fatigue", "fatig": "fatigue", "ftg": "fatigue",
}  # fmt: skip

Voxel = tuple[int, int, int]
Element = int | str
"""One axis of a pattern: a coordinate, or one of `*`, `?`, `!`."""
PatternPair = tuple[tuple[Element, Element, Element], tuple[Element, Element, Element]]


def core_kind(area_id: str) -> str:
    """Which of CORE_AREAS an area id spells (`_power`, `___pwr`, ...), or an empty string."""
    return _CORE_SPELLINGS.get(area_id.strip("_").lower(), "") if area_id.startswith("_") else ""


@dataclass(frozen=True)
class Note:
    """What was changed, ignored or not grown: the JSON path it is about, and one line of text."""

    path: str
    text: str

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Area:
    """A cortical area as the genome describes it. Potentials in the genome's unit, times in bursts."""

    id: str
    name: str
    group: str
    dimensions: Voxel
    neurons_per_voxel: int = 1
    threshold: float = 1.0
    threshold_increment: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Added to the threshold per voxel along x, y and z."""
    limit: float = 0.0
    """Upper end of the firing window, 0 = none."""
    leak: float = 0.0
    """Fraction lost per processed burst, 0..1, in every file shape."""
    refractory: int = 0
    fire_limit: int = 0
    """Consecutive fire limit, 0 = off."""
    snooze: int = 0
    excitability: float = 1.0
    """Probability of firing at the threshold, 0..1."""
    accumulate: bool = False
    psp: int = 1
    """postsynaptic_current, 0..255: what a spike of this area is worth before multiplier and fan-out."""
    psp_uniform: bool = False
    """Each synapse gets the full value; False: the value is divided by the neuron's fan-out."""
    psp_driven: bool = False
    """mp_driven_psp: the potential at firing takes the place of psp."""
    memory: bool = False
    relative_coordinate: Voxel | None = None
    coordinate_2d: tuple[int, int] | None = None
    path: str = field(default="", compare=False)
    """JSON path, for findings."""

    @property
    def count(self) -> int:
        """Neurons of the area."""
        x, y, z = self.dimensions
        return x * y * z * self.neurons_per_voxel


@dataclass(frozen=True)
class Morphology:
    """How a source voxel finds its target voxels.

    `kind`: `vectors`, `patterns`, `function` (the name says which), `fully_connected`, `random`, or another word
    where nothing grows.
    """

    name: str
    kind: str
    vectors: tuple[Voxel, ...] = ()
    patterns: tuple[PatternPair, ...] = ()
    path: str = field(default="", compare=False)
    fan_out: int = 0
    """random: different targets of each source neuron."""


@dataclass(frozen=True)
class Plasticity:
    """FEAGI's windowed rule: steps in units of its weights, 0..255 (docs/numbers.md, Learning)."""

    constant: float = 1.0
    ltp_multiplier: float = 1.0
    ltd_multiplier: float = 1.0
    window: int = 1
    """Bursts."""


@dataclass(frozen=True)
class Rule:
    """One mapping rule: the areas by id, the morphology by name, and what a synapse is worth."""

    source: str
    target: str
    morphology: str
    multiplier: float = 1.0
    """postSynapticCurrent_multiplier, -255..255, its fraction kept."""
    psp: int = 1
    """The source area's psp, or the rule's own where the file shape has one; 0..255."""
    plastic: Plasticity | None = None
    attractivity: float = 100.0
    """Per cent of the synapses that grow, 0..100."""
    path: str = field(default="", compare=False)
    weights: tuple[float, float] | None = None
    """Lowest and highest weight, drawn per synapse; None = multiplier * psp, shared as the area says."""
    seed: int | None = None
    """Of the rule's draws; None = the seed of growth."""
    delay: int = 1
    """Bursts from a spike to its arrival."""


@dataclass(frozen=True)
class Quantization:
    """What the genome asks of the quantizer."""

    precision: str = "fp32"
    ranges: Mapping[str, float] = field(default_factory=dict)
    """membrane_potential_min, _max, threshold_min, _max: those that are given."""
    strict_bounds: bool = False
    log_quantization_loss: bool = False


@dataclass(frozen=True)
class Genome:
    """Areas in file order, without core areas that the file lacks; rules by source area, then in file order."""

    areas: tuple[Area, ...]
    morphologies: Mapping[str, Morphology]
    rules: tuple[Rule, ...]
    shape: str = "flat"
    """`flat`, `hierarchical` or `specification`."""
    id: str = ""
    title: str = ""
    version: str = ""
    timestep_s: float = 0.0
    """simulation_timestep, seconds; 0 = none given."""
    quantization: Quantization = field(default_factory=Quantization)
    notes: tuple[Note, ...] = ()
    hash: str = ""
    """SHA-256 (hex) of the file's bytes; empty where there is no file."""
    file: str = ""

    def resolve(self, area_id: str) -> str | None:
        """The id of the area that `area_id` means, or None.

        Ids padded with `_` to 8 characters and other spellings of a core area mean the same area.
        """
        ids = {area.id for area in self.areas}
        if area_id in ids:
            return area_id
        kind = core_kind(area_id)
        for area in self.areas:
            same_core = kind and core_kind(area.id) == kind
            if same_core or area.id.rstrip("_") == area_id.rstrip("_"):
                return area.id
        return CORE_IDS[kind] if kind else None


CORE_IDS = {"death": "_death", "power": "_power", "fatigue": "_fatigue"}
"""Ids of core areas that the genome does not describe."""
