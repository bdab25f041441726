"""quantized connectome -> image bytes. `docs/image.md` specifies the format; the C core checks and runs it."""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from espike_sim.connectome import area_meta
from espike_sim.dynamics import CURRENTS, RESETS, Dynamics
from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome, accumulator_bound

from . import row_codecs, rows, senses_record

VERSION = 1
HEADER_BYTES = 136
DEFLATED_FROM = 512
"""Bytes of meta from which on it is stored deflated."""
META_OFFSET = 52
"""Where the header says where meta begins and how many bytes it has."""
BLOCK_BYTES = 4096
_TAIL_OFFSET, _BLOCKS_OFFSET = 16, 60
NEURONS_MOST = 1 << 28
PRECISION_CODES = {"int8": 1, "fp16": 2, "fp32": 3}
PARAMETERS = ("threshold", "limit", "retained", "refractory", "fire_limit", "snooze", "fire_draw")
MODEL_PARAMETERS = ("reset", "bias", "current_retained")

_ACCUMULATE, _WIDE_INPUT = 1, 2
U32 = NDArray[np.uint32]


@dataclass
class _Body:
    """Bytes behind the header, appended in aligned pieces; `sizes` counts them by what they are."""

    data: bytearray = field(default_factory=bytearray)
    sizes: dict[str, int] = field(default_factory=dict)

    def add(self, kind: str, piece: bytes) -> int:
        """Append, padded to 4 bytes -> offset in the image."""
        offset = HEADER_BYTES + len(self.data)
        padded = piece + bytes(-len(piece) % 4)
        self.data += padded
        self.sizes[kind] = self.sizes.get(kind, 0) + len(padded)
        return offset


@dataclass(frozen=True)
class Packed:
    """An image and what its bytes are for: header, records, parameters, index, rows, power, meta, test, checks."""

    data: bytes
    sizes: dict[str, int]


def input_is_wide(q: QuantizedConnectome) -> NDArray[np.bool_]:
    """bool (areas,): int8 areas whose accumulator needs 32 bits (docs/image.md, area flags)."""
    if q.precision != "int8" or not q.areas:
        return np.zeros(len(q.areas), np.bool_)
    bound = accumulator_bound(q)
    most = np.maximum.reduceat(bound, [area.first for area in q.areas])
    return np.asarray(2 * most + 1 > 32767 if q.candidates_only else most > 32767)


def _counter_bytes(most: int) -> int:
    return 0 if most == 0 else 1 if most < 256 else 2


def _word(value: np.generic) -> int:
    """A parameter as the 32 bits of its record word: integers sign-extended, floats as their bits."""
    if value.dtype.kind == "f":
        return int(np.asarray(value).view(np.uint32 if value.dtype == np.float32 else np.uint16))
    return int(value) & 0xFFFFFFFF


def _area_record(
    q: QuantizedConnectome, index: int, wide: bool, projections: tuple[int, int], body: _Body
) -> list[int]:
    area = q.areas[index]
    part = slice(area.first, area.first + area.count)
    snoozes = np.where(q.fire_limit[part] > 0, q.snooze[part].astype(np.int64), 0)
    pause = int((q.refractory[part].astype(np.int64) + snoozes).max())
    if pause > 0xFFFF:
        raise EspikeError(
            f"refractory period plus snooze is {pause} bursts", where=f"area {area.id}", do="at most 65535"
        )
    flags = _ACCUMULATE * area.accumulate | _WIDE_INPUT * wide | int(q.guard_bits[index]) << 8
    flags |= _counter_bytes(pause) << 12 | _counter_bytes(int(q.fire_limit[part].max())) << 14
    psp_factor = max([0, *(p.psp_factor for p in q.projections if p.source == index)])
    columns, words = _parameters([getattr(q, name)[part] for name in PARAMETERS], body)
    model = 0 if area.dynamics is None else _model(q, index, area.dynamics, body)
    return [area.count, flags, columns, *words, _word(q.stimulus_limit[index]), *projections, psp_factor, model, 0]


def _model(q: QuantizedConnectome, index: int, dynamics: Dynamics, body: _Body) -> int:
    """Offset of the record of an area's neuron model (docs/image.md, Neuron models)."""
    area = q.areas[index]
    part = slice(area.first, area.first + area.count)
    flags = RESETS.index(dynamics.reset) | dynamics.late << 2 | dynamics.graded << 3
    flags |= CURRENTS.index(dynamics.current) << 4 | int(q.current_shift[index]) << 8
    columns, words = _parameters([getattr(q, name)[part] for name in MODEL_PARAMETERS], body)
    return body.add("records", _words([flags, columns, *words, 0, 0, 0]))


