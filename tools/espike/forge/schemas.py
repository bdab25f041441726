"""Structs -> schemas/*.schema.json: `python -m espike.forge.schemas` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from ..toolchain import ROOT
from . import config
from .contracts import Handoff, Model, PhaseResult
from .deployment import Deployment, Profile
from .packages import msgspec

FOLDER = ROOT / "schemas"


def documents() -> dict[str, dict[str, Any]]:
    """Every schema (JSON Schema 2020-12), by file name."""
    made = {
        "forge-config": ("configuration of the forge, as JSON values of the TOML", config.schema()),
        "phase-result": ("how a phase ended", msgspec.json.schema(PhaseResult)),
        "handoff": ("what one phase gives the next, with rules", msgspec.json.schema(Handoff)),
        "deployment": ("image.toml: what an image is, and where it fits", msgspec.json.schema(Deployment)),
        "profile": ("profile.json: what an image takes on its board", msgspec.json.schema(Profile)),
        "model": ("a network that a phase made", msgspec.json.schema(Model)),
    }
    draft = "https://json-schema.org/draft/2020-12/schema"
    return {
        f"{name}.schema.json": {"$schema": draft, "title": f"espike {title}"} | schema
        for name, (title, schema) in made.items()
    }


def text(schema: dict[str, Any]) -> str:
    """A schema as its file holds it."""
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def write(folder: Path = FOLDER) -> list[Path]:
    """Write every schema -> the files."""
    folder.mkdir(exist_ok=True)
    paths = []
    for name, schema in documents().items():
        paths.append(folder / name)
        paths[-1].write_text(text(schema), "utf8")
    return paths


if __name__ == "__main__":
    for path in write():
        print(path, file=sys.stderr)
