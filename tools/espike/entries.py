"""coded stimulus -> stimulus entries of link messages and self-tests. `docs/link.md` specifies them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import numpy as np

from espike_sim.engine import CodedStimulus

from .link import varint


def _entry(skip: int, neuron: int, value: Any, precision: str) -> bytes:
    """A stimulus entry (docs/link.md, entries)."""
    head = varint(skip) + varint(neuron)
    if precision != "int8":
        return head + struct.pack("<f", value)
    code = int(value)
    return head + varint(code << 1 if code >= 0 else (-code << 1) - 1)


def requests(
    part: CodedStimulus | None, burst: int, bursts: int, precision: str, room: int
) -> Iterator[tuple[int, bytes, list[bytes]]]:
    """Cut a run into requests -> (bursts, entries, INJECT payloads that go before): each burst's entries whole."""
    last = burst + bursts
    stops: list[int] = []
    if part is not None and len(part.burst):
        stops = [*(np.flatnonzero(np.diff(part.burst)) + 1).tolist(), len(part.burst)]
    at = group = 0
    while burst < last:
        before: list[bytes] = []
        entries = b""
        previous = burst + 1
        while part is not None and group < len(stops):
            here = int(part.burst[at])
            piece = _entries(part, at, stops[group], here - previous, precision)
            if len(entries) + len(piece) > room:
                if here > burst + 1:
                    break
                before = _injections(part, at, stops[group], precision, room)
            else:
                entries += piece
                previous = here
            at, group = stops[group], group + 1
        stop = int(part.burst[at]) - 1 if part is not None and group < len(stops) else last
        yield stop - burst, entries, before
        burst = stop


def encoded(stimulus: CodedStimulus, precision: str) -> bytes:
    """All entries, of the bursts from 1 on."""
    out, previous = [], 1
    for burst in np.unique(stimulus.burst).tolist():
        begin, end = np.searchsorted(stimulus.burst, [burst, burst + 1]).tolist()
        out.append(_entries(stimulus, begin, end, burst - previous, precision))
        previous = burst
    return b"".join(out)


def _entries(part: CodedStimulus, begin: int, end: int, skip: int, precision: str) -> bytes:
    """The entries of one burst, `skip` bursts after the entry before."""
    out, last = [], 0
    for i in range(begin, end):
        neuron = int(part.neuron[i])
        out.append(_entry(skip if i == begin else 0, neuron - last, part.value[i], precision))
        last = neuron
    return b"".join(out)


def _injections(part: CodedStimulus, begin: int, end: int, precision: str, room: int) -> list[bytes]:
    """The entries of one burst that no request holds whole, as INJECT payloads for the next burst."""
    most = room // len(_entry(0, 0xFFFFFFFF, 0x3FFFFFFF if precision == "int8" else 0.0, precision))
    return [_entries(part, i, min(i + most, end), 0, precision) for i in range(begin, end, most)]
