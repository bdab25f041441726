"""a network on an emulated board -> bytes of its telemetry on the wire."""

from __future__ import annotations

from espike_sim import stimulus as stimuli
from espike_sim.segment import Segment

from .. import board, flasher, network, telemetry
from ..boards import own_home, running
from ..image import pack
from ..traces import GENOME
from .instructions import RV32

BURSTS = 1000


def wire_ratio() -> float:
    """4 bytes per fired id and potential over all bytes that the board sent while it streamed both, frames included.

    The example reservoir with Poisson input on emu-rv32, potentials at 8 bits, ids exactly, segments of version 2.
    """
    quantized = network.load_quantized(GENOME, network.Options(None, 0, False, True, False))
    packed = pack(quantized)
    streams = [
        telemetry.Stream("fired", "fired", 0, quantized.neurons),
        telemetry.Stream("potentials", "potentials", 0, quantized.neurons, 8),
    ]
    areas = stimuli.find_areas("input", quantized)
    made = stimuli.merge([stimuli.poisson(area, 0.05, 1.0, BURSTS) for area in areas])
    with own_home(), running(RV32.name) as target:
        flasher.flash(target, packed.data)
        engine = board.BoardEngine(target, owns=False)
        engine.telemetry(streams)
        before = target.link.bytes_received
        told = list(engine.stream(BURSTS, stimuli.code(made, quantized), flags=board.RUN_SEGMENTS))
        wire = target.link.bytes_received - before
    parts = [part for part in told if isinstance(part, telemetry.StreamSegment)]
    raw = sum(Segment(part.data).raw_bytes for part in parts)
    return raw / wire
