"""TOML file -> Config: what a run of the forge is asked to do, one section per phase."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from espike_sim.errors import EspikeError

from .packages import msgspec
from .sections import DROPPED, DROPPED_PREFIXES, MOVED, Config, Section

__all__ = ["Config", "ConfigError", "as_toml", "fingerprint", "load", "parse", "placed", "schema", "toml_of"]


class ConfigError(EspikeError):
    """A file that is no configuration: `problems` are (line from 1, what is wrong), a line of the text each."""

    def __init__(self, path: str, problems: list[tuple[int, str]]) -> None:
        self.problems = sorted(problems)
        super().__init__("\n".join(f"{path}:{line}: {text}" for line, text in self.problems))


def load(path: Path | str, quick: bool = False) -> Config:
    """Read a configuration; quick: with the table `[quick]` laid over it.

    Raises: ConfigError (an EspikeError) with every syntax error and every wrong, unknown or dropped key by line;
    EspikeError where the file cannot be read.
    """
    try:
        text = Path(path).read_bytes().decode()
    except OSError as error:
        raise EspikeError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except UnicodeDecodeError as error:
        raise EspikeError(f"is no UTF-8 text (byte {error.start})", where=str(path)) from None
    return parse(text, str(path), quick)


def placed(config: Config, folder: Path) -> Config:
    """The configuration with the paths in it that are those of files beside it, in `folder`; others stay as they are.

    A suite that espike has a name for stays that suite.
    """

    def beside(name: str) -> str:
        return str((folder / name).resolve()) if (folder / name).exists() else name

    from .tasks import SUITES

    suite = config.run.suite if config.run.suite in SUITES else beside(config.run.suite)
    sources = tuple(map(beside, config.adopt.sources))
    return msgspec.structs.replace(
        config,
        run=msgspec.structs.replace(config.run, suite=suite),
        adopt=msgspec.structs.replace(config.adopt, sources=sources),
    )


def parse(text: str, where: str, quick: bool = False) -> Config:
    """`load` of a text; where: what messages call it. Raises: ConfigError."""
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        found = re.search(r"line (\d+)", str(error))
        line = int(found[1]) if found else len(text.splitlines()) or 1
        raise ConfigError(where, [(line, f"is no TOML: {error}")]) from None
    problems = list(_problems(data, Config, ()))
    if not problems:
        try:
            return msgspec.convert(_merged(data) if quick else data, Config)
        except msgspec.ValidationError as error:
            problems = [_message((), None, None, error)]
    lines = _lines(text)
    raise ConfigError(where, [(_line(lines, key), said) for key, said in problems])


Key = tuple[str, ...]


def _problems(data: Mapping[str, Any], kind: type[Section], at: Key) -> Iterator[tuple[Key, str]]:
    """What is wrong with the keys of a table, each by its key."""
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    if at == ("quick",):
        del fields["quick"]
    for name, value in data.items():
        key = (*at, name)
        if name not in fields:
            yield key, _unknown(key, list(fields))
        elif at == () and name == "quick" and isinstance(value, dict):
            yield from _problems(value, Config, key)
        else:
            yield from _wrong(value, fields[name].type, key)
    if at[:1] != ("quick",):
        for name, field in fields.items():
            if field.required and name not in data:
                yield (*at, name), f"{'.'.join((*at, name))} is missing"


def _wrong(value: Any, kind: Any, key: Key) -> Iterator[tuple[Key, str]]:
    """What is wrong with one value, or with the keys in it."""
    plain = getattr(kind, "__origin__", kind) if hasattr(kind, "__metadata__") else kind
    if isinstance(plain, type) and issubclass(plain, Section) and isinstance(value, dict):
        yield from _problems(value, plain, key)
        return
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        yield _message(key, value, kind, error)


def _message(key: Key, value: Any, kind: Any, error: msgspec.ValidationError) -> tuple[Key, str]:
    said, _, inner = str(error).partition(" - at `$")
    inside = re.findall(r"\.(\w+)", inner) if inner else []
    name = ".".join(key) + (inner.removesuffix("`") if key else ".".join(inside))
    if said.startswith("Invalid enum value") and kind is not None:
        said = f"is {said[19:]}, expected one of {', '.join(_choices(msgspec.json.schema(kind)))}"
    elif said.startswith("Expected"):
        seen = "" if isinstance(value, dict | list) or kind is None else f"is {json.dumps(value, default=str)}, "
        said = f"{seen}e{said[1:]}"
    return (*key, *inside), f"{name}: {said.replace('`', '')}"


def _choices(schema: Any) -> list[str]:
    """Every word that a schema takes."""
    if isinstance(schema, dict):
        return [*schema.get("enum", ()), *(word for value in schema.values() for word in _choices(value))]
    return [word for value in schema for word in _choices(value)] if isinstance(schema, list) else []


def _unknown(key: Key, known: list[str]) -> str:
    name, full = key[-1], ".".join(key)
    reasons = [why for prefix, why in DROPPED_PREFIXES.items() if name.startswith(prefix)]
    if name in DROPPED or reasons:
        return f"{full} was dropped: {DROPPED.get(name) or reasons[0]}"
    if name in MOVED:
        return f"{full} is called {MOVED[name]} here"
    near = difflib.get_close_matches(name, known, 1)
    return f"{full} is unknown" + (f", {near[0]} is near" if near else f", there are {', '.join(known)}")


def _lines(text: str) -> dict[Key, int]:
    """Line of each table and key, from 1; keys inside of inline tables have none."""
    text = re.sub(r'("""|\'\'\').*?\1', lambda found: '""' + "\n" * found[0].count("\n"), text, flags=re.DOTALL)
    lines: dict[Key, int] = {}
    table: Key = ()
    for number, line in enumerate(text.splitlines(), 1):
        head = re.match(r"\s*\[+([^\[\]]+)\]+\s*(#.*)?$", line)
        item = re.match(r"\s*((?:[\w-]+|\"[^\"]*\"|'[^']*')(?:\s*\.\s*(?:[\w-]+|\"[^\"]*\"|'[^']*'))*)\s*=", line)
        key = _key(head[1]) if head else (*table, *_key(item[1])) if item else ()
        table = key if head else table
        for size in range(1, len(key) + 1):
            lines.setdefault(key[:size], number)
    return lines