def _parameters(values: list[NDArray[Any]], body: _Body) -> tuple[int, list[int]]:
    """Parameters as words: a value that all neurons share, or the offset of a column, whose bit is set in the first."""
    columns, words = 0, []
    for bit, each in enumerate(values):
        if np.all(each == each[0]):
            words.append(_word(each[0]))
        else:
            columns |= 1 << bit
            words.append(body.add("parameters", each.astype(each.dtype.newbyteorder("<")).tobytes()))
    return columns, words


def _history(q: QuantizedConnectome) -> int:
    """How many fire queues engines keep, for delays and learning; 0: the last alone."""
    delays = [p.delay for p in q.projections if p.delay > 1]
    return max([0, *delays, *(p.learning.window for p in q.projections if p.learning is not None)])


def _number(q: QuantizedConnectome, value: float) -> int:
    """A weight or a step as the word that an image holds."""
    return _word(np.int32(value) if q.precision == "int8" else np.float32(value))


def _learning_records(q: QuantizedConnectome, order: list[int], body: _Body) -> list[int]:
    """Words of the records of the projections that learn, in stored order."""
    sizes = np.array([p.learning is not None for p in q.projections], np.int64) * np.diff(q.projection_start)
    first = np.cumsum(sizes) - sizes
    words: list[int] = []
    for number, index in enumerate(order):
        rule = q.projections[index].learning
        if rule is None or not sizes[index]:
            continue
        part = q.weight[q.projection_start[index] : q.projection_start[index + 1]]
        steps = [_number(q, value) for value in (rule.ltp, rule.ltd, rule.low, rule.high)]
        weights = body.add("rows", part.astype(part.dtype.newbyteorder("<")).tobytes())
        words += [number, rule.window, *steps, int(first[index]), weights]
    return words


def _projection_record(q: QuantizedConnectome, index: int, body: _Body, how: Mapping[str, Any]) -> list[int]:
    projection = q.projections[index]
    source, target = q.areas[projection.source], q.areas[projection.target]
    part = slice(int(q.projection_start[index]), int(q.projection_start[index + 1]))
    if projection.psp_factor:
        how = {**how, "only": row_codecs.STEPWISE}
    encoded = rows.encode(
        q.source[part] - np.uint32(source.first),
        q.target[part] - np.uint32(target.first),
        q.weight[part],
        target.count,
        q.precision,
        sources=source.count,
        generator=projection.generator,
        learns=projection.learning is not None,
        **how,
    )
    codec = encoded.codec | projection.shift << 8 | encoded.block_log2 << 16 | encoded.escapes << 24
    codec |= (projection.psp_factor > 0) << 25
    record = [projection.source | projection.target << 16, codec, encoded.source_first, encoded.rows]
    if len(encoded.bases):
        record += [body.add("index", encoded.bases.tobytes()), body.add("index", encoded.offsets.tobytes())]
    else:
        record += encoded.words
    book = body.add("rows", encoded.book) if encoded.book else 0
    record += [body.add("rows", encoded.data), len(encoded.data)]
    return [*record, part.stop - part.start, projection.delay, book, encoded.bodies]


def _words(values: list[int]) -> bytes:
    return np.array(values, dtype="<u4").tobytes()


