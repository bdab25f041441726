"""The core keeps the rules of scripts/check_core.py, and the script finds what breaks each of them."""

from __future__ import annotations

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import engines
import pytest
from engines import lack

from espike import boards, toolchain

SCRIPT = toolchain.ROOT / "scripts" / "check_core.py"


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("check_core", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["check_core"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rules() -> ModuleType:
    for program in ("cc", "nm"):
        if shutil.which(program) is None:
            lack(f"{program} not found")
    return load()


def tree(folder: Path, text: str, *, firmware: bool = False, header: str = "") -> Path:
    """A checkout with one C file."""
    (folder / "c_core" / "src").mkdir(parents=True)
    (folder / "c_core" / "include").mkdir()
    (folder / "firmware").mkdir()
    place = folder / "firmware" if firmware else folder / "c_core" / "src"
    (place / "sample.c").write_text(text)
    (place / "sample.h").write_text(header)
    return folder


def found(rules: ModuleType, folder: Path) -> list[str]:
    return [str(finding) for finding in rules.check(folder)]


def long_function(lines: int) -> str:
    return "int f(int x);\nint f(int x) {\n" + "    x++;\n" * (lines - 3) + "    return x;\n}\n"


CLEAN = """
#include "sample.h"
#define TWICE(x) ((x) + (x))
static const char *const names[] = {"a", "b"};
typedef int (*call_t)(int);
static int add(int x) { return x + 1; }
static const call_t calls[] = {add, add};
struct pair { int a, b; int (*h)(int); };
static int h(struct pair *p, int x) { return p->h(x) + p->h(1); }
int g(struct pair *p, int x);
/* malloc(1) in a comment, and "malloc(" in text: no call */
int g(struct pair *p, int x) {
    static const char text[] = "malloc(2); #if";
    p->a = names[x & 1][0] + text[0];
#define EVENT(k) p->b += TWICE(k)
    EVENT(2);
#undef EVENT
    return calls[0](x) + h(p, x) + (int)(sizeof(int) * 2) + (int)(long)(x);
}
#if defined(NEVER)
int other(void) { return 1; }
#endif
"""

FAULTS = {
    "61 lines": (long_function(61), "sample.c:2: f has 61 lines, at most 60"),
    "direct recursion": ("int f(int x);\n\nint f(int x) {\n    return x ? f(x - 1) : 0;\n}\n", "f -> f"),
    "cycle": (
        "static int g(int x);\nint f(int x);\nint f(int x) { return g(x); }\nstatic int g(int x) { return f(x); }\n",
        "sample.c:3: f recurses: f -> g -> f",
    ),
    "cycle through a pointer": (
        "typedef int call_t(int);\nint f(int x);\nint h(call_t *c, int x);\n"
        "int h(call_t *c, int x) { return c(x); }\nint f(int x) { return h(f, x); }\n",
        "a function pointer",
    ),
    "cycle through a pointer in parentheses": (
        "int f(int x);\nint (*const call)(int) = f;\nint f(int x) { return (*call)(x); }\n",
        "a function pointer",
    ),
    "cycle through an array": (
        "int f(int x);\nint (*const calls[])(int) = {f};\nint f(int x) { return calls[x](x); }\n",
        "a function pointer",
    ),
    "cycle through a member": (
        "struct s { int (*run)(const struct s *); };\nint f(const struct s *s);\n"
        "int f(const struct s *s) { return s->run(s); }\nconst struct s all = {f};\n",
        "a function pointer",
    ),
    "recursion in a macro's function": (
        "#define NAME(x) x##_1\nint NAME(f)(int x);\nint NAME(f)(int x) {\n    return NAME(f)(x);\n}\n",
        "sample.c:3: f_1 recurses: f_1 -> f_1",
    ),
    "malloc": (
        "#include <stdlib.h>\nvoid *f(void);\nvoid *f(void) {\n    return malloc(4);\n}\n",
        "sample.c:4: f allocates: malloc",
    ),
    "alloca": (
        "int f(int n);\nint f(int n) {\n    char *p = __builtin_alloca((unsigned)n);\n    return p[0];\n}\n",
        "sample.c:3: f allocates: __builtin_alloca",
    ),
    "array of variable length": (
        "int f(int n);\nint f(int n) {\n    int a[n];\n    a[0] = 1;\n    return a[0];\n}\n",
        "sample.c:3: an array of variable length",
    ),
    "#if in a body": (
        "int f(void);\nint f(void) {\n#ifdef X\n    return 2;\n#else\n    return 1;\n#endif\n}\n",
        "sample.c:3: #ifdef X inside f",
    ),
}

CORE_FAULTS = {
    "global": ("int count;\n", "c_core/src/sample.c:1: a mutable global: count"),
    "static global": (
        "\nstatic int count = 3;\nint f(void);\nint f(void) { return count++; }\n",
        "c_core/src/sample.c:2: a mutable global: count",
    ),
    "static in a function": (
        "int f(void);\nint f(void) {\n    static int calls;\n    return calls++;\n}\n",
        "c_core/src/sample.c:3: a mutable global: calls",
    ),
    "pointer that changes": (
        'const char *name = "x";\n',
        "c_core/src/sample.c:1: a mutable global: name",
    ),
    "allocator in the object": (
        "void free(void *p);\nextern void (*const hook)(void *);\nvoid (*const hook)(void *) = free;\n",
        "the object asks for free",
    ),
}


def test_this_checkout_keeps_the_rules(rules: ModuleType) -> None:
    for board in boards.boards().values():
        if not board.missing:
            engines.board_file(board.name)  # built, so that its symbols are looked at too
    assert found(rules, toolchain.ROOT) == []


def test_every_function_of_the_core_is_seen(rules: ModuleType) -> None:
    names = set()
    for path in rules.sources(toolchain.ROOT):
        names |= {function.name for function in rules.read_unit(toolchain.ROOT, path).functions}
    assert {"spk_image_open", "spk_engine_burst", "add_d8_16", "add_d8_32", "update_neuron", "input_add_16",
            "spk_load32", "app_poll", "put_record", "main", "memmove", "program_buffer"} <= names  # fmt: skip


def test_clean_code_is_clean(rules: ModuleType, tmp_path: Path) -> None:
    assert found(rules, tree(tmp_path, CLEAN)) == []


def test_60_lines_are_allowed(rules: ModuleType, tmp_path: Path) -> None:
    assert found(rules, tree(tmp_path, long_function(60))) == []


@pytest.mark.parametrize("firmware", [False, True])
@pytest.mark.parametrize("fault", FAULTS)
def test_fault_is_found(fault: str, firmware: bool, rules: ModuleType, tmp_path: Path) -> None:
    text, wanted = FAULTS[fault]
    lines = found(rules, tree(tmp_path, text, firmware=firmware))
    place = "firmware/" if firmware else "c_core/src/"
    assert any(line.startswith(place) and wanted in line for line in lines), lines


@pytest.mark.parametrize("fault", CORE_FAULTS)
def test_fault_of_the_core_is_found(fault: str, rules: ModuleType, tmp_path: Path) -> None:
    text, wanted = CORE_FAULTS[fault]
    assert any(wanted in line for line in found(rules, tree(tmp_path, text)))


def test_firmware_may_have_globals(rules: ModuleType, tmp_path: Path) -> None:
    assert found(rules, tree(tmp_path / "a", "static int x;\nint f(void);\nint f(void) { return x++; }\n")) != []
    root = tree(tmp_path / "b", "static int x;\nint f(void);\nint f(void) { return x++; }\n", firmware=True)
    assert found(rules, root) == []


def test_fault_in_a_header_is_found(rules: ModuleType, tmp_path: Path) -> None:
    header = "static inline int f(int x) {\n    return x ? f(x - 1) : 0;\n}\n"
    lines = found(
        rules, tree(tmp_path, '#include "sample.h"\nint g(void);\nint g(void) { return f(2); }\n', header=header)
    )
    assert lines == ["c_core/src/sample.h:1: f recurses: f -> f"]


def test_allocator_in_a_firmware_is_found(rules: ModuleType, tmp_path: Path) -> None:
    root = tree(tmp_path, "int f(void);\nint f(void) { return 1; }\n")
    (root / "build" / "some").mkdir(parents=True)
    (root / "main.c").write_text("#include <stdlib.h>\nint main(void) { free(malloc(3)); return 0; }\n")
    program = root / "build" / "some" / "firmware.elf"
    subprocess.run(["cc", "-O0", root / "main.c", "-o", program], check=True)
    path = "build/some/firmware.elf:0: the firmware holds"
    assert found(rules, root) == [f"{path} free", f"{path} malloc"]
    program.write_bytes(b"no object")
    assert found(rules, root) == ["build/some/firmware.elf:0: nm reads no symbols from it"]


def test_script_exits_with_1_and_says_where(tmp_path: Path) -> None:
    root = tree(tmp_path, "int count;\n")
    (root / "scripts").mkdir()
    shutil.copy(SCRIPT, root / "scripts")
    done = subprocess.run([sys.executable, root / "scripts" / SCRIPT.name], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "c_core/src/sample.c:1: a mutable global: count\n")
