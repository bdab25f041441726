"""Run spiking networks on the host: connectomes, the numpy reference, the C core."""
