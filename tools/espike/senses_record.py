"""senses of a quantized connectome -> the record that an image carries (docs/image.md, senses)."""

from __future__ import annotations

import numpy as np

from espike_sim.errors import EspikeError
from espike_sim.quantized import QuantizedConnectome
from espike_sim.senses import DECODER_KINDS, ENCODER_KINDS, Encoder, Senses, find
from espike_sim.sensing import code_spike, multiplier

HEAD_BYTES, ENCODER_BYTES = 32, 32


def encode(q: QuantizedConnectome) -> bytes:
    """The record, or no bytes where there are no senses.

    Raises: EspikeError where neurons of an encoder have scales of their own, so that they would not be given the same.
    """
    senses = q.senses
    if senses is None:
        return b""
    order = sorted(senses.encoders, key=lambda e: find(q.areas, e.area, "senses").first + e.first)
    tables = HEAD_BYTES + ENCODER_BYTES * len(order)
    words: list[int] = []
    levels: list[int] = []
    for encoder in order:
        at = tables + 4 * len(levels)
        words += _encoder(q, senses, encoder, at)
        levels += encoder.levels if encoder.kind == "level" else ()
    decoder = senses.decoder
    part = decoder.part(find(q.areas, decoder.area, "senses: decoder"))
    head = [
        int.from_bytes(b"SENS", "little"), tables + 4 * len(levels), senses.channels | len(order) << 16, senses.samples,
        senses.bursts_per_sample | senses.settle << 16,
        senses.fresh | DECODER_KINDS.index(decoder.kind) << 8 | decoder.margin << 16,
        part.start, part.stop - part.start,
    ]  # fmt: skip
    return np.array([value & 0xFFFFFFFF for value in [*head, *words, *levels]], "<u4").tobytes()


def _encoder(q: QuantizedConnectome, senses: Senses, encoder: Encoder, levels_at: int) -> list[int]:
    area = find(q.areas, encoder.area, "senses")
    first = area.first + encoder.first
    scales = q.scale_of_neuron[first : first + encoder.neurons]
    if np.any(scales != scales[0]):
        raise EspikeError(
            f"neurons of area {area.id} have scales of their own", where="senses", do="encode into inputs"
        )
    limit = q.stimulus_limit[int(q.area_of_neuron[first])]
    amount, shift = 0, 0
    if q.precision != "int8":
        value = np.float32(encoder.gain if encoder.kind == "value" else min(encoder.amount, float(limit)))
        amount = int(value.view(np.uint32))
    elif encoder.kind == "value":
        amount, shift = multiplier(encoder.gain, float(scales[0]))
    else:
        amount = min(code_spike(encoder.amount, float(scales[0])), int(limit))
    per_channel = {"level": len(encoder.levels), "population": encoder.count}.get(encoder.kind, 0)
    ends = {"delta": (encoder.step, 0), "level": (0, levels_at), "value": (encoder.zero, 0)}
    low, high = ends.get(encoder.kind, (encoder.low, encoder.high))
    kind = list(ENCODER_KINDS).index(encoder.kind)
    return [kind | per_channel << 8, encoder.channel | encoder.channels << 16, first, low, high, amount, shift, 0]
