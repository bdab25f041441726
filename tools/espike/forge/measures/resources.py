"""What a network takes: bytes, synapses, RAM, instructions, time and energy on a board."""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from ... import costs, loads, row_codecs, transfer, work
from ...boards import Board, boards
from .. import shrink
from ..rounded import as_integers
from ..subject import Subject
from .answering import bursts_mean
from .base import examples_of, master_of, measure
from .dynamics import RATE_ITEMS, firing_rate


@measure
def byte_count(data: bytes) -> int:
    """Bytes of an object."""
    return len(data)


@measure
def bytes_per_synapse(image: bytes) -> float:
    """Bytes of an image per synapse."""
    return len(image) / max(1, ImageView(image).synapses)


@measure
def ratio_to_rows(image: bytes, master: bytes, each: int = 12) -> float:
    """`each` bytes for every synapse of a master, divided by the bytes of an image."""
    return each * master_of(master).synapses / len(image)


@measure
def row_bytes(master: bytes, each: int) -> int:
    """Bytes of a master's synapses at so many each."""
    return each * master_of(master).synapses


@measure
def transfer_ratio(image: bytes) -> float:
    """Bytes of an image, divided by those of its transfer container."""
    return len(image) / len(transfer.encode(image))


@measure
def entropy_excess(image: bytes) -> float:
    """Bytes of its transfer container above the entropy of its bytes taken one by one, as a share of that."""
    counts = np.bincount(np.frombuffer(image, np.uint8), minlength=256)
    share = counts[counts > 0] / len(image)
    entropy = -float(np.sum(share * np.log2(share))) * len(image) / 8
    return len(transfer.encode(image)) / entropy - 1


@measure
def format_version(image: bytes) -> str:
    """Name and version of the format that a file is in."""
    kind = {b"ESPK": "image", b"ESPT": "transfer"}.get(image[:4], "unknown")
    return f"espike {kind} {int.from_bytes(image[4:8], 'little')}"


@measure
def must_be_decoded(image: bytes) -> bool:
    """Can the file not be run as it lies in flash?"""
    return not opens(image)


@measure
def section_bytes(image: bytes, section: str) -> int:
    """Bytes of an image's rows, its codebooks, its meta (JSON for people and tools), or of all else."""
    view = ImageView(image)
    stored = {int(r[6]): int(r[7]) for r in _records(view) if r[1] & 255 != row_codecs.PROCEDURAL}
    found = {
        "rows": sum(stored.values()), "codebooks": codebook_bytes(image), "meta": int(view.view.meta_bytes),
    }  # fmt: skip
    return found[section] if section in found else len(image) - sum(found.values())


SECTIONS = ("rows", "codebooks", "meta", "rest")


def _records(view: ImageView) -> NDArray[np.int64]:
    """(projections, words): the records of an image's projections (docs/image.md)."""
    found: NDArray[np.int64] = work.words(view.view.projections, int(view.view.projection_count), work.PROJECTION_WORDS)
    return found


@measure
def codebook_bytes(image: bytes) -> int:
    """Bytes of codebooks of weight vectors."""
    found = _vectors(image)
    return sum(row_codecs.vector_book_bytes(int(word)) for word in found[:, 11])


def _vectors(image: bytes) -> NDArray[np.int64]:
    records = _records(ImageView(image))
    found: NDArray[np.int64] = records[records[:, 1] & 255 == row_codecs.DENSE_VECTORS]
    return found


@measure
def vector_ratio(image: bytes) -> float:
    """Weights in rows of vectors at a byte each, divided by the bytes of their codes and codebooks; none: 1."""
    found = _vectors(image)
    stored = int(found[:, 7].sum()) + codebook_bytes(image)
    return float(found[:, 8].sum() / stored) if stored else 1.0


@measure
def size_ratio(before: bytes, after: bytes) -> float:
    """Bytes of one object, divided by those of another."""
    return len(before) / len(after)


@measure
def synapse_count(master: bytes) -> int:
    """Synapses of a master."""
    return master_of(master).synapses


@measure
def neuron_count(master: bytes) -> int:
    """Neurons of a master."""
    return master_of(master).neurons


@measure
def neurons_removed(after: bytes, before: bytes) -> int:
    """Neurons that a master has not any more."""
    return master_of(before).neurons - master_of(after).neurons


@measure
def synapses_removed(after: bytes, before: bytes) -> int:
    """Synapses that a master has not any more."""
    return master_of(before).synapses - master_of(after).synapses


@measure
def share_removed(after: bytes, before: bytes) -> float:
    """Share of neurons that a master has not any more, of those that senses do not name."""
    a, b = master_of(after), master_of(before)
    inner = b.neurons - int(np.count_nonzero(shrink.held(b)))
    return (b.neurons - a.neurons) / inner if inner else 0.0


@measure
def channels_removed(after: bytes, before: bytes) -> int:
    """Channels that a master's encoders do not read any more."""
    senses = [master_of(master).senses for master in (after, before)]
    assert senses[0] is not None
    assert senses[1] is not None
    return shrink.senses_channels(senses[1]) - shrink.senses_channels(senses[0])


@measure
def duplicates(master: bytes) -> int:
    """Synapses of a mapping with the same ends as another."""
    c = master_of(master)
    mapping = np.repeat(np.arange(len(c.mappings)), np.diff(c.mapping_start))
    ends = np.stack([mapping, c.source.astype(np.int64), c.target.astype(np.int64)])
    return int(c.synapses - np.unique(ends, axis=1).shape[1])