def pack(q: QuantizedConnectome, *, optimize: str = "size", only: Collection[int] | None = None) -> Packed:
    """Encode a quantized connectome. The same input gives the same bytes on any machine.

    optimize: what row codecs are chosen by, one of rows.OPTIMIZE; only: codecs to choose from (None: all).

    Projections are stored by source area; among those of one area their order is kept, and with it the order of
    every sum (docs/numbers.md). Raises: EspikeError where a field of the format cannot hold the network.
    """
    if q.neurons > NEURONS_MOST or len(q.areas) > 0xFFFF:
        raise EspikeError(f"{q.neurons} neurons in {len(q.areas)} areas do not fit an image", do="make it smaller")
    body = _Body()
    order = sorted(range(len(q.projections)), key=lambda p: q.projections[p].source)
    per_area = np.bincount([p.source for p in q.projections], minlength=len(q.areas)).tolist()
    wide = input_is_wide(q)
    area_records, projection_first = [], 0
    for index in range(len(q.areas)):
        projections = (projection_first, per_area[index])
        area_records.append(_area_record(q, index, bool(wide[index]), projections, body))
        projection_first += per_area[index]
    how = {"optimize": optimize, "only": only}
    projection_records = [_projection_record(q, p, body, how) for p in order]
    plastic = [record for record in projection_records if record[1] & 0xFF == row_codecs.PLASTIC]
    for number, record in enumerate(plastic):
        record[10] = number
    learning = _learning_records(q, order, body)
    learning_at = body.add("records", _words(learning)) if learning else 0
    areas = body.add("records", _words([word for record in area_records for word in record]))
    projections_at = body.add("records", _words([word for record in projection_records for word in record]))
    power_value = np.ascontiguousarray(q.power_value).view(np.uint32)
    power = body.add("power", np.column_stack([q.power_neuron, power_value]).astype("<u4").tobytes())
    meta = json.dumps(_meta(q), sort_keys=True, separators=(",", ":")).encode()
    meta = meta if len(meta) < DEFLATED_FROM else zlib.compress(meta, 9)
    meta_at = body.add("meta", meta)
    body.add("senses", senses_record.encode(q))
    counts = [q.neurons, q.synapses, len(q.areas), len(q.projections), len(q.power_neuron)]
    timestep_us = round(q.timestep_s * 1e6)
    if timestep_us >= 1 << 32:
        raise EspikeError("the timestep passes 4294 s", do="make it shorter")
    tail = bytes([PRECISION_CODES[q.precision], q.candidates_only]) + _history(q).to_bytes(2, "little")
    tail += _words([*counts, areas, projections_at, power, meta_at, len(meta), 0, timestep_us, learning_at])
    tail += bytes.fromhex(q.hash) + (bytes.fromhex(q.genome_hash) or bytes(32))
    return _sealed(tail, body.data, body.sizes)


def _sealed(tail: bytes, body: bytes | bytearray, sizes: dict[str, int]) -> Packed:
    """Header fields from 16 on, and what is behind the header -> image, with every CRC."""
    end = HEADER_BYTES + len(body)
    checks = _words([zlib.crc32(body[i : i + BLOCK_BYTES]) for i in range(0, len(body), BLOCK_BYTES)])
    if end + len(checks) >= 1 << 32:
        raise EspikeError("the image would pass 4 GiB", do="make the network smaller")
    at = _BLOCKS_OFFSET - _TAIL_OFFSET
    tail = tail[:at] + _words([end]) + tail[at + 4 :]
    head = b"ESPK" + _words([VERSION, end + len(checks)])
    crc = zlib.crc32(checks, zlib.crc32(tail, zlib.crc32(head)))
    data = b"".join((head, _words([crc]), tail, body, checks))
    return Packed(data, {"header": HEADER_BYTES, **sizes, "checks": len(checks)})


def with_test(packed: Packed, test: bytes) -> Packed:
    """The image with a self-test's record behind its meta (docs/image.md, self-test)."""
    sizes = {name: size for name, size in packed.sizes.items() if name not in ("header", "checks")}
    end = int.from_bytes(packed.data[_BLOCKS_OFFSET : _BLOCKS_OFFSET + 4], "little")
    body = packed.data[HEADER_BYTES:end] + test + bytes(-len(test) % 4)
    return _sealed(packed.data[_TAIL_OFFSET:HEADER_BYTES], body, {**sizes, "test": len(body) - end + HEADER_BYTES})


def _compact(values: NDArray[np.float64]) -> str:
    """Numbers of binary32 as base64 of zlib's deflate of their bytes."""
    return base64.b64encode(zlib.compress(values.astype("<f4").tobytes(), 9)).decode()


def _meta(q: QuantizedConnectome) -> dict[str, Any]:
    scales = {} if not len(q.neuron_scale) else {"neuron_scale": _compact(q.neuron_scale)}
    senses = {} if q.senses is None else {"senses": q.senses.as_json()}
    return (
        scales
        | senses
        | {
            "areas": [area_meta(area) for area in q.areas],
            "scale": q.scale.tolist(),
            "guard_bits": q.guard_bits.tolist(),
            "stimulus_limit": q.stimulus_limit.tolist(),
            "rules": [[p.source, p.target, p.rule] for p in q.projections],
            "connectome_hash": q.connectome_hash,
            "report": q.report,
        }
    )
