"""C core -> WebAssembly modules, a native library of the same functions, and a page that uses them (build/wasm/)."""

from __future__ import annotations

import base64
import os
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from espike_sim.errors import EspikeError

from . import toolchain

SOURCE = toolchain.ROOT / "wasm"
FOLDER = toolchain.BUILD / "wasm"
PAGE = toolchain.ROOT / "examples" / "segments.html"
PACKAGES = {"clang": "clang", "wasm-ld": "lld", "cc": "gcc"}

FAST = ("segment_quantize", "segment_read")
"""Files of the core that are compiled for speed; the others for size."""

COMMON = [
    *toolchain.CORE_FLAGS, "-DSPK_VECTOR", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections",
    f"-I{toolchain.CORE / 'include'}",
]  # fmt: skip
WASM = ["--target=wasm32", "-nostdlibinc", f"-I{toolchain.FIRMWARE / 'libc'}", "-mbulk-memory", "-mnontrapping-fptoint"]
SMALL = ["-Oz", "-fno-vectorize"]  # clang 14 at -Os -msimd128 vectorizes a loop that reverses words, wrongly
WASM_LINK = ["--no-entry", "--gc-sections", "--strip-all", "--stack-first", "-z", "stack-size=16384"]
LIBRARY = ["-O3", "-fno-trapping-math", "-fPIC", "-shared", "-s", "-Wl,--gc-sections", f"-I{SOURCE}"]

_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
_DECLARED = re.compile(r"\b((?:spk|ttc)_\w+)(?<!_t)\(|^extern const \w+ (spk_\w+);", re.MULTILINE)


def declared(*headers: Path) -> list[str]:
    """Names of the functions and tables that headers declare."""
    text = "".join(header.read_text() for header in headers)
    return sorted({a or b for a, b in _DECLARED.findall(_COMMENT.sub("", text))})


def functions() -> list[str]:
    """What the segment modules and the library export."""
    return declared(SOURCE / "ttc.h")


def require(*programs: str) -> None:
    """Raises: EspikeError naming the packages of the programs that this machine lacks."""
    lacking = [program for program in programs if shutil.which(program) is None]
    if lacking:
        packages = " ".join(PACKAGES[program] for program in lacking)
        raise EspikeError(f"{', '.join(lacking)} not found", where="wasm", do=f"apt-get install {packages}")


def module(*, simd: bool = False) -> Path:
    """The segment codec behind ttc_* functions; `simd`: with 128-bit instructions."""
    flags = ["-msimd128"] if simd else []
    files = [*toolchain.core_sources(), *sorted(SOURCE.glob("*.c"))]
    return _link(FOLDER / ("segment-simd.wasm" if simd else "segment.wasm"), files, functions(), flags)


def core_module() -> Path:
    """The whole core, every public name exported."""
    files = [*toolchain.core_sources(), *sorted((toolchain.FIRMWARE / "libc").glob("*.c"))]
    return _link(FOLDER / "core.wasm", files, declared(*(toolchain.CORE / "include" / "espike").glob("*.h")), [])


def library() -> Path:
    """The ttc_* functions for this machine, to be loaded by cffi, ctypes or any other language."""
    output = FOLDER / "libespike_segment.so"
    files = [*toolchain.core_sources(), *sorted(SOURCE.glob("*.c"))]
    if _stale(output):
        require("cc")
        with tempfile.TemporaryDirectory() as folder:
            made = Path(folder) / output.name
            toolchain.run(["cc", *COMMON, *LIBRARY, *files, "-o", made], where=output.name)
            _place(made, output)
    return output


def page() -> Path:
    """The page that shows segments, with its script and module inside: one file that opens from anywhere."""
    script = re.sub(r"^export ", "", (SOURCE / "segment.mjs").read_text(), flags=re.MULTILINE)
    data = base64.b64encode(module().read_bytes()).decode()
    text = PAGE.read_text()
    parts = {
        r'^import \{.*\} from "./segment.mjs";$': script,
        r'"segment.wasm"': f'"data:application/wasm;base64,{data}"',
    }
    for before, after in parts.items():
        pieces = re.split(before, text, flags=re.MULTILINE)
        if len(pieces) != 2:
            raise EspikeError(f"{before} is expected once", where=str(PAGE))
        text = after.join(pieces)
    output = FOLDER / "segments.html"
    output.write_text(text)
    return output


def build() -> list[Path]:
    """Everything; what is up to date is left alone."""
    made = [module(), module(simd=True), core_module(), library(), page()]
    script = FOLDER / "segment.mjs"
    shutil.copyfile(SOURCE / script.name, script)
    return [*made, script]


def _inputs() -> list[Path]:
    """What the built files depend on."""
    folders = (toolchain.CORE, SOURCE, toolchain.FIRMWARE / "libc")
    files = [path for folder in folders for path in folder.rglob("*") if path.suffix in (".c", ".h", ".inc")]
    return [*files, Path(__file__), Path(toolchain.__file__)]


def _stale(output: Path) -> bool:
    return not output.exists() or output.stat().st_mtime < max(path.stat().st_mtime for path in _inputs())


def _place(made: Path, output: Path) -> None:
    """Move a built file into place at once: others may be reading or building the same."""
    output.parent.mkdir(parents=True, exist_ok=True)
    beside = output.with_name(f"{output.name}.{os.getpid()}")
    shutil.copyfile(made, beside)
    beside.replace(output)


def _link(output: Path, files: Sequence[Path], names: Sequence[str], flags: Sequence[str]) -> Path:
    """Compile files, those of FAST for speed, and link what the names need."""
    if not _stale(output):
        return output
    require("clang", "wasm-ld")
    with tempfile.TemporaryDirectory() as folder:
        objects = []
        for file in files:
            speed = ["-O2"] if file.stem in FAST else SMALL
            own = ["-fno-builtin"] if file.stem == "string" else []  # its loops are memcpy, and shall not call it
            objects.append(Path(folder) / f"{file.stem}.o")
            command: list[str | Path] = [
                "clang",
                *WASM,
                *COMMON,
                f"-I{SOURCE}",
                *flags,
                *speed,
                *own,
                "-c",
                file,
                "-o",
                objects[-1],
            ]
            toolchain.run(command, where=output.name)
        made = Path(folder) / output.name
        exports = [f"--export={name}" for name in names]
        toolchain.run(["wasm-ld", *WASM_LINK, *exports, *objects, "-o", made], where=output.name)
        _place(made, output)
    return output
