"""What measures begin with: objects as what they hold, what an image answers, and the table of all measures."""

from __future__ import annotations

import hashlib
import io
from collections import OrderedDict
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from espike_sim import connectome, npzfile
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError

from ... import train
from ..contracts import Value
from ..subject import Answers, Subject

Bool = NDArray[np.bool_]
MEASURES: dict[str, Callable[..., Value]] = {}
"""By the name that a metric's row has."""


F = TypeVar("F", bound=Callable[..., Value])


def measure(function: F) -> F:
    """A function that metrics may name."""
    MEASURES[function.__name__] = function
    return function


def examples_bytes(examples: train.Examples) -> bytes:
    """Examples as an object, raw samples in as few bytes as their range asks for; the same examples, the same bytes."""
    made, raw = io.BytesIO(), examples.raw.astype("<i4")
    low, high = (int(raw.min()), int(raw.max())) if raw.size else (0, 0)
    kind = next(k for k in ("u1", "i1", "<i2", "<i4") if np.iinfo(k).min <= low and high <= np.iinfo(k).max)
    npzfile.write(made, {"raw": raw.astype(kind), "label": examples.label.astype("<i8")})
    return made.getvalue()


def examples_of(data: bytes) -> train.Examples:
    """Raises: EspikeError where the bytes are no examples."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            return train.Examples(file["raw"].astype(np.int32), file["label"].astype(np.int64))
    except (KeyError, *npzfile.UNREADABLE):
        raise EspikeError("is no object of examples") from None


def master_bytes(c: Connectome) -> bytes:
    """A connectome as an object."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "master.npz"
        connectome.save(c, path)
        return path.read_bytes()


def master_of(data: bytes) -> Connectome:
    """Raises: EspikeError where the bytes are no connectome."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "master.npz"
        path.write_bytes(data)
        return connectome.load(path)


_known: OrderedDict[tuple[str, str, tuple[int, ...]], Answers] = OrderedDict()
_KNOWN_MOST = 64


def answers(image: bytes, data: bytes, of: Sequence[int] = ()) -> Answers:
    """What an image answers to examples; `of`: the answers that count, none: all."""
    key = hashlib.sha256(image).hexdigest(), hashlib.sha256(data).hexdigest(), tuple(of)
    found = _known.get(key)
    if found is None:
        with Subject(image) as subject:
            found = subject.answers(examples_of(data).raw, of or None)
        _known[key] = found
        while len(_known) > _KNOWN_MOST:
            _known.popitem(last=False)
    _known.move_to_end(key)
    return found


def right(image: bytes, data: bytes, of: Sequence[int] = ()) -> Bool:
    """bool (items,): is the answer the label?"""
    found: Bool = answers(image, data, of).answer == examples_of(data).label
    return found
