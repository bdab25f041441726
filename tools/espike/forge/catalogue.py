"""catalogue.toml -> metrics: every name that may be logged, with unit, type, phase and meaning."""

from __future__ import annotations

import math
import re
import tomllib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from espike_sim.errors import EspikeError

FILE = Path(__file__).with_name("catalogue.toml")
TYPES: dict[str, type] = {"int": int, "float": float, "bool": bool, "str": str}
PHASES = ("adopt", "evolve", "settle", "quant", "train", "tune", "fit", "pack", "deploy", "system")
"""First pieces of names, in the order of the documentation."""
_LITERAL, _FIELD = re.compile(r"[a-z][a-z0-9_]*"), re.compile(r"\{[a-z]+\}")
_FILLED = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,79}")


@dataclass(frozen=True)
class Entry:
    """One metric. `template` has fields in braces; a time depends on the clock, which no gate and no hash sees."""

    template: str
    unit: str
    kind: str
    """int, float, bool or str."""
    meaning: str
    is_time: bool = False

    @property
    def phase(self) -> str:
        """First piece of the name."""
        return self.template.partition("/")[0]

    @property
    def pieces(self) -> tuple[str, ...]:
        """Words and fields between the slashes."""
        return tuple(self.template.split("/"))

    def check(self, value: object) -> None:
        """Raises: EspikeError where the value is not of the metric's type, or not finite; an int is a float too."""
        kind = TYPES[self.kind]
        if isinstance(value, bool) is not (kind is bool) or not isinstance(
            value, (int, float) if kind is float else kind
        ):
            raise EspikeError(f"is {value!r}, expected {self.kind}", where=f"metric {self.template}")
        if isinstance(value, float) and not math.isfinite(value):
            raise EspikeError(f"is {value!r}, which is no measurement", where=f"metric {self.template}")


def read(text: str, where: str) -> tuple[Entry, ...]:
    """Metrics of a catalogue's text. Raises: EspikeError where it is no TOML, or an entry has not its four pieces."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise EspikeError(f"is no TOML: {error}", where=where) from None
    entries = []
    for phase, rows in data.items():
        if not isinstance(rows, dict):
            raise EspikeError(f"{phase} belongs to no phase", where=where)
        for name, row in rows.items():
            texts = isinstance(row, list) and all(isinstance(piece, str) for piece in row)
            if not texts or len(row) not in (3, 4) or row[3:] not in ([], ["time"]):
                raise EspikeError(f'{name} is no [unit, type, meaning] or [.., "time"]', where=where)
            entries.append(Entry(f"{phase}/{name}", row[0], row[1], row[2], len(row) == 4))
    return tuple(entries)


@cache
def entries() -> tuple[Entry, ...]:
    """Every metric, in the order of the file. Raises: EspikeError where the catalogue is damaged."""
    return read(FILE.read_text("utf8"), str(FILE))


def _is_field(piece: str) -> bool:
    return piece.startswith("{")


@lru_cache(maxsize=1 << 14)
def match(name: str) -> Entry:
    """The metric that a name belongs to. Raises: EspikeError where the catalogue has none."""
    pieces = name.split("/")
    for entry in entries():
        pairs = list(zip(entry.pieces, pieces, strict=False))
        if len(entry.pieces) == len(pieces) and all(
            _FILLED.fullmatch(given) if _is_field(piece) else piece == given for piece, given in pairs
        ):
            return entry
    raise EspikeError("is not in the catalogue", where=f"metric {name}", do="describe it in catalogue.toml")


def lint(entries: Sequence[Entry]) -> list[str]:
    """What is wrong with a catalogue: names twice or ambiguous, wrong words, types or phases, no meaning."""
    found = [f"{name} is there {n} times" for name, n in Counter(e.template for e in entries).items() if n > 1]
    for entry in entries:
        fields = [piece for piece in entry.pieces if _is_field(piece)]
        if not all(_LITERAL.fullmatch(piece) or _FIELD.fullmatch(piece) for piece in entry.pieces):
            found.append(f"{entry.template} is no name")
        if len(set(fields)) < len(fields):
            found.append(f"{entry.template} has a field twice")
        if entry.phase not in PHASES:
            found.append(f"{entry.template} belongs to no phase")
        if entry.kind not in TYPES or not entry.unit or not entry.meaning:
            found.append(f"{entry.template} lacks a unit, a meaning or a type of {', '.join(TYPES)}")
    for index, one in enumerate(entries):
        for other in entries[index + 1 :]:
            if one.template != other.template and _overlap(one.pieces, other.pieces):
                found.append(f"{one.template} and {other.template} are ambiguous")
    return found


def _overlap(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    """Could one name be of both?"""
    alike = (_is_field(a) or _is_field(b) or a == b for a, b in zip(one, other, strict=False))
    return len(one) == len(other) and all(alike)


def count(phase: str | None = None) -> int:
    """Metrics of a phase, or of all; a template counts once."""
    return sum(phase in (None, entry.phase) for entry in entries())


def markdown() -> str:
    """The table of metrics for the documentation."""
    rows = ["| metric | unit | type | meaning |", "|---|---|---|---|"]
    for entry in entries():
        kind = f"{entry.kind}, time" if entry.is_time else entry.kind
        rows.append(f"| `{entry.template}` | {entry.unit} | {kind} | {entry.meaning} |")
    return "\n".join(rows) + "\n"
