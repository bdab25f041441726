"""image + stimulus -> C source that holds both, and the state hash that they must end in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError
from espike_sim.host import Host, ImageView

TEMPLATES = Path(__file__).parent / "exports"
_WORDS_PER_LINE = 8


@dataclass(frozen=True)
class Program:
    """A network that a C program will run."""

    image: bytes
    view: ImageView
    bursts: int
    stimulus: CodedStimulus | None
    hash: tuple[int, int]
    """State hash of the host after the last burst."""


def program(image: bytes, bursts: int, stimulus: CodedStimulus | None) -> Program:
    """Run a packed image on the host for the hash that every copy must end in.

    Raises: EspikeError where the host refuses the image or the stimulus.
    """
    view = ImageView(image)
    ledger = Host(view).run(bursts, stimulus)
    first, second = ledger.hashes[-1].tolist()
    return Program(image[: view.total_bytes], view, bursts, stimulus, (first, second))


def kernel(view: ImageView) -> str:
    """The kernel that an image needs, as engine.h calls it."""
    learns = view.view.learning_count or view.view.is_driven
    return f"spk_kernel_{view.precision}" + ("_learning" if learns else "_trained" if view.view.has_models else "")


def template(name: str) -> str:
    """One of the sources that every export shares. Raises: EspikeError where the installation lacks it."""
    try:
        return (TEMPLATES / name).read_text()
    except OSError as error:
        raise EspikeError(f"cannot read it ({error.strerror})", where=str(TEMPLATES / name)) from None


def network_h(made: Program) -> str:
    """The declarations of `network_c`."""
    return f"""/* A network of {made.view.neurons} neurons and {made.view.synapses} synapses, by espike export. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_KERNEL {kernel(made.view)}
#define NETWORK_RAM_BYTES {made.view.ram_bytes}

typedef struct {{ /* what is injected into a neuron in a burst, the first being 1: spk_engine_inject */
    uint32_t burst;
    uint32_t neuron;
    uint32_t value;
}} network_stimulus_t;

#ifdef __cplusplus
extern "C" {{
#endif

extern const uint32_t network_image[];      /* little-endian words */
extern const uint32_t network_image_bytes;
extern const uint32_t network_bursts;       /* to run */
extern const uint32_t network_hash[2];      /* state hash after them, on the host */
extern const uint32_t network_stimulus_count;
extern const network_stimulus_t network_stimulus[];

#ifdef __cplusplus
}}
#endif
#endif
"""


def network_c(made: Program) -> str:
    """Image, stimulus and hash as C arrays."""
    words = np.frombuffer(made.image + bytes(-len(made.image) % 4), "<u4")
    first, second = made.hash
    entries = _entries(made)
    return f"""/* The image of {made.view.network_hash[:16]}, its stimulus and its hash; written by espike export. */
#include "network.h"

const uint32_t network_image_bytes = {len(made.image)};
const uint32_t network_bursts = {made.bursts};
const uint32_t network_hash[2] = {{0x{first:08x}, 0x{second:08x}}};
const uint32_t network_stimulus_count = {len(entries)};

const network_stimulus_t network_stimulus[] = {{
{_lines(entries or ["{0, 0, 0}"])}
}};

const uint32_t network_image[] = {{
{_lines([f"0x{word:08x}" for word in words])}
}};
"""


def _entries(made: Program) -> list[str]:
    if made.stimulus is None:
        return []
    given = made.stimulus.between(1, made.bursts)
    values = given.value.astype("<i4" if made.view.precision == "int8" else "<f4").view("<u4")
    rows = zip(given.burst.tolist(), given.neuron.tolist(), values.tolist(), strict=True)
    return [f"{{{burst}, {neuron}, 0x{value:x}}}" for burst, neuron, value in rows]


def _lines(items: list[str]) -> str:
    starts = range(0, len(items), _WORDS_PER_LINE)
    return "\n".join("    " + " ".join(f"{item}," for item in items[i : i + _WORDS_PER_LINE]) for i in starts)
