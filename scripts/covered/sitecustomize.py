"""$ESPIKE_COVERED_CORE -> espike_sim._core: the core that counts branches, below scripts/coverage.py."""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType


class Covered:
    """Finds the core where the variable says that it is."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The core's module; no other."""
        if name != "espike_sim._core":
            return None
        return importlib.util.spec_from_file_location(name, os.environ["ESPIKE_COVERED_CORE"])


if "ESPIKE_COVERED_CORE" in os.environ:
    sys.meta_path.insert(0, Covered())
