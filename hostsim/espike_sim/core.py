"""The built C core, for the modules that wrap it."""

from __future__ import annotations

from .errors import EspikeError

try:
    from ._core import ffi, lib
except ImportError as error:  # pragma: no cover - only where the build is missing
    raise EspikeError(f"the C core is not built ({error})", do="run: make setup") from None

__all__ = ["error_name", "ffi", "lib"]


def error_name(error: int) -> str:
    """What the core calls an error code."""
    return str(ffi.string(lib.spk_error_name(error)).decode())
