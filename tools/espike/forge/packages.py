"""Packages of the extra `forge`, which espike itself does without."""

from __future__ import annotations

from contextlib import AbstractContextManager

from espike_sim.errors import EspikeError

try:
    import msgspec
    from msgspec import Meta, Struct
    from threadpoolctl import threadpool_limits
except ImportError as error:
    raise EspikeError(f"needs {error.name}", where="espike.forge", do="pip install 'espike[forge]'") from None

__all__ = ["Meta", "Struct", "msgspec", "one_thread"]


def one_thread() -> AbstractContextManager[object]:
    """While it is open, products of matrices take one thread: their sums are the same whatever cores there are."""
    limited: AbstractContextManager[object] = threadpool_limits(1, user_api="blas")
    return limited
