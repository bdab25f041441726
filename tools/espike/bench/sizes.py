"""networks -> bytes: RAM per neuron and flash per synapse of packed images."""

from __future__ import annotations

from espike_sim.host import ImageView
from espike_sim.quantized import QuantizedConnectome

from .. import boards, row_codecs
from ..boards import Board
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
    return (sizes["rows"] + sizes.get("index", 0)) / q.synapses


def rows_flash_bytes(kind: str) -> float:
    """Flash per synapse of rows of 64 of a codec: networks.rows_network."""
    return flash_bytes_per_synapse(networks.rows_network(kind, NEURONS, FAN_OUT, networks.Neurons()))


def neurons_that_fit(precision: str, board: Board, fan_out: int = 50) -> int:
    """The most neurons of one area with D8 rows of `fan_out` random targets that fit with the image in RAM."""

    def fits(count: int) -> bool:
        q = networks.network(
            count, networks.random_rows(count, fan_out, (-100, 100), seed=1), networks.Neurons(), precision=precision
        )
        data = pack(q, only={row_codecs.D8}).data
        return ImageView(data).ram_bytes + len(data) <= board.ram_bytes

    low, high = 1, board.ram_bytes // fan_out
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def fit_ratio() -> float:
    """Neurons that fit the esp32c3 board in int8 over those in fp32."""
    board = boards.boards()["esp32c3"]
    return neurons_that_fit("int8", board) / neurons_that_fit("fp32", board)
