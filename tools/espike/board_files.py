"""board file -> Board: read, checked against docs/board.schema.json, complete."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from . import toolchain

SCHEMA = toolchain.ROOT / "docs" / "board.schema.json"
DOCUMENT = "docs/boards.md describes board files"
RESERVED = ("scan",)
"""Words of the command that no board may be called."""


@dataclass(frozen=True)
class Board:
    """One board file."""

    name: str
    title: str
    ram_bytes: int
    """Arena that the firmware gives the network."""
    flash_bytes: int
    """Flash of the store: journal and two image slots."""
    data: dict[str, Any]

    @property
    def slot_bytes(self) -> int:
        """Flash that one image may take (docs/flash.md)."""
        sector = int(self.data.get("sector_bytes", 4096))
        return (self.flash_bytes // sector - 2) // 2 * sector

    @property
    def missing(self) -> list[str]:
        """What it needs that this machine lacks."""
        return toolchain.missing(self.data)

    @property
    def plan_only(self) -> bool:
        """Is it known for planning alone, without firmware?"""
        return bool(self.data.get("plan_only"))

    @property
    def places(self) -> tuple[str, ...]:
        """Where the image may lie, of flash and ram; the first is what is assumed."""
        return tuple(self.data.get("image", ["flash"]))

    @property
    def state(self) -> str:
        """Can it be flashed here, and if not, why?"""
        if self.plan_only:
            return "plan only"
        return "needs " + ", ".join(self.missing) if self.missing else "ready"


def folder() -> Path:
    """Where the board files are."""
    return toolchain.boards_folder()


def boards() -> dict[str, Board]:
    """Every board file, by name. Raises: EspikeError where one is damaged, or there are none."""
    found = {board.name: board for board in map(read_board, sorted(folder().glob("*.json")))}
    if not found:
        raise EspikeError("no board files", where=str(folder()), do="run espike from its checkout")
    return found


def read_board(path: Path) -> Board:
    """One board file, checked. Raises: EspikeError naming file and field."""
    own = _checked(path)
    like = own["espike"].get("like")
    if like is not None:
        _check_like(path, like)
    data = toolchain.read_board(path)
    _check_whole(path, data)
    return Board(data["name"], data["title"], data["ram_bytes"], data["flash_bytes"], data)


def _checked(path: Path) -> dict[str, Any]:
    """The file as it stands, fields and types checked."""
    try:
        manifest = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise EspikeError(f"cannot read the board file ({error})", where=str(path)) from None
    from jsonschema.exceptions import best_match

    fault = best_match(_validator().iter_errors(manifest))
    if fault is not None:
        raise _told(path, fault)
    checked: dict[str, Any] = manifest
    return checked


@cache
def _validator() -> Any:
    from jsonschema import Draft202012Validator  # imported here: slow, and most verbs need no board

    return Draft202012Validator(json.loads(SCHEMA.read_text()))


def _told(path: Path, error: Any) -> EspikeError:
    """A fault that the schema found, in the project's words."""
    where = f"{path} {error.json_path}"
    if error.validator == "required":
        lacking = next(name for name in error.validator_value if name not in error.instance)
        return EspikeError(f"field {lacking} is missing", where=where, do=DOCUMENT)
    if error.validator == "additionalProperties":
        unknown = next(name for name in error.instance if name not in error.schema["properties"])
        return EspikeError(f"field {unknown} is not known", where=where, do=DOCUMENT)
    found = json.dumps(error.instance)
    found = found if len(found) <= 40 else found[:37] + "..."
    return EspikeError(f"is {found}", where=where, do=f"give {_meaning(error.absolute_path)}")


def _meaning(steps: Iterable[str | int]) -> str:
    """What the schema says a field is, or what the nearest field around it is."""
    schema = _validator().schema
    for step in steps:
        inner = schema.get("items") if isinstance(step, int) else schema["properties"][step]
        if inner is None:
            break
        schema = inner
    return str(schema["description"])


def _check_like(path: Path, like: str) -> None:
    base = path.with_name(f"{like}.json")
    where = f"{path} $.espike.like"
    if not base.exists():
        raise EspikeError(f"there is no board file {like}", where=where, do=DOCUMENT)
    if "like" in _checked(base)["espike"]:
        raise EspikeError(f"{like} is like another board itself", where=where, do="name that one")


def _check_whole(path: Path, data: dict[str, Any]) -> None:
    """What no schema says: the name, and fields that bound each other."""
    name = data["name"]
    if not re.fullmatch("[a-z0-9][a-z0-9-]{0,14}", name) or name in RESERVED:
        what = f"{name} cannot name a board"
        raise EspikeError(what, where=str(path), do="rename the file: at most 15 of a-z, 0-9 and -")
    if data["ram_bytes"] > data["ram_total_bytes"]:
        what = f"ram_bytes is more than upload.maximum_ram_size, {data['ram_total_bytes']}"
        raise EspikeError(what, where=f"{path} $.espike.ram_bytes", do=DOCUMENT)
    places = data.get("flash_map")
    if places and places["firmware"] + data["firmware_bytes"] > places["store"]:
        what = "the firmware at upload.maximum_size would reach into the store"
        raise EspikeError(what, where=f"{path} $.espike.flash_map.store", do=DOCUMENT)
