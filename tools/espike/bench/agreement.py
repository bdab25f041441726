"""random networks + engines -> bursts over which every engine had the reference's state, by hash."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from espike_sim.engine import CodedStimulus, Engine
from espike_sim.host import Host, ImageView
from espike_sim.quantized import NUMBER_TYPES, QuantizedConnectome
from espike_sim.random_networks import random_network, random_stimulus
from espike_sim.reference import Reference

from ..image import Packed, pack

EngineMaker = Callable[[Packed], Engine]

NETWORKS, NEURONS_MOST = 8, 128
BURSTS, BURSTS_FULL = 3200, 32000
"""Of each network in each update mode and precision: 32 runs."""
BOARD_BURSTS = 200
"""A board runs the first of them."""


def small_networks(precision: str, candidates_only: bool) -> list[tuple[int, QuantizedConnectome]]:
    """The first NETWORKS random networks of at most 128 neurons and at least 30, with their seeds.

    In every third all neurons are alike and plain: those have an update of their own.
    """
    found: list[tuple[int, QuantizedConnectome]] = []
    seed = 0
    while len(found) < NETWORKS:
        shape = {"areas": 4, "largest_area": 50, "wide_area": False, "density": 0.6, "features": seed % 3 != 0}
        shape["timing"] = seed % 2 == 1
        q = random_network(seed, precision, candidates_only, **shape)
        if 30 <= q.neurons <= NEURONS_MOST:
            found.append((seed, q))
        seed += 1
    return found


def equal_bursts(
    q: QuantizedConnectome, bursts: int, stimulus: CodedStimulus, boards: Sequence[EngineMaker] = ()
) -> int:
    """Bursts before the first in which an engine's hash with potentials, or that of spikes, is not the reference's.

    Engines: the host's C core on rows expanded and as they lie, over all bursts, boards over the first BOARD_BURSTS.
    """
    expected = Reference(q).run(bursts, stimulus)
    packed = pack(q)
    equal = bursts
    ways = (lambda image: Host(ImageView(image.data)), lambda image: Host(ImageView(image.data), expand=False))
    for make in (*ways, *boards):
        engine = make(packed)
        try:
            engine.reset(track_potentials=True)
            part = engine.run(bursts if isinstance(engine, Host) else min(bursts, BOARD_BURSTS), stimulus)
        finally:
            engine.close()
        chains = (part.hashes, expected.hashes), (part.potential_hashes, expected.potential_hashes)
        for ours, theirs in chains:
            if ours is None or theirs is None:
                return 0
            differing = np.flatnonzero(np.any(ours != theirs[: len(ours)], axis=1))
            equal = min(equal, int(differing[0]) if differing.size else equal)
    return equal


def engines_equal_bursts(boards: Sequence[EngineMaker] = (), *, full: bool = False) -> int:
    """Equal bursts over 8 random networks, both update modes, every precision, every other network with
    delays, learning and driven weights; full: ten times as long."""
    bursts = BURSTS_FULL if full else BURSTS
    total = 0
    for precision in NUMBER_TYPES:
        for candidates_only in (True, False):
            for seed, q in small_networks(precision, candidates_only):
                total += equal_bursts(q, bursts, random_stimulus(q, seed, bursts), boards)
    return total
