"""model <-> zip: a model with its objects, what was measured of it, its configuration and its schema."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import zipfile
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espike_sim.errors import EspikeError

from . import catalogue
from .contracts import Model, Record, Value, read, write
from .packages import msgspec
from .rows import Metric

if TYPE_CHECKING:
    from .registry import Registry

BYTES_MOST = 1 << 30
"""Of all files of a zip together, unpacked."""
_MANIFEST, _MODEL, _METRICS, _CONFIG = "manifest.json", "model.json", "metrics.json", "config.toml"
_SCHEMA = "model.schema.json"


class Manifest(Record, frozen=True):
    """What a zip holds: SHA-256 by name."""

    version: int
    files: dict[str, str]


class Measured(Record, frozen=True):
    """A metric as it crosses a zip."""

    phase: str
    name: str
    value: Value
    function: str
    objects: tuple[str, ...]
    parameters: dict[str, Any]
    seed: int | None


def export(registry: Registry, id: str, path: Path) -> None:
    """Write the zip. Raises: EspikeError where the model or an object is absent or damaged, or it cannot be written."""
    model = registry.model(id)
    keys = _objects(model)
    run = next((run for run in registry.runs() if run.run == model.session), None)
    about = [(p, m) for p, m in registry.metrics(model.session) if {model.master, model.image} & set(m.objects)]
    files = {f"objects/{key}": registry.get(key) for key in keys}
    files[_MODEL] = write(model)
    files[_METRICS] = write(sorted(({"phase": p} | asdict(m) for p, m in about), key=lambda row: json.dumps(row)))
    files[_CONFIG] = (run.config if run else "").encode()
    files[_SCHEMA] = json.dumps(msgspec.json.schema(Model), indent=1).encode()
    files[_MANIFEST] = write(Manifest(1, {name: _hash(data) for name, data in files.items()}))
    beside = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with zipfile.ZipFile(beside, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, data in sorted(files.items()):
                archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data, zipfile.ZIP_DEFLATED)
        os.replace(beside, path)
    except OSError as error:
        beside.unlink(missing_ok=True)
        raise EspikeError(f"cannot be written ({error.strerror})", where=str(path)) from None


def take(registry: Registry, path: Path) -> str:
    """Read the zip, check all of it, then keep it -> the model's id. The same model again is fine.

    Raises: EspikeError where it is damaged or no model of espike, or another model has its id.
    """
    files = _files(path)
    model = read(files[_MODEL], Model, f"{path}: {_MODEL}")
    if missing := {f"objects/{key}" for key in _objects(model)} ^ {name for name in files if "/" in name}:
        raise EspikeError(f"has other objects than the model names: {min(missing)}", where=str(path))
    metrics: list[tuple[str, Metric]] = []
    for row in read(files[_METRICS], list[Measured], f"{path}: {_METRICS}"):
        metric = Metric(row.name, row.value, row.function, row.objects, row.parameters, row.seed)
        metric.entry.check(metric.value)
        metrics.append((row.phase, metric))
    for name, value in model.metrics.items():
        catalogue.match(name).check(value)
    config = _text(files[_CONFIG], path)
    known = next((known for known in registry.models() if known.id == model.id), None)
    if known not in (None, model):
        raise EspikeError(f"model {model.id} is there, and differs", where=str(path))
    for key in _objects(model):
        registry.put(files[f"objects/{key}"])
    return (known or registry.keep_imported(model, config, metrics)).id


def _objects(model: Model) -> list[str]:
    return sorted({key for key in (model.master, model.image, *model.gates) if key})


def _hash(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(data: bytes, path: Path) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise EspikeError(f"{_CONFIG} is no UTF-8 text", where=str(path)) from None


def _files(path: Path) -> dict[str, bytes]:
    """Every file of the zip, each as the manifest says; no name leads anywhere, for none is written."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len({member.filename for member in members}) < len(members):
                raise EspikeError("has a file twice", where=str(path))
            if sum(member.file_size for member in members) > BYTES_MOST:
                raise EspikeError(f"unpacks to more than {BYTES_MOST:,} bytes", where=str(path))
            files = {member.filename: archive.read(member) for member in members}
    except OSError as error:
        raise EspikeError(f"cannot be read ({error.strerror})", where=str(path)) from None
    except (zipfile.BadZipFile, zlib.error, struct.error, EOFError, RuntimeError, ValueError, OverflowError) as error:
        raise EspikeError(f"is no zip, or is damaged ({error})", where=str(path)) from None
    manifest = read(files.pop(_MANIFEST, b""), Manifest, f"{path}: {_MANIFEST}")
    if manifest.version != 1:
        raise EspikeError(f"has version {manifest.version}, this espike reads 1", where=str(path), do="update espike")
    for name in {*files, *manifest.files, _MODEL, _METRICS, _CONFIG, _SCHEMA}:
        known = name in (_MODEL, _METRICS, _CONFIG, _SCHEMA) or name == f"objects/{manifest.files.get(name)}"
        if not known or name not in files or _hash(files[name]) != manifest.files.get(name):
            raise EspikeError(f"{name!r} is damaged, missing, or has no place here", where=str(path))
    return files