def _key(text: str) -> Key:
    """The pieces of a dotted key."""
    try:
        node: Any = tomllib.loads(f"{text} = 0")
    except tomllib.TOMLDecodeError:
        return ()
    pieces: list[str] = []
    while isinstance(node, dict):
        (piece, node), *_ = node.items()
        pieces.append(piece)
    return tuple(pieces)


def _line(lines: Mapping[Key, int], key: Key) -> int:
    """Line of a key, or of the innermost table around it that has one."""
    return next((lines[key[:size]] for size in range(len(key), 0, -1) if key[:size] in lines), 1)


def _merged(data: Mapping[str, Any]) -> dict[str, Any]:
    """The file with its `[quick]` over it."""

    def over(below: Any, above: Any) -> Any:
        if not isinstance(below, dict) or not isinstance(above, dict):
            return above
        return below | {name: over(below.get(name), value) for name, value in above.items()}

    rest = {name: value for name, value in data.items() if name != "quick"}
    merged: dict[str, Any] = over(rest, data.get("quick", {}))
    return merged


def as_toml(config: Config) -> str:
    """The configuration as TOML, every key written out; `parse` gives it back, and the same one gives the same text."""
    return toml_of(msgspec.to_builtins(config))


def toml_of(data: Mapping[str, Any]) -> str:
    """Tables of values as TOML: tables in tables are inline, except those of `quick`; None is left out."""
    quick = data.get("quick", {})
    tables = {name: table for name, table in data.items() if name != "quick"}
    tables |= {f"quick.{_bare(name)}": table for name, table in quick.items()}
    return "\n".join(_table(name, table) for name, table in tables.items())


def _table(name: str, table: Mapping[str, Any]) -> str:
    rows = [f"{_bare(key)} = {_value(value)}\n" for key, value in table.items() if value is not None]
    return f"[{name}]\n{''.join(rows)}"


def _bare(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _value(key)


def _value(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{_bare(k)} = {_value(v)}" for k, v in value.items() if v is not None) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_value, value)) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def fingerprint(*parts: Any) -> str:
    """SHA-256, in hex, of structs or JSON values as canonical JSON: keys sorted, no spaces."""
    plain = [msgspec.to_builtins(part) for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def schema() -> dict[str, Any]:
    """JSON Schema of a configuration, as JSON values; in `quick` nothing is required."""
    made: dict[str, Any] = msgspec.json.schema(Config)
    kinds = made["$defs"]
    kinds["QuickRun"] = kinds["Run"] | {"title": "QuickRun", "required": []}
    sections = {k: v for k, v in kinds["Config"]["properties"].items() if k != "quick"}
    quick = {name: {"$ref": value["$ref"]} for name, value in sections.items()}
    quick["run"] = {"$ref": "#/$defs/QuickRun"}
    kinds["Config"]["properties"]["quick"] = {
        "description": "overrides of --quick", "type": "object", "properties": quick, "additionalProperties": False,
    }  # fmt: skip
    return made
