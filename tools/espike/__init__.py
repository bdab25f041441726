"""Grow, quantize, pack, plan, flash, monitor and verify spiking networks."""

__version__ = "0.1.0"
