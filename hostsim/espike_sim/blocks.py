"""many synapses -> a few at a time, so that what is worked out on the way stays small beside them."""

from __future__ import annotations

from collections.abc import Iterator

BLOCK = 1 << 20


def blocks(count: int, begin: int = 0, size: int = BLOCK) -> Iterator[slice]:
    """Slices that cover begin..count in order."""
    for at in range(begin, count, size):
        yield slice(at, min(at + size, count))