@measure
def bits_saved(after: bytes, before: bytes) -> float:
    """Bits per synapse by which an image is smaller than another of as many."""
    return 8 * (len(before) - len(after)) / max(1, ImageView(after).synapses)


@measure
def layer_count(master: bytes) -> int:
    """Mappings of a master that have synapses."""
    return int(np.count_nonzero(np.diff(master_of(master).mapping_start)))


@measure
def layer(master: bytes, learned: bytes, area: str, bits: int, share: float, what: str) -> float | int:
    """What quantizing did to the weights into an area: `what` of its quantization report (docs/quantize.md)."""
    found = next(each for each in _quantized(master, learned, bits, share).report["areas"] if each["area"] == area)
    value: float | int = found[what]
    return value


_known: dict[str, QuantizedConnectome] = {}


def _quantized(master: bytes, learned: bytes, bits: int, share: float) -> QuantizedConnectome:
    key = hashlib.sha256(master + learned + f"{bits} {share}".encode()).hexdigest()
    if key not in _known:
        _known.clear()
        _known[key] = as_integers(master_of(master), "int8", bits, examples_of(learned).raw, share)
    return _known[key]


@measure
def opens(image: bytes) -> bool:
    """Is an image whole, and its network one that can be presented samples?"""
    try:
        with Subject(image):
            return True
    except EspikeError:
        return False


@measure
def all_open(*images: bytes) -> bool:
    """Are several images whole?"""
    return all(map(opens, images))


@measure
def parameters_of_all(*masters: bytes) -> int:
    """Parameters of several masters."""
    return sum(map(parameter_count, masters))


@measure
def bytes_of_all(*data: bytes) -> int:
    """Bytes of several objects."""
    return sum(map(len, data))


@measure
def parameter_count(master: bytes) -> int:
    """Weights, and biases that are not 0, of a master."""
    c = master_of(master)
    return c.synapses + int(np.count_nonzero(c.bias))


@measure
def sparsity(master: bytes) -> float:
    """Share of a master's weights that are 0."""
    c = master_of(master)
    return float(np.mean(c.weight == 0)) if c.synapses else 0.0


@measure
def ram_bytes(image: bytes) -> int:
    """RAM that the engine needs."""
    return ImageView(image).ram_bytes


@measure
def instructions(image: bytes, data: bytes, table: str = "rv32imc") -> float:
    """Mean instructions of a burst, as planned, at the rate at which the network fires on examples."""
    view = ImageView(image)
    shape = work.read(view)
    return float(costs.load(table).price(work.counts(shape, loads.expected(shape, firing_rate(image, data)))))


@measure
def speedup(image: bytes, other: bytes, data: bytes, table: str = "rv32imc") -> float:
    """Instructions of a burst of another image, divided by those of this, each at its own rate."""
    return instructions(other, data, table) / instructions(image, data, table)


@measure
def burst_us(image: bytes, data: bytes, board: str) -> float:
    """Microseconds of a burst on a board, as planned, at that rate; 0 where its pace is not known."""
    table, us = _pace(board)
    return instructions(image, data, table) * us if us else 0.0


def _pace(board: str) -> tuple[str, float]:
    """A board's cost table, and microseconds of an instruction; 0: not known."""
    known = board_of(board).data
    table, cycles = known.get("costs"), known.get("cycles_per_instruction")
    return (table, cycles * 1e6 / known["clock_hz"]) if table and cycles else ("", 0.0)


@measure
def burst_us_of(image: bytes, data: bytes, board: str, quantile: float) -> float:
    """The quantile of that over the bursts of examples, each planned at its own rate; 1: the longest."""
    table, us = _pace(board)
    if not us:
        return 0.0
    view = ImageView(image)
    shape = work.read(view)
    with Subject(image) as subject:
        counts = [subject.live([one]).counts() for one in examples_of(data).raw[:RATE_ITEMS]]
    rate = float(np.quantile(np.concatenate(counts) / view.neurons, quantile, method="higher"))
    return float(costs.load(table).price(work.counts(shape, loads.expected(shape, rate))) * us)


@measure
def bursts_per_s(image: bytes, data: bytes, board: str) -> float:
    """Bursts that a board can run in a second, as planned; 0 where its pace is not known."""
    took = burst_us(image, data, board)
    return 1e6 / took if took else 0.0


@measure
def energy_uj(image: bytes, data: bytes, board: str) -> float:
    """Microjoules of a presentation, by a board's power while it computes; 0 where that is not known."""
    power = board_of(board).data.get("energy", {}).get("active_mw", 0.0)
    return float(bursts_mean(image, data) * burst_us(image, data, board) * power / 1000)


def board_of(name: str) -> Board:
    """Raises: EspikeError where there is no such board."""
    known = boards()
    if name not in known:
        raise EspikeError(f"there is no board {name!r}", do="use " + ", ".join(sorted(known)))
    return known[name]


@measure
def fits(image: bytes, board: str, spare: int = 0, flash: int | None = None, ram: int | None = None) -> bool:
    """Does the image fit a board's slot, and its network the RAM, with some to spare? flash, ram: other limits."""
    known = board_of(board)
    slot, arena = known.slot_bytes if flash is None else flash, known.ram_bytes if ram is None else ram
    room = arena is None or ImageView(image).ram_bytes + spare <= arena
    return room and (slot is None or len(image) <= slot)
