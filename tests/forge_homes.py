"""A home of the forge with a run in it, made once for all workers of a session."""

from __future__ import annotations

import fcntl
import json
import shutil
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from command import Done
from command import run as command

from espike.forge.registry import Registry

CONFIG = Path(__file__).resolve().parents[1] / "examples" / "digits.toml"


@dataclass(frozen=True)
class Forged:
    """A home, and how the run in it ended."""

    home: Path
    done: Done

    @property
    def run(self) -> str:
        """The run's id."""
        return str(self.done.json["run"])

    def copied(self, folder: Path) -> Path:
        """A copy of the home, to be damaged."""
        return Path(shutil.copytree(self.home, folder / "home"))


def made(folder: Path) -> Forged:
    """The home in a folder; whoever comes first makes it."""
    home, kept = folder / "forged", folder / "forged.json"
    with open(folder / "forged.lock", "wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not kept.exists():
            done = command("forge", "run", CONFIG, "--quick", "--home", home, "--json", cwd=folder)
            kept.write_text(json.dumps(vars(done)))
    return Forged(home, Done(**json.loads(kept.read_text())))


def forge(home: Path, *arguments: str | Path, cwd: Path | None = None) -> Done:
    """`espike forge ... --home HOME`."""
    return command("forge", *arguments, "--home", home, cwd=cwd or home)


def last_json(done: Done) -> Any:
    """The JSON that a command printed, also one that failed."""
    return json.loads(done.out.splitlines()[-1])


def edit(home: Path, statement: str, *values: Any) -> None:
    """Change a registry behind its back."""
    with sqlite3.connect(home / "registry.db") as db:
        assert db.execute(statement, values).rowcount
    db.close()


def object_path(home: Path, key: str) -> Path:
    """Where an object lies."""
    with Registry.open(home) as registry:
        return registry.objects.path(key)
