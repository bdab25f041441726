"""Grow, quantize, pack, plan, flash, monitor and verify spiking networks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .builder import Builder

__version__ = "0.1.0"
__all__ = ["Builder", "__version__"]


def __getattr__(name: str) -> Any:
    """`espike.Builder`, imported when it is asked for."""
    if name == "Builder":
        from .builder import Builder

        return Builder
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
