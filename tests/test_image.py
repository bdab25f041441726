"""quantized connectome -> image bytes: the worked example of docs/image.md, and what host, spec and C must agree on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from espike import image, rows
from espike.link import HELLO, encode_frame
from espike_sim.connectome import Area
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView, lib
from espike_sim.quantized import ALWAYS, NO_LIMIT, Projection, QuantizedConnectome
from espike_sim.random_networks import random_network

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "tests" / "golden_image" / "two-neurons.spk"


def two_neurons() -> QuantizedConnectome:
    """The worked example: neuron 0 reaches neuron 1 with weight 100."""
    return QuantizedConnectome(
        precision="int8",
        candidates_only=False,
        areas=(Area("pair", "pair", "custom", (2, 1, 1), 1, 0, True),),
        projections=(Projection(0, 0, "by hand"),),
        guard_bits=np.array([3], np.uint8),
        scale=np.array([0.01]),
        stimulus_limit=np.array([200], np.int32),
        threshold=np.full(2, 800, np.int16),
        limit=np.full(2, NO_LIMIT, np.int16),
        retained=np.full(2, 32768, np.uint16),
        refractory=np.zeros(2, np.uint16),
        fire_limit=np.zeros(2, np.uint16),
        snooze=np.zeros(2, np.uint16),
        fire_draw=np.full(2, ALWAYS, np.uint32),
        projection_start=np.array([0, 1], np.int64),
        source=np.array([0], np.uint32),
        target=np.array([1], np.uint32),
        weight=np.array([100], np.int16),
        power_neuron=np.zeros(0, np.uint32),
        power_value=np.zeros(0, np.int32),
    )


def test_worked_example_is_packed_to_the_byte() -> None:
    assert image.pack(two_neurons()).data == EXAMPLE.read_bytes()


def test_hex_dump_of_the_specification_is_the_example() -> None:
    text = (ROOT / "docs" / "image.md").read_text()
    dump = re.findall(r"^    ([0-9a-f]{4})  ((?:[0-9a-f]{2} ?)+)", text, re.MULTILINE)
    assert b"".join(bytes.fromhex(line) for _, line in dump) == EXAMPLE.read_bytes()
    assert [int(offset, 16) for offset, _ in dump] == list(range(0, EXAMPLE.stat().st_size, 16))


def test_example_runs_as_its_text_says() -> None:
    host = Host(ImageView(EXAMPLE.read_bytes()))
    q = two_neurons()
    from espike_sim.engine import CodedStimulus

    stimulus = CodedStimulus(np.array([1]), np.array([0], np.uint32), np.array([100], np.int32))
    ledger = host.run(3, stimulus)
    assert [ledger.fired(burst).tolist() for burst in (1, 2, 3)] == [[0], [1], []]
    assert host.network_hash == q.hash


def test_constants_agree_in_c_and_python() -> None:
    assert lib.SPK_IMAGE_HEADER_BYTES == image.HEADER_BYTES
    assert lib.SPK_IMAGE_BLOCK_BYTES == image.BLOCK_BYTES
    assert lib.SPK_IMAGE_VERSION == image.VERSION
    assert lib.SPK_NEURONS_MOST == image.NEURONS_MOST
    codes = {"int8": lib.SPK_PRECISION_INT8, "fp16": lib.SPK_PRECISION_FP16, "fp32": lib.SPK_PRECISION_FP32}
    assert codes == image.PRECISION_CODES


@pytest.mark.parametrize("precision", ["int8", "fp32"])
def test_packing_is_deterministic_and_counts_its_bytes(precision: str) -> None:
    q = random_network(3, precision, True)
    first, second = image.pack(q), image.pack(q)
    assert first.data == second.data
    assert sum(first.sizes.values()) == len(first.data)
    view = ImageView(first.data)
    assert (view.neurons, view.synapses, view.network_hash) == (q.neurons, q.synapses, q.hash)
    assert ImageView(first.data + b"behind").total_bytes == len(first.data)


def test_unknown_version_is_refused_by_name() -> None:
    data = bytearray(EXAMPLE.read_bytes())
    data[4] = 9
    with pytest.raises(EspikeError, match=r"refused at byte 4: unknown version.*update espike"):
        ImageView(data)


def test_snooze_that_no_counter_holds_is_refused() -> None:
    q = two_neurons()
    with pytest.raises(EspikeError, match="65535"):
        replace(
            q,
            refractory=np.full(2, 40000, np.uint16),
            snooze=np.full(2, 40000, np.uint16),
            fire_limit=np.ones(2, np.uint16),
        )


@pytest.mark.parametrize("rows_count", [1, 31, 32, 33, 64])
@pytest.mark.parametrize("fan_out", [1, 300, 3000])
def test_row_index_reaches_every_row(rows_count: int, fan_out: int) -> None:
    source = np.repeat(np.arange(rows_count), fan_out)
    target = np.tile(np.arange(fan_out), rows_count)
    weight = (np.arange(len(source)) % 120 + 1).astype(np.int16)
    made = rows.encode(source, target, weight, fan_out, "int8", only={0})
    begins = np.repeat(made.bases, 1 << made.block_log2)[: rows_count + 1].astype(np.int64) + made.offsets
    size = len(made.data) // rows_count
    assert begins.tolist() == [size * row for row in range(rows_count + 1)]
    fits = [log2 for log2 in range(6) if size * min(rows_count, (1 << log2) - 1) <= 0xFFFF]
    assert made.block_log2 == max(fits)


def test_link_frame_of_the_specification() -> None:
    frame = encode_frame(type("F", (), {"type": HELLO, "sequence": 7, "payload": b""})())
    assert frame[-1] == 0
    assert 0 not in frame[:-1]
