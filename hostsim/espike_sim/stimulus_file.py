"""stimulus <-> file: npz or CSV text; `docs/stimulus.md` defines both."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import npzfile
from .errors import EspikeError
from .stimulus import Network, Stimulus, find_areas

FORMAT, VERSION = "stimulus", 1
HEADER = "burst,neuron,amount"


def save(stimulus: Stimulus, path: Path) -> None:
    """Write a stimulus file: npz where the name ends in .npz, else CSV. Raises: EspikeError where it cannot."""
    if path.suffix == ".npz":
        arrays: npzfile.Arrays = {name: getattr(stimulus, name) for name in _DTYPES}
        npzfile.save(path, {"format": FORMAT, "version": VERSION}, arrays)
        return
    rows = zip(stimulus.burst.tolist(), stimulus.neuron.tolist(), stimulus.amount.tolist(), strict=True)
    lines = [HEADER, *(f"{burst},{neuron},{amount!r}" for burst, neuron, amount in rows)]
    npzfile.write_atomic(path, ("\n".join(lines) + "\n").encode())


def load(path: Path, network: Network) -> Stimulus:
    """Read a stimulus file for a network: npz where the name ends in .npz, else CSV, in any order.

    Raises: EspikeError naming the file and the line or pair.
    """
    stimulus = _read_npz(path) if path.suffix == ".npz" else _read_csv(path, network)
    missing = np.flatnonzero(stimulus.neuron >= network.neurons)
    if missing.size:
        neuron = stimulus.neuron[missing[0]]
        raise EspikeError(f"neuron {neuron} does not exist, there are {network.neurons}", where=str(path))
    return stimulus


_DTYPES = {"burst": "<i8", "neuron": "<u4", "amount": "<f8"}


def _read_npz(path: Path) -> Stimulus:
    _, arrays = npzfile.load(path, FORMAT, VERSION)
    taken = {name: npzfile.take(arrays, name, dtype, None, str(path)) for name, dtype in _DTYPES.items()}
    try:
        return Stimulus(**taken)
    except EspikeError as error:
        raise EspikeError(error.what, where=str(path)) from None


def _read_csv(path: Path, network: Network) -> Stimulus:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        do = "give a file or KIND:AREA:key=value" if isinstance(error, FileNotFoundError) else ""
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path), do=do) from None
    except UnicodeDecodeError:
        raise EspikeError("is no text file", where=str(path), do="use .npz or CSV") from None
    entries: dict[tuple[int, int], float] = {}
    started = False
    for number, line in enumerate(text.splitlines(), 1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        fields = [field.strip() for field in content.split(",")]
        if not started and [field.lower() for field in fields] == HEADER.split(","):
            started = True
            continue
        started = True
        _read_line(fields, network, entries, f"{path}:{number}")
    pairs = sorted(entries)
    return Stimulus(
        np.array([burst for burst, _ in pairs], np.int64),
        np.array([neuron for _, neuron in pairs], np.uint32),
        np.array([entries[pair] for pair in pairs], np.float64),
    )


def _read_line(fields: Sequence[str], network: Network, entries: dict[tuple[int, int], float], where: str) -> None:
    if len(fields) != 3:
        raise EspikeError(f"{len(fields)} fields, expected 3", where=where, do=f"write {HEADER}")
    try:
        burst, amount = int(fields[0]), float(fields[2])
    except ValueError:
        raise EspikeError(f"{','.join(fields)!r} holds no number", where=where, do=f"write {HEADER}") from None
    if not 1 <= burst < 1 << 63:
        raise EspikeError(f"burst {burst} does not exist, the first is 1", where=where)
    if not np.isfinite(amount):
        raise EspikeError(f"amount {fields[2]} is not finite", where=where)
    for neuron in _neurons_of(fields[1], network, where):
        if (burst, neuron) in entries:
            raise EspikeError(f"burst {burst}, neuron {neuron} is given twice", where=where, do="sum them")
        entries[burst, neuron] = amount


def _neurons_of(text: str, network: Network, where: str) -> range:
    """The neurons of an id, or of area:x:y:z[:k]; without k all neurons of the voxel."""
    word, *rest = text.split(":")
    try:
        numbers = [int(part) for part in (rest or [word])]
    except ValueError:
        numbers = []
    if not rest and len(numbers) == 1:
        if not 0 <= numbers[0] < network.neurons:
            raise EspikeError(f"neuron {text} does not exist, there are {network.neurons}", where=where)
        return range(numbers[0], numbers[0] + 1)
    if len(numbers) not in (3, 4):
        raise EspikeError(f"{text!r} is no neuron", where=where, do="write its id or area:x:y:z[:k]")
    try:
        found = find_areas(word, network)
    except EspikeError as error:
        raise EspikeError(error.what, where=where, do=error.do) from None
    if len(found) != 1:
        raise EspikeError(f"{word!r} means {len(found)} areas", where=where, do="name one")
    area = found[0]
    sizes = (*area.dimensions, area.neurons_per_voxel)
    if any(not 0 <= n < size for n, size in zip(numbers, sizes, strict=False)):
        raise EspikeError(f"{text} lies outside area {area.id}, {sizes[:3]} x {sizes[3]}", where=where)
    x, y, z = numbers[:3]
    first = area.first + ((x * sizes[1] + y) * sizes[2] + z) * sizes[3]
    return range(first + numbers[3], first + numbers[3] + 1) if len(numbers) == 4 else range(first, first + sizes[3])
