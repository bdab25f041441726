"""last image -> image.toml, what it is and where it fits, and profile.json, what it takes there; docs/forge.md."""

from __future__ import annotations

from . import measures
from .config import toml_of
from .contracts import Count, Hash, Positive, Record, Text, write
from .packages import msgspec
from .subject import Subject

VERSION = 1


class Image(Record, frozen=True):
    """The file."""

    sha256: Hash
    bytes: Count
    format: Text
    level: Text
    """Rung of the ladder."""
    neurons: Count
    synapses: Count
    precision: Text


class Target(Record, frozen=True):
    """The board whose limits hold, and what of it the image takes."""

    board: Text
    ram_bytes: Count
    flash_most: Count | None
    ram_most: Count | None
    deadline_us: Count
    """Of a burst; 0: none."""


class Interface(Record, frozen=True):
    """What is presented to the network, and what it answers."""

    channels: Count
    samples: Count
    bursts: Count
    """Of a presentation."""
    margin: Count
    """Spikes that end it early; 0: none."""
    labels: tuple[str, ...]


class Deployment(Record, frozen=True):
    """image.toml."""

    version: Count
    image: Image
    target: Target
    interface: Interface


class Profile(Record, frozen=True):
    """profile.json: a burst and a presentation on the board, as planned at the rates of the test items."""

    version: Count
    image: Hash
    board: Text
    sections: dict[str, Count]
    ram_bytes: Count
    instructions: Positive
    burst_us: Positive
    burst_us_p99: Positive
    burst_us_max: Positive
    bursts_per_s: Positive
    bursts_per_presentation: Positive
    energy_uj: Positive
    accuracy: Positive
    firing_rate: Positive


def deployment(image: bytes, key: str, board: str, level: str, deadline_us: int) -> bytes:
    """image.toml of an image, whose hash is `key`."""
    known = measures.board_of(board)
    with Subject(image) as subject:
        view, senses = subject.view, subject.senses
        kind = measures.format_version(image)
        made = Deployment(
            VERSION,
            Image(key, len(image), kind, level, view.neurons, view.synapses, view.precision),
            Target(board, view.ram_bytes, known.slot_bytes, known.ram_bytes, deadline_us),
            Interface(senses.channels, senses.samples, senses.bursts, senses.decoder.margin, senses.decoder.labels),
        )
    tables = msgspec.to_builtins(made)
    head = f"version = {tables.pop('version')}\n\n"
    return (head + toml_of(tables)).encode()


def profile(image: bytes, key: str, board: str, data: bytes) -> bytes:
    """profile.json of an image, whose hash is `key`, on examples."""
    of = image, data, board
    made = Profile(
        version=VERSION,
        image=key,
        board=board,
        sections={section: measures.section_bytes(image, section) for section in measures.SECTIONS},
        ram_bytes=measures.ram_bytes(image),
        instructions=measures.instructions(image, data, measures.board_of(board).data.get("costs", "rv32imc")),
        burst_us=measures.burst_us(*of),
        burst_us_p99=measures.burst_us_of(*of, 0.99),
        burst_us_max=measures.burst_us_of(*of, 1.0),
        bursts_per_s=measures.bursts_per_s(*of),
        bursts_per_presentation=measures.bursts_mean(image, data),
        energy_uj=measures.energy_uj(*of),
        accuracy=measures.accuracy(image, data),
        firing_rate=measures.firing_rate(image, data),
    )
    return write(made)
