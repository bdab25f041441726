"""seed -> random quantized connectomes and stimuli, for agreement tests."""

from espike_sim.random_networks import Shape, random_network, random_stimulus

__all__ = ["Shape", "random_network", "random_stimulus"]
