"""file -> JSON values that know their path: every wrong type or range becomes one clear line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from espike_sim.errors import EspikeError

FLOAT32_MAX = 3.4028234663852886e38
_WORDS = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


def load_bytes(path: Path) -> bytes:
    """The bytes of a file. Raises: EspikeError where it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror or error}", where=str(path)) from None


def parse_json(data: bytes, file: str) -> tuple[Any, list[str]]:
    """JSON text -> (value, keys that an object holds twice).

    Raises: EspikeError with line and column where it is no JSON, nested too deep or holds a number that is none.
    """
    twice: list[str] = []

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        made = dict(items)
        if len(made) != len(items):
            seen: set[str] = set()
            twice.extend(key for key, _ in items if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        return made

    def refuse(word: str) -> NoReturn:
        raise EspikeError(f"the number {word} is no JSON", where=file, do="write a finite number")

    try:
        return json.loads(data.decode("utf-8-sig"), object_pairs_hook=pairs, parse_constant=refuse), twice
    except json.JSONDecodeError as error:
        where = f"{file}: line {error.lineno}, column {error.colno}"
        raise EspikeError(f"is no JSON ({error.msg})", where=where, do="give a genome file") from None
    except UnicodeDecodeError as error:
        raise EspikeError(f"is no UTF-8 text at byte {error.start}", where=file, do="give a genome file") from None
    except RecursionError:
        raise EspikeError("is nested too deep for a genome", where=file, do="give a genome file") from None
    except ValueError:
        raise EspikeError("holds a number of too many digits", where=file, do="give a genome file") from None


def clean(text: str) -> str:
    """Text on one line that UTF-8 can hold: control characters and lone surrogates become `?`."""
    return "".join(c if c.isprintable() else "?" for c in text)


def short(value: Any) -> str:
    """A JSON value in at most 40 characters, for a message."""
    if isinstance(value, (dict, list)):
        return _WORDS[type(value)]
    text = clean(json.dumps(value, ensure_ascii=False))
    return text if len(text) <= 40 else text[:37] + "..."


def word(value: Any) -> str:
    """The kind of a JSON value: `a list`, `text`, ..."""
    return "null" if value is None else _WORDS[type(value)]


@dataclass(frozen=True)
class Node:
    """A JSON value with its path and file. Every accessor raises EspikeError where the value does not fit."""

    value: Any
    path: str
    file: str

    def fail(self, what: str, do: str = "") -> NoReturn:
        """Raise EspikeError at this path."""
        raise EspikeError(what, where=f"{self.file}: {self.path}" if self.path else self.file, do=do)

    def __contains__(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def get(self, key: str) -> Node | None:
        """The member of this object, or None where it is absent or null."""
        if key not in self.object():
            return None
        return None if self.value[key] is None else self.child(key)

    def child(self, key: str | int) -> Node:
        """The member of this object or entry of this list, which exists."""
        if isinstance(key, int):
            return Node(self.value[key], f"{self.path}[{key}]", self.file)
        step = clean(key) if len(key) <= 60 else clean(key[:57]) + "..."
        return Node(self.value[key], f"{self.path}.{step}" if self.path else step, self.file)

    def object(self) -> dict[str, Any]:
        """This value as an object."""
        if not isinstance(self.value, dict):
            self.fail(f"is {word(self.value)}, expected an object")
        result: dict[str, Any] = self.value
        return result

    def members(self) -> Iterator[tuple[str, Node]]:
        """Key and value of each member of this object that is not null."""
        for key, value in self.object().items():
            if value is not None:
                yield key, self.child(key)

    def list(self) -> list[Node]:
        """The entries of this list."""
        if not isinstance(self.value, list):
            self.fail(f"is {word(self.value)}, expected a list")
        return [self.child(index) for index in range(len(self.value))]

    def number(self, low: float = -FLOAT32_MAX, high: float = FLOAT32_MAX) -> float:
        """This value as a finite number in low..high."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.fail(f"is {word(value)} {short(value)}, expected a number")
        if not low <= value <= high:
            self.fail(f"{short(value)} is out of range", do=f"write a number in {low:g}..{high:g}")
        return float(value)

    def whole(self, low: int = -(2**63), high: int = 2**63 - 1) -> int:
        """This value as a whole number in low..high; 4.0 is one, true is none."""
        value = self.value
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            self.fail(f"is {word(value)} {short(value)}, expected a whole number")
        if isinstance(value, float) and not value.is_integer():
            self.fail(f"{short(value)} is no whole number")
        if not low <= value <= high:
            self.fail(f"{short(value)} is out of range", do=f"write a whole number in {low}..{high}")
        return int(value)

    def flag(self) -> bool:
        """This value as true or false; 0 and 1 are read too."""
        if not isinstance(self.value, (bool, int, float)) or self.value not in (0, 1):
            self.fail(f"is {word(self.value)} {short(self.value)}, expected true or false")
        return bool(self.value)

    def text(self) -> str:
        """This value as text on one line."""
        if not isinstance(self.value, str):
            self.fail(f"is {word(self.value)} {short(self.value)}, expected text")
        return clean(self.value)
