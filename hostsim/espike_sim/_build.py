"""c_core headers -> cffi module: the public headers are the declarations."""

from __future__ import annotations

import re
from pathlib import Path

from cffi import FFI

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CORE = ROOT / "c_core"
# fmt: off
HEADERS = ("error", "image", "expand", "ledger", "engine", "link", "half", "bitpack", "segment", "store", "transfer",
           "mac", "senses")
# fmt: on
FENCED = re.compile(r"/\* cffi begin \*/(.*?)/\* cffi end \*/", re.DOTALL)
FLAGS = ["-std=c99", "-O3", "-ffp-contract=off", "-DSPK_VECTOR"]
FLAGS += ["-fno-thread-jumps", "-fno-tree-loop-distribute-patterns"]


def declarations(path: Path) -> str:
    """What stands between the fences of a header, as cffi reads it."""
    return "\n".join(FENCED.findall(path.read_text()))


ffi = FFI()
for name in HEADERS:
    ffi.cdef(declarations(CORE / "include" / "espike" / f"{name}.h"))
ffi.cdef(declarations(HERE / "batch.h"))
ffi.set_source(
    "espike_sim._core",
    "".join(f'#include "espike/{name}.h"\n' for name in HEADERS) + '#include "batch.h"\n',
    sources=[str(p.relative_to(ROOT)) for p in [*sorted((CORE / "src").glob("*.c")), HERE / "batch.c"]],
    depends=[str(p) for folder in (CORE, HERE) for p in sorted(folder.rglob("*.[hi]*")) if p.suffix in (".h", ".inc")],
    include_dirs=[str(CORE / "include"), str(HERE)],
    extra_compile_args=FLAGS,
)
