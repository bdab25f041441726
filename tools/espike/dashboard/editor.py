"""configuration file -> form -> the same file, where what was entered is a configuration."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from espike_sim import npzfile
from espike_sim.errors import EspikeError

from ..forge import config as configs
from ..forge import run
from ..forge.packages import msgspec
from ..forge.sections import Config

inspect = msgspec.inspect


@dataclass(frozen=True, eq=False)
class Key:
    """One key of a configuration: where it is, its type, what it is for, and its value where a file has none."""

    path: tuple[str, ...]
    kind: Any
    about: str
    default: Any

    @property
    def name(self) -> str:
        """As messages write it."""
        return ".".join(self.path)


def keys(kind: Any = Config, at: tuple[str, ...] = ()) -> Iterator[Key]:
    """Every key of the sections' structs, but for `quick`; tables in tables are gone through."""
    for field in inspect.type_info(kind).fields:  # type: ignore[attr-defined]
        plain, path = _plain(field.type), (*at, field.encode_name)
        if isinstance(plain, inspect.StructType):
            yield from keys(plain.cls, path)
        elif path != ("quick",):
            extra = getattr(field.type, "extra_json_schema", None) or {}
            default = None if field.required else _json(field.default)
            yield Key(path, plain, str(extra.get("description", "")), default)


def _json(value: Any) -> Any:
    """A value as a file has it: lists, no tuples; what is in it is its own."""
    return msgspec.json.decode(msgspec.json.encode(value))


def _plain(kind: Any) -> Any:
    """A type without its description; of one that may be absent, what it is where it is there."""
    kind = kind.type if isinstance(kind, inspect.Metadata) else kind
    if isinstance(kind, inspect.UnionType):
        some = [one for one in kind.types if not isinstance(one, inspect.NoneType)]
        return some[0] if len(some) == 1 else kind
    return kind


def value(data: Mapping[str, Any], key: Key) -> Any:
    """The value of a key in a file's tables, else its default."""
    node: Any = data
    for piece in key.path:
        if not isinstance(node, Mapping) or piece not in node:
            return key.default
        node = node[piece]
    return node


def changed(data: Mapping[str, Any], values: Mapping[Key, Any]) -> dict[str, Any]:
    """The tables with other values; a key that the file lacks comes in where its value is not the default."""
    made: dict[str, Any] = _json(data)
    for key, entered in values.items():
        if entered == value(data, key):
            continue
        node = made
        for piece in key.path[:-1]:
            node = node.setdefault(piece, {})
        node[key.path[-1]] = entered
        if entered is None:
            del node[key.path[-1]]
    return made


def checked(text: str, where: str) -> None:
    """Raises: EspikeError (a ConfigError with lines) where a text is no configuration, with its [quick] or without."""
    for quick in (False, True):
        run.check(configs.parse(text, where, quick))


def save(path: Path, text: str) -> None:
    """Replace a file by a text that is a configuration. Raises: EspikeError where it is none; the file stays."""
    checked(text, str(path))
    try:
        npzfile.write_atomic(path, text.encode())
    except OSError as error:
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(path)) from None


def show(_: Path) -> None:
    """The page."""
    name = st.text_input("File", placeholder="path of a TOML file, such as examples/digits.toml")
    if not name:
        return
    path = Path(name).expanduser()
    configs.load(path)
    data = tomllib.loads(path.read_text("utf8"))
    with st.form("configuration"):
        values = _sections(data, name)
        over = configs.toml_of({"quick": data.get("quick", {})})
        quick = st.text_area("quick: tables that --quick lays over the rest", over, height=200, key=f"{name}:quick")
        left, right = st.columns([1, 6])
        is_check, is_save = left.form_submit_button("Validate"), right.form_submit_button("Save", type="primary")
    st.caption("Saving writes the keys anew: comments in the file are lost.")
    if is_check or is_save:
        _submit(path, data, values, quick, is_save)


def _sections(data: Mapping[str, Any], name: str) -> dict[Key, Any]:
    values: dict[Key, Any] = {}
    found = list(keys())
    sections = list(dict.fromkeys(key.path[0] for key in found))
    for tab, section in zip(st.tabs(sections), sections, strict=True):
        mine = [key for key in found if key.path[0] == section]
        columns = tab.columns(3)
        for number, key in enumerate(mine):
            values[key] = _widget(columns[number % 3], key, value(data, key), f"{name}:{key.name}")
    return values


def _widget(place: Any, key: Key, now: Any, id: str) -> Any:
    """An input of the key's type -> what is in it; ranges are the configuration's business, which says them."""
    label, about = ".".join(key.path[1:]), {"help": key.about or None, "key": id}
    kind = key.kind
    if isinstance(kind, inspect.BoolType):
        return place.checkbox(label, now, **about)
    if isinstance(kind, inspect.IntType):
        return place.number_input(label, value=int(now), step=1, **about)
    if isinstance(kind, inspect.FloatType):
        return place.number_input(label, value=float(now), step=0.01, format="%g", **about)
    if isinstance(kind, inspect.VarTupleType) and isinstance(kind.item_type, inspect.LiteralType):
        chosen = place.multiselect(label, kind.item_type.values, now or [], **about)
        return None if key.default is None and not chosen else chosen
    if isinstance(kind, inspect.StrType):
        return place.text_input(label, now, **about)
    text = configs.toml_of({"": {"": now}}).partition(" = ")[2].strip()
    return _parsed(place.text_input(f"{label} (as in TOML)", text, **about))


def _parsed(text: str) -> Any:
    """A value as TOML writes it; what is none stays a text, which the configuration refuses."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _submit(path: Path, data: Mapping[str, Any], values: Mapping[Key, Any], quick: str, is_save: bool) -> None:
    rest = changed({name: table for name, table in data.items() if name != "quick"}, values)
    text = configs.toml_of(rest) + f"\n{quick}"
    try:
        if is_save:
            save(path, text)
        else:
            checked(text, str(path))
    except EspikeError as error:
        st.error(f"Not saved. {error}" if is_save else str(error))
    else:
        st.success(f"{path} is saved." if is_save else "It is valid.")
    st.code(text, "toml", line_numbers=True)
