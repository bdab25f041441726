"""Run spiking networks on the host: connectomes, the numpy reference, the C core."""

from .bitpack import pack_bits, unpack_bits

__all__ = ["pack_bits", "unpack_bits"]
