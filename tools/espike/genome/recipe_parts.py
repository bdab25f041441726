"""areas and pairs -> flat 2.x JSON: what the recipes of `new` build with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.pcg import pcg

from .model import Voxel

JSON = dict[str, Any]
INPUT, OUTPUT = "IPU", "OPU"
PRECISIONS = ("int8", "fp16", "fp32")


class Draft:
    """A genome in the making. Weights are whole numbers, so that FEAGI reads the same ones."""

    def __init__(self, seed: int, common: Mapping[str, Any]) -> None:
        self.seed = seed
        self.common = common
        self.blueprint: JSON = {}
        self.morphologies: JSON = {}
        self.areas: list[str] = []
        self.draws = 0
        for core, name in (("_death", "Brain_Death"), ("_power", "Brain_Power")):
            self._genes(core, name, "CORE", (1, 1, 1), (0, 0), threshold=1.0, leak=0.0, refractory=0)

    def area(self, name: str, size: Voxel, layer: int, layers: int) -> str:
        """Add an area; the first layer takes the stimulus (any potential from 1 on fires it). Returns its id."""
        group = INPUT if layer == 0 else OUTPUT if layer == layers - 1 else "CUSTOM"
        area_id = {INPUT: "i", OUTPUT: "o"}.get(group, "c") + f"{len(self.areas):02d}" + name[:3].ljust(3, "_")
        self.areas.append(area_id)
        place = (layer * 30, sum(key.endswith("rcordx-i") and v == layer * 30 for key, v in self.blueprint.items()))
        if layer == 0:
            self._genes(area_id, name, group, size, place, threshold=1.0, leak=0.0, refractory=0)
        else:
            c = self.common
            self._genes(area_id, name, group, size, place, c["threshold"], c["leak"], c["refractory"])
            self.blueprint[f"_____10c-{area_id}-nx-mp_acc-b"] = True
        return area_id

    def _genes(
        self, area: str, name: str, group: str, size: Voxel, place: tuple[int, int],
        threshold: float, leak: float, refractory: int,
    ) -> None:  # fmt: skip
        genes: JSON = {"cx-__name-t": name, "cx-_group-t": group, "cx-subgrp-t": "", "cx-_n_cnt-i": 1}
        genes |= {f"cx-___bb{axis}-i": n for axis, n in zip("xyz", size, strict=True)}
        genes |= {f"cx-rcord{axis}-i": n for axis, n in zip("xyz", (place[0], place[1] * 20, 0), strict=True)}
        genes |= {"cx-2dcorx-i": place[0] * 10, "cx-2dcory-i": place[1] * 200, "cx-gd_vis-b": True}
        genes |= {"cx-synatt-f": 100, "cx-de_gen-f": 0, "cx-pspuni-b": True, "cx-memory-b": False}
        genes |= {"nx-fire_t-f": threshold, "nx-ftincx-f": 0, "nx-ftincy-f": 0, "nx-ftincz-f": 0, "nx-fthlim-f": 0}
        genes |= {"nx-leak_c-f": leak, "nx-leak_v-f": 0, "nx-refrac-i": refractory, "nx-c_fr_c-i": 0, "nx-snooze-f": 0}
        genes |= {"nx-mp_acc-b": False, "nx-mp_psp-b": False, "nx-excite-f": 100}
        genes |= {"nx-pstcr_-f": 1, "nx-pstcrm-f": 255, "cx-dstmap-d": {}}
        self.blueprint |= {f"_____10c-{area}-{gene}": value for gene, value in genes.items()}

    def set_weight(self, area: str, thresholds: float) -> int:
        """What a spike of an area is worth, in thresholds (more than 1 is 1); returns it as a potential, 1..255.

        Raises: EspikeError where no whole number in 1..255 says it.
        """
        psp: int = round(min(thresholds, 1.0) * self.common["threshold"])
        if not 1 <= psp <= 255:
            do = ("raise" if psp < 1 else "lower") + " the threshold, or change gain or fan_out"
            raise EspikeError(f"weights of area {area} would be {psp}, outside 1..255", do=do)
        self.blueprint[f"_____10c-{area}-nx-pstcr_-f"] = psp
        return psp

    def connect(self, source: str, target: str, name: str, pairs: list[Any], multiplier: int) -> None:
        """Add a mapping rule with a patterns morphology of its own; nothing where there are no pairs."""
        if not pairs or not multiplier:
            return
        morphology = name if name not in self.morphologies else f"{name}_{len(self.morphologies)}"
        self.morphologies[morphology] = {"type": "patterns", "class": "custom", "parameters": {"patterns": pairs}}
        mappings = self.blueprint[f"_____10c-{source}-cx-dstmap-d"]
        mappings.setdefault(target, []).append([morphology, [1, 1, 1], multiplier, False, 1, 1, 1])

    def _hash(self, count: int) -> NDArray[np.uint32]:
        """uint32 (count,): the next random numbers."""
        start = np.array([self.seed + 0x9E3779B1 * self.draws & 0xFFFFFFFF]).astype(np.uint32)
        self.draws += 1
        return pcg(np.add(pcg(pcg(start)), np.arange(count), dtype=np.uint32, casting="unsafe"))

    def _chosen(self, sources: int, targets: int, fan_out: int) -> list[list[int]]:
        """For each source, `fan_out` different targets, ascending."""
        chosen = []
        for _ in range(sources):
            first = np.argsort(self._hash(targets), kind="stable")[:fan_out]
            chosen.append(sorted(first.tolist()))
        return chosen

    def random_pairs(self, sources: int, targets: int, fan_out: int) -> list[Any]:
        """Pattern pairs from each of `sources` to `fan_out` random ones of `targets`."""
        chosen = self._chosen(sources, targets, fan_out)
        return [[[s, 0, 0], [t, 0, 0]] for s in range(sources) for t in chosen[s]]

    def random_split(self, sources: int, targets: list[tuple[str, int]], fan_out: int) -> list[tuple[str, list[Any]]]:
        """Random pairs to several areas taken as one: per area its name and its pairs."""
        total = sum(size for _, size in targets)
        chosen = self._chosen(sources, total, min(fan_out, total))
        found, first = [], 0
        for name, size in targets:
            within = range(first, first + size)
            pairs = [[[s, 0, 0], [t - first, 0, 0]] for s in range(sources) for t in chosen[s] if t in within]
            found.append((name, pairs))
            first += size
        return found

    def split(self, pairs: list[Any], share: float) -> tuple[list[Any], list[Any]]:
        """Pairs in two: all but a random share, and that share."""
        taken = self._hash(len(pairs)) < np.uint64(share * 2**32)
        parts: tuple[list[Any], list[Any]] = ([], [])
        for pair, is_taken in zip(pairs, taken.tolist(), strict=True):
            parts[is_taken].append(pair)
        return parts

    def genome(self, genome_id: str, description: str) -> JSON:
        """The whole file as JSON values."""
        root = {"title": "root", "description": None, "parent_region_id": None, "coordinate_2d": [0, 0]}
        return {
            "genome_id": genome_id,
            "genome_title": genome_id,
            "genome_description": description,
            "version": "2.0",
            "physiology": {
                "simulation_timestep": self.common["timestep_s"],
                "max_age": 10000000,
                "evolution_burst_count": 50,
                "ipu_idle_threshold": 1000,
                "plasticity_queue_depth": 3,
                "lifespan_mgmt_interval": 10,
                "quantization_precision": self.common["precision"],
            },
            "hosts": {},
            "neuron_morphologies": self.morphologies,
            "brain_regions": {
                "root": root
                | {"coordinate_3d": [0, 0, 0], "areas": ["_death", "_power", *self.areas], "regions": []}
                | {"inputs": [], "outputs": []}
            },
            "blueprint": self.blueprint,
        }
