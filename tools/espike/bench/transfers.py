"""images -> bytes on the wire: transfers, differences, and what the link adds."""

from __future__ import annotations

from espike_sim.quantized import QuantizedConnectome

from .. import flasher, selftest, transfer
from ..boards import own_home, running
from . import networks

BOARD = "native"


def transfer_ratio(q: QuantizedConnectome) -> float:
    """Image bytes over those of its transfer."""
    data = selftest.pack(q).data
    return len(data) / len(transfer.encode(data))


def link_efficiency() -> float:
    """Bytes of a transfer over all bytes that the host sent for it, as an empty board takes it."""
    with own_home(), running(BOARD) as target:
        done = flasher.flash(target, selftest.pack(networks.normal_rows_network()).data)
    return done.payload_bytes / done.bytes_sent


def update_ratio() -> float:
    """Image bytes over all bytes that the host sent when 5 % of a 64-32-10 network's weights had changed."""
    with own_home(), running(BOARD) as target:
        flasher.flash(target, selftest.pack(networks.layered_network()).data)
        done = flasher.flash(target, selftest.pack(networks.layered_network(changed=0.05)).data)
    return done.image_bytes / done.bytes_sent
