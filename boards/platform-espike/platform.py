"""PlatformIO's view of espike's boards: compilers from PATH, SCons from the Python that runs it, no registry."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from platformio.dependencies import get_core_dependencies
from platformio.public import PlatformBase

STARTER = "import SCons.Script\n\nSCons.Script.main()\n"


def provide_scons(packages_dir: str) -> None:
    """Make the installed SCons the package `tool-scons` that PlatformIO asks for; a downloaded one is left alone.

    Raises: RuntimeError where the installed SCons is not the version that this PlatformIO wants.
    """
    folder = Path(packages_dir, "tool-scons")
    starter, marker = folder / "scons.py", folder / ".piopm"
    if marker.is_file() and (not starter.is_file() or starter.read_text() != STARTER):
        return
    import SCons

    version = get_core_dependencies()["tool-scons"].lstrip("~^=> ")
    have = "{:d}{:02d}{:02d}".format(*(int(part) for part in SCons.__version__.split(".")[:3]))
    if version.split(".")[1] != have:
        what = f"PlatformIO wants SCons {version}, found {SCons.__version__}"
        raise RuntimeError(f"{what}: pip install 'espike[firmware]'")
    about = {"name": "tool-scons", "version": version}
    spec = {"owner": "platformio", "id": None, "name": "tool-scons", "requirements": None, "uri": None}
    folder.mkdir(parents=True, exist_ok=True)
    starter.write_text(STARTER)
    (folder / "package.json").write_text(json.dumps(about))
    marker.write_text(json.dumps({"type": "tool", **about, "spec": spec}))


class EspikePlatform(PlatformBase):
    """Boards of espike: chips, which a program is uploaded to, and emulated ones, where it is started."""

    _board = ""

    def is_embedded(self) -> bool:
        """Has the board of the environment at hand a chip? What is like another board has one, too."""
        if not self._board:
            return False
        espike = self.board_config(self._board).get("espike")
        return "chip" in espike or "like" in espike

    def configure_default_packages(self, options: dict[str, Any], targets: list[str]) -> None:
        """PlatformIO calls this for an environment, before it looks for SCons."""
        self._board = options.get("board", "")
        provide_scons(self.config.get("platformio", "packages_dir"))
        super().configure_default_packages(options, targets)
