"""master -> the front of small and right networks: NSGA-II (Deb et al., 2002) over bits, pruning and bursts.

pymoo searches; each individual is a step, so that a search that was cut off goes on, and one process, several and a
Dask cluster give the same front. Random search with as many evaluations is measured beside it.
"""

from __future__ import annotations

from .context import Context


def chosen(context: Context, master: str) -> tuple[int, int, str]:
    """(bits, bursts to settle, master) that the search chose; without generations those of the configuration."""
    c = context.master(master)
    assert c.senses is not None
    return context.config.quant.bits, c.senses.settle, master
