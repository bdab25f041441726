"""steps -> what each yielded, by the ttc_* functions of a module in node or of the native library.

A step: {"put": region, "hex": bytes}; {"get": place, "count": bytes} -> hex; {"call": name, "args": [...]} -> [code,
ttc_last_detail, the word at `word`], with "keep": "$name" to keep that word, "$at" to keep what lies at `pointer`. An
argument is a number, "null", a region, "$name", or one of these and a distance: "in+1". In WebAssembly "end" is where
the module's own memory ends, "top" where all memory does.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from cffi import FFI
from engines import lack

from espike import wasm
from espike_sim import _build
from espike_sim.errors import EspikeError

Step = dict[str, Any]
Runner = Callable[[Sequence[Step]], list[Any]]
REGIONS = {"word": 16, "pointer": 16, "in": 8192, "out": 1 << 19, "seg": 1 << 18, "info": 64, "word2": 16}


RUNNERS = ("segment", "segment-simd", "native")


def built(make: Callable[[], Path]) -> Path:
    """A file of tools/espike/wasm.py; skips where a program is missing."""
    try:
        return make()
    except EspikeError as error:
        if "not found" in error.what:
            lack(str(error))
        raise


def module(name: str) -> Path:
    """The plain or the simd module."""
    return built(lambda: wasm.module(simd=name == "segment-simd"))


def runner(name: str, folder: Path) -> Runner:
    """Runs steps with pools that nothing has used: a module in node, the library through 64-bit pointers."""
    if name != "native":
        return lambda steps: in_node(module(name), steps)
    return Native(Path(shutil.copy(built(wasm.library), folder / f"{folder.name}.so"))).run


def call(name: str, *args: int | str, keep: str | None = None) -> Step:
    """A call of ttc_<name>."""
    return {"call": f"ttc_{name}", "args": list(args)} | ({"keep": keep} if keep else {})


def put(region: str, data: bytes) -> Step:
    """Bytes into a region."""
    return {"put": region, "hex": data.hex()}


def get(place: str, count: int | str) -> Step:
    """Bytes from a place."""
    return {"get": place, "count": count}


def node(*arguments: str | Path, text: str = "") -> str:
    """Run a script in node -> its output; a trap fails the test."""
    program = shutil.which("node") or shutil.which("nodejs")
    if program is None:
        lack("node not found")
    done = subprocess.run([program, *arguments], input=text, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def in_node(module: Path, steps: Sequence[Step]) -> list[Any]:
    """The steps in a fresh instance of a module."""
    job = {"module": str(module), "regions": REGIONS, "steps": list(steps)}
    script = Path(__file__).parent / "wasm" / "steps.mjs"
    answers: list[Any] = json.loads(node(script, text=json.dumps(job)))
    return answers


class Native:
    """The native library with state of its own: `library` is a copy that no one else has loaded."""

    def __init__(self, library: Path) -> None:
        self.ffi = FFI()
        self.ffi.cdef(_build.declarations(wasm.SOURCE / "ttc.h"))
        self.lib = self.ffi.dlopen(str(library))
        self.memory = {name: self.ffi.new("uint64_t[]", count // 8) for name, count in REGIONS.items()}
        self.kept: dict[str, int] = {}

    def run(self, steps: Sequence[Step]) -> list[Any]:
        """The steps, one after the other."""
        return [self._step(step) for step in steps]

    def _place(self, name: str) -> int:
        return int(self.ffi.cast("uintptr_t", self.memory[name]))

    def _argument(self, value: int | str) -> int:
        if isinstance(value, int):
            return value
        if value == "null":
            return 0
        name, sign, more = value.replace("-", "+-").partition("+")
        base = self.kept[name] if name.startswith("$") else self._place(name)
        return base + (int(more) if sign else 0)

    def _word(self) -> int:
        return int(self.ffi.cast("uint32_t *", self.memory["word"])[0])

    def _step(self, step: Step) -> Any:
        if "put" in step:
            self.ffi.memmove(self.memory[step["put"]], bytes.fromhex(step["hex"]), len(step["hex"]) // 2)
            return None
        if "get" in step:
            pointer = self.ffi.cast("char *", self._argument(step["get"]))
            return bytes(self.ffi.buffer(pointer, self._argument(step["count"]))).hex()
        function = getattr(self.lib, step["call"])
        types = self.ffi.typeof(function).args
        code = function(*(self.ffi.cast(t, self._argument(a)) for t, a in zip(types, step["args"], strict=True)))
        if "keep" in step:
            pointer = self.ffi.cast("uintptr_t *", self.memory["pointer"])
            self.kept[step["keep"]] = int(pointer[0]) if step["keep"] == "$at" else self._word()
        return [code, int(self.lib.ttc_last_detail()), self._word()]
