"""work -> instructions -> microseconds, by a cost table that was measured (docs/plan.md)."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from espike_sim.errors import EspikeError

FOLDER = Path(__file__).resolve().parent / "costs"
FORMAT = "espike-costs"


@dataclass(frozen=True)
class Costs:
    """The instructions that each kind of work takes, and how that was measured."""

    name: str
    compiler: str
    flags: tuple[str, ...]
    instructions: Mapping[str, float]

    def price(self, work: Mapping[str, float]) -> float:
        """Instructions of some work. Raises: EspikeError where the table has no price for some of it."""
        lacking = [name for name, count in work.items() if count and name not in self.instructions]
        if lacking:
            raise EspikeError(
                f"has no price of {lacking[0]}", where=f"cost table {self.name}", do="espike bench --costs"
            )
        return sum(self.instructions[name] * count for name, count in work.items())

    def save(self, path: Path) -> None:
        """Write the table as JSON, one price per line."""
        value = {"format": FORMAT, "name": self.name, "compiler": self.compiler, "flags": list(self.flags),
                 "instructions": dict(sorted(self.instructions.items()))}  # fmt: skip
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(value, indent=1) + "\n")
        except OSError as error:
            raise EspikeError(f"cannot write: {error.strerror}", where=str(path)) from None


@cache
def load(name: str) -> Costs:
    """A committed table. Raises: EspikeError where there is none of that name, or it is damaged."""
    path = FOLDER / f"{name}.json"
    try:
        value = json.loads(path.read_text())
        prices = {str(key): float(price) for key, price in value["instructions"].items()}
        if value["format"] != FORMAT or value["name"] != name:
            raise ValueError("it is another table")
        return Costs(name, str(value["compiler"]), tuple(map(str, value["flags"])), prices)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EspikeError(
            f"is no cost table ({error})", where=str(path), do="write it with: espike bench --costs"
        ) from None
