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


def looping(loop: str) -> str:
    """A function with a loop in its fourth line."""
    return f"int f(int x);\nint f(int x) {{\n    x++;\n    {loop}\n    return x;\n}}\n"


ENDLESS = {
    "for": "for (;;) { x++; }",
    "for that counts": "for (int i = 0;; i++) { x += i; }",
    "for of a constant": "for (; 1; x++) { }",
    "for in one statement": "for (;;) x++;",
    "for without anything": "for (;;) ;",
    "while": "while (1) { x++; }",
    "while of another constant": "while (0x2u) { x++; }",
    "do": "do { x++; } while (1);",
    "a break of an inner loop": "for (;;) { while (x > 3) { break; } }",
    "a break of a switch": "for (;;) { switch (x) { case 1: break; default: x++; } }",
    "a return behind it": "while (1) { x++; } if (x > 2) { return 1; }",
}

ENDING = {
    "for that a break ends": "for (;;) { if (x++ > 3) { break; } }",
    "while that a return ends": "while (1) { if (x++ > 3) { return 2; } }",
    "a return inside a switch": "for (;;) { switch (x++) { case 1: return 1; default: break; } }",
    "a break behind an inner loop": "for (;;) { for (int i = 0; i < x; i++) { x--; } break; }",
    "a condition": "while (x < 3) { x++; } for (; x < 9;) { x++; } do { x--; } while (x);",
    "a loop that never begins": "while (0) { x++; } do { x++; } while (0);",
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
    "goto": (
        "int f(int x);\nint f(int x) {\n    if (x) goto end;\n    x++;\nend:\n    return x;\n}\n",
        "c_core/src/sample.c:3: goto in f",
    ),
    "goto back": (
        "int f(int x);\nint f(int x) {\nagain:\n    x--;\n    if (x > 0) { goto again; }\n    return x;\n}\n",
        "c_core/src/sample.c:5: goto in f",
    ),
    **{
        f"endless: {about}": (looping(loop), "c_core/src/sample.c:4: a loop without an end in f")
        for about, loop in ENDLESS.items()
    },
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


@pytest.mark.parametrize("about", ENDING)
def test_loops_that_end_are_allowed(about: str, rules: ModuleType, tmp_path: Path) -> None:
    assert found(rules, tree(tmp_path, looping(ENDING[about]))) == []


@pytest.mark.parametrize("text", [looping(ENDLESS["for"]), CORE_FAULTS["goto"][0]])
def test_firmware_may_loop_for_ever(text: str, rules: ModuleType, tmp_path: Path) -> None:
    assert found(rules, tree(tmp_path, text, firmware=True)) == []


@pytest.mark.parametrize("name", ["malloc", "calloc", "realloc", "free", "aligned_alloc", "strdup", "alloca", "sbrk"])
def test_every_way_to_allocate_is_found(name: str, rules: ModuleType, tmp_path: Path) -> None:
    text = f"void *{name}(int x);\nvoid *f(int x);\nvoid *f(int x) {{\n    return {name}(x);\n}}\n"
    assert f"c_core/src/sample.c:4: f allocates: {name}" in found(rules, tree(tmp_path, text))


@pytest.mark.parametrize(
    "lines", [["#if 1", "#elif 0", "#endif"], ["#ifndef X", "#else", "#endif"], ["# ifdef X", "#endif"]]
)
def test_every_condition_inside_a_function_is_found(lines: list[str], rules: ModuleType, tmp_path: Path) -> None:
    text = "int f(void);\nint f(void) {\n" + "".join(f"{line}\n" for line in lines) + "    return 1;\n}\n"
    seen = found(rules, tree(tmp_path, text))
    assert [line.split(":")[1] for line in seen] == [str(3 + i) for i in range(len(lines) - 1)]


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
