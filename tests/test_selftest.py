"""quantized connectome -> image with its own test: the record as docs/image.md has it, and forged ones."""

from __future__ import annotations

import struct

import pytest
from image_edit import Image

from espike import image, selftest
from espike.entries import encoded
from espike_sim.core import ffi, lib
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import NUMBER_TYPES
from espike_sim.random_networks import random_network
from espike_sim.reference import Reference


@pytest.mark.parametrize("precision", NUMBER_TYPES)
def test_the_record_is_what_the_reference_yields(precision: str) -> None:
    """Found by the magic behind the meta; its result is that of an engine that never saw the image."""
    q = random_network(41, precision, True, areas=4)
    data = selftest.pack(q).data
    begin, count = struct.unpack_from("<II", data, 52)
    at = begin + count + -(begin + count) % 4
    magic, stimulus_bytes, bursts, *hashes = struct.unpack_from("<4s2I4I", data, at)
    stimulus = selftest._stimulus(q)
    assert (magic, bursts) == (b"TEST", selftest.BURSTS)
    assert data[at + 28 : at + 28 + stimulus_bytes] == encoded(stimulus, precision)
    ledger = Reference(q).run(bursts, stimulus)
    assert ledger.potential_hashes is not None
    assert hashes == [*ledger.hashes[-1].tolist(), *ledger.potential_hashes[-1].tolist()]
    assert ledger.spikes > 0


def test_images_are_the_same_each_time_and_without_a_test_as_good() -> None:
    q = random_network(42, "int8", False, areas=4)
    data, plain = selftest.pack(q).data, image.pack(q).data
    assert selftest.pack(q).data == data
    assert ImageView(plain).view.test == ffi.NULL
    assert ImageView(data).view.test != ffi.NULL
    assert ImageView(data).network_hash == ImageView(plain).network_hash
    assert ImageView(data).ram_bytes == ImageView(plain).ram_bytes


def test_records_that_reach_too_far_are_refused() -> None:
    data = selftest.pack(random_network(43, "int8", True, areas=4)).data
    at = data.rindex(b"TEST")
    room = struct.unpack_from("<I", data, 60)[0] - at - 28
    for word, value, fine in (
        (4, room, True), (4, room + 4, False), (4, 0xFFFFFFFF, False), (4, 0, True),
        (8, 1024, True), (8, 1025, False), (8, 0xFFFFFFFF, False),
    ):  # fmt: skip
        forged = Image(data).put(at + word, value).sealed()
        if fine:
            ImageView(forged)
            continue
        with pytest.raises(EspikeError, match=f"refused at byte {at}:"):
            ImageView(forged)


def test_a_test_fits_a_board_s_buffer_at_any_size() -> None:
    for precision in NUMBER_TYPES:
        most = selftest.BURSTS * selftest.NEURONS * (1 + 4 + (4 if precision != "int8" else 5))
        assert most <= 1028
    assert lib.SPK_IMAGE_TEST_BYTES == 28
