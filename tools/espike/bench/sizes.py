"""networks -> bytes: RAM per neuron and flash per synapse of packed images."""

from __future__ import annotations

from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from ..image import pack
from . import networks

NEURONS, FAN_OUT = 1000, 64


def ram_bytes_per_neuron(precision: str, neurons: networks.Neurons) -> float:
    """Arena bytes per neuron, in a network of 1,000 neurons with rows of 64."""
    synapses = networks.random_rows(NEURONS, FAN_OUT, (-100, 100), seed=1)
    q = networks.network(NEURONS, synapses, neurons, precision=precision)
    return ImageView(pack(q).data).ram_bytes / NEURONS


def plain_ram_bytes(precision: str) -> float:
    """RAM of a plain LIF neuron."""
    return ram_bytes_per_neuron(precision, networks.Neurons())


def feagi_ram_bytes() -> float:
    """RAM of an int8 neuron with refractory period, consecutive fire limit and snooze."""
    return ram_bytes_per_neuron("int8", networks.Neurons(refractory=2, fire_limit=5, snooze=10))


def flash_bytes_per_synapse(q: QuantizedConnectome) -> float:
    """Bytes of rows and row index in the image, per synapse."""
    sizes = pack(q).sizes
    return (sizes["rows"] + sizes["index"]) / q.synapses


def rows_flash_bytes(weights: tuple[int, int]) -> float:
    """Flash per synapse of 1,000 rows of 64 with weights drawn from a range."""
    synapses = networks.random_rows(NEURONS, FAN_OUT, weights, seed=1)
    return flash_bytes_per_synapse(networks.network(NEURONS, synapses, networks.Neurons()))
