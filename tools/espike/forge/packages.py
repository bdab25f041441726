"""Packages of the extra `forge`, which espike itself does without."""

from __future__ import annotations

from espike_sim.errors import EspikeError

try:
    import msgspec
    from msgspec import Meta, Struct
except ImportError:
    raise EspikeError("needs msgspec", where="espike.forge", do="pip install 'espike[forge]'") from None

__all__ = ["Meta", "Struct", "msgspec"]
