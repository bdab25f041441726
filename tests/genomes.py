"""Tiny flat genomes for tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

REAL = Path(__file__).resolve().parents[2] / "shared" / "data" / "genomes"
"""Other people's genomes; tests that use them skip where the folder is absent."""

CORE_NEURONS = 3


def area(area_id: str, dimensions: tuple[int, int, int], mappings: dict[str, Any] | None = None, **genes: Any) -> Any:
    """Keys of one area; gene names with `_` for what Python forbids: fire_t=, bbx is given by dimensions."""
    types = {"mp_acc": "b", "pspuni": "b", "mp_psp": "b", "memory": "b", "dstmap": "d", "_group": "t", "__name": "t"}
    scopes = {"fire_t", "leak_c", "refrac", "pstcr_", "mp_acc", "mp_psp", "c_fr_c", "snooze", "excite", "fthlim"}
    made = {f"_____10c-{area_id}-cx-___bb{a}-i": n for a, n in zip("xyz", dimensions, strict=True)}
    for gene, value in genes.items():
        scope = "nx" if gene in scopes else "cx"
        made[f"_____10c-{area_id}-{scope}-{gene}-{types.get(gene, 'f')}"] = value
    made[f"_____10c-{area_id}-cx-dstmap-d"] = mappings or {}
    return made


def genome(*areas: dict[str, Any], morphologies: dict[str, Any] | None = None, **physiology: Any) -> dict[str, Any]:
    """A flat genome of these areas."""
    blueprint: dict[str, Any] = {}
    for keys in areas:
        blueprint |= keys
    made: dict[str, Any] = {"version": "2.0", "blueprint": blueprint, "neuron_morphologies": morphologies or {}}
    return made | ({"physiology": physiology} if physiology else {})


def vectors(*entries: list[int]) -> dict[str, Any]:
    """A vectors morphology in today's form."""
    return {"type": "vectors", "parameters": {"vectors": list(entries)}, "class": "custom"}


def patterns(*pairs: list[list[Any]]) -> dict[str, Any]:
    """A patterns morphology in today's form."""
    return {"type": "patterns", "parameters": {"patterns": list(pairs)}, "class": "custom"}


FUNCTION: dict[str, Any] = {"type": "functions", "parameters": {}, "class": "core"}


def rule(name: str, multiplier: float = 1, plastic: bool = False) -> list[Any]:
    """An array rule of 4 entries."""
    return [name, [1, 1, 1], multiplier, plastic]
