"""C sources -> what breaks the house rules, as file:line; exit 1 where anything does.

Over c_core and firmware: no function of more than 60 lines, no recursion (direct, through a cycle, or through a
function pointer), no allocation, no array of variable length, no #if inside a function. c_core alone: no mutable
globals, no goto, and no loop without a condition but those that a break or return ends. Objects of the core and every
firmware that is built hold no malloc, calloc, realloc or free.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise, zip_longest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MOST_LINES = 60
ALLOCATORS = ("malloc", "calloc", "realloc", "free")
NO_CALLS = frozenset({*ALLOCATORS, "reallocarray", "aligned_alloc", "strdup", "alloca", "__builtin_alloca", "sbrk"})
KEYWORDS = frozenset(
    {"if", "for", "while", "switch", "return", "sizeof", "_Alignof", "__attribute__", "__asm__", "volatile"}
)
"""Words before a parenthesis that call nothing."""
DEFINES = [
    "-DSPK_BOARD_NAME=check",
    "-DSPK_LINK=uart",
    "-DSPK_FLASH_STORE=1048576u",
    "-DSPK_ARENA_BYTES=4096u",
    "-DSPK_FLASH_BYTES=4096u",
]
ANYWHERE = ("", "a function pointer")
"""The node of the call graph that stands for every call through a pointer."""

_TOKEN = re.compile(
    r'^#[^\n]*|"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'|[A-Za-z_]\w*|\.?\d[\w.]*|->|\n|[^\s\w]', re.MULTILINE
)
_NAME = re.compile(r"[A-Za-z_]\w*$")
_TYPES = frozenset(
    {"const", "volatile", "unsigned", "signed", "struct", "void", "char", "short", "int", "long", "float"}
)
_ALWAYS = re.compile(r"([1-9]\d*|0[xX]0*[1-9a-fA-F][\da-fA-F]*)[uUlL]*$|true$")
_LINE_MARKER = re.compile(r'# (\d+) "([^"]*)"')
_CONDITION = re.compile(r"^\s*#\s*(if|ifdef|ifndef|elif|else)\b")


@dataclass(frozen=True, order=True)
class Finding:
    """A broken rule."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.text}"


@dataclass(frozen=True)
class Token:
    """A word of the preprocessed source and where the source has it."""

    text: str
    file: str
    line: int


@dataclass(frozen=True)
class Function:
    """A definition: its place, and the words of its body."""

    name: str
    file: str
    first_line: int
    last_line: int
    body: list[Token]


@dataclass
class Unit:
    """One preprocessed C file."""

    path: Path
    functions: list[Function] = field(default_factory=list)
    declared: set[str] = field(default_factory=set)
    initialisers: list[Token] = field(default_factory=list)
    """The words behind = outside of functions."""


def sources(root: Path) -> list[Path]:
    """Every C file of the core and the firmware, but for the port to an SDK, which needs its headers."""
    firmware = [path for path in (root / "firmware").rglob("*.c") if "esp-idf" not in path.parts]
    return sorted([*(root / "c_core" / "src").glob("*.c"), *firmware])


def flags(root: Path, path: Path) -> list[str]:
    """What the C compiler of this machine needs to read a file; bare boards see their own small C library."""
    bare = (root / "firmware") in path.parents and path.parent.name not in ("firmware", "native")
    libc = [f"-I{root / 'firmware' / 'libc'}"] if bare else []
    return ["-std=c99", f"-I{root / 'c_core' / 'include'}", f"-I{root / 'firmware'}", *libc, *DEFINES]


def run(command: list[str | Path]) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, check=False)


def tokens(root: Path, path: Path) -> Iterator[Token]:
    """The words of a file after the preprocessor, each with its place in the source."""
    done = run(["cc", "-E", *flags(root, path), path])
    if done.returncode != 0:
        raise SystemExit(f"{path}: cannot be preprocessed\n{done.stderr}")
    file, line = "", 0
    for match in _TOKEN.finditer(done.stdout):
        text = match.group()
        if text == "\n":
            line += 1
        elif text[0] == "#":
            marker = _LINE_MARKER.match(text)
            if marker:
                file, line = marker.group(2), int(marker.group(1)) - 1  # the marker's own line end follows
        else:
            yield Token(text, file, line)


def _skip_group(head: list[Token], at: int) -> int:
    """Index behind the parenthesis that opens at `at`."""
    depth = 0
    for i in range(at, len(head)):
        depth += (head[i].text == "(") - (head[i].text == ")")
        if depth == 0:
            return i + 1
    return len(head)


def _declares(head: list[Token]) -> Token | None:
    """The name of the function that a declaration, up to its body or semicolon, is about; None: it is about none."""
    i = 0
    while i < len(head):
        text = head[i].text
        if text in ("=", "typedef"):
            return None
        if text in ("__attribute__", "__asm__", "__extension__") and i + 1 < len(head) and head[i + 1].text == "(":
            i = _skip_group(head, i + 1)
            continue
        if text == "(":
            before = head[i - 1] if i else None
            return before if before is not None and _NAME.match(before.text) else None
        i += 1
    return None


def read_unit(root: Path, path: Path) -> Unit:
    """A C file's functions: those of its headers as well."""
    unit = Unit(path)
    head: list[Token] = []
    body: list[Token] = []
    depth = 0
    name: Token | None = None
    for token in tokens(root, path):
        if depth == 0:
            if token.text == ";":
                declared = _declares(head)
                if declared is not None:
                    unit.declared.add(declared.text)
                assigned = [i for i, word in enumerate(head) if word.text == "="]
                unit.initialisers += head[assigned[0] :] if assigned else []
                head = []
                continue
            if token.text == "{":
                name = _declares(head)
                depth, body = 1, []
                continue
            head.append(token)
            continue
        depth += (token.text == "{") - (token.text == "}")
        if depth > 0:
            body.append(token)
        elif name is None:
            head += body
        else:
            unit.declared.add(name.text)
            unit.functions.append(Function(name.text, name.file, head[0].line, token.line, body))
            head = []
    return unit


def _inside(root: Path, file: str) -> str | None:
    """A path relative to the checkout; None where it is a system header."""
    path = Path(file)
    if not path.is_absolute():
        path = (root / path).resolve()
    try:
        return str(path.resolve().relative_to(root.resolve()))
    except ValueError:
        return None


def check_functions(root: Path, units: Iterable[Unit]) -> Iterator[Finding]:
    """Length, allocation and conditions, function by function."""
    seen: set[tuple[str, str, int]] = set()
    for unit in units:
        for function in unit.functions:
            file = _inside(root, function.file)
            place = (function.file, function.name, function.first_line)
            if file is None or place in seen:
                continue
            seen.add(place)
            lines = function.last_line - function.first_line + 1
            if lines > MOST_LINES:
                yield Finding(file, function.first_line, f"{function.name} has {lines} lines, at most {MOST_LINES}")
            for token, after in pairwise(function.body):
                if token.text in NO_CALLS and after.text == "(":
                    yield Finding(file, token.line, f"{function.name} allocates: {token.text}")
            text = Path(root / file).read_text().splitlines()
            for number in range(function.first_line, function.last_line + 1):
                if _CONDITION.match(text[number - 1]):
                    yield Finding(file, number, f"#{text[number - 1].strip(' #')} inside {function.name}")


def _loop_body(body: list[Token], at: int) -> list[Token]:
    """The statement at `at`, in braces or up to its semicolon."""
    depth = 0
    for i in range(at, len(body)):
        depth += (body[i].text in "({") - (body[i].text in ")}")
        if depth == 0 and body[i].text in ("}", ";"):
            return body[at : i + 1]
    return body[at:]


def _has_exit(words: list[Token]) -> bool:
    """Does a return lie in a loop's body, or a break that is not an inner loop's or switch's?"""
    inner_end = 0
    for i, token in enumerate(words):
        if token.text == "return" or (token.text == "break" and i >= inner_end):
            return True
        if token.text in ("for", "while", "switch", "do"):
            begin = i + 1 if token.text == "do" else _skip_group(words, i + 1)
            inner_end = max(inner_end, begin + len(_loop_body(words, begin)))
    return False


def _is_endless(body: list[Token], at: int) -> bool:
    """Does a loop without a condition begin at word `at`, which nothing inside ends? A do ... while (1) counts."""
    end = _skip_group(body, at + 1)
    condition = [token.text for token in body[at + 2 : end - 1]]
    if body[at].text == "for":
        first = condition.index(";")
        condition = condition[first + 1 : condition.index(";", first + 1)]
    is_always = not condition or (len(condition) == 1 and _ALWAYS.match(condition[0]) is not None)
    return is_always and not _has_exit(_loop_body(body, end))


def check_loops(root: Path, units: Iterable[Unit]) -> Iterator[Finding]:
    """Every loop can end, and goto makes none."""
    for unit in units:
        for function in unit.functions:
            file = _inside(root, function.file)
            if file is None:
                continue
            for i, token in enumerate(function.body):
                if token.text == "goto":
                    yield Finding(file, token.line, f"goto in {function.name}")
                if token.text in ("for", "while") and _is_endless(function.body, i):
                    yield Finding(file, token.line, f"a loop without an end in {function.name}")


Node = tuple[str, str]
"""(unit, function); unit is empty for ANYWHERE"""


def _calls_pointer(body: list[Token], at: int) -> bool:
    """Is the parenthesis behind word `at`, which is no plain name, a call: a.b(, a[i](, (*f)(, and not a cast?"""
    if body[at].text != ")":
        return body[at].text == "]" or _NAME.match(body[at].text) is not None
    depth, begin = 1, at
    while depth > 0 and begin > 0:
        begin -= 1
        depth += (body[begin].text == ")") - (body[begin].text == "(")
    group = [token.text for token in body[begin + 1 : at]]
    is_type = bool(group) and (group[0] in _TYPES or group[0].endswith("_t"))
    return not is_type and (begin == 0 or not _NAME.match(body[begin - 1].text) or group[:1] == ["*"])


def call_graph(units: list[Unit]) -> dict[Node, set[Node]]:
    """Who may call whom; a call through a pointer may reach every function whose address is taken."""
    own = {str(unit.path): {function.name for function in unit.functions} for unit in units}
    everywhere: dict[str, list[Node]] = {}
    for path, names in own.items():
        for name in names:
            everywhere.setdefault(name, []).append((path, name))
    graph: dict[Node, set[Node]] = {ANYWHERE: set()}

    def resolve(path: str, name: str) -> list[Node]:
        return [(path, name)] if name in own[path] else everywhere.get(name, [])

    def take_addresses(path: str, words: list[Token]) -> None:
        for i, (word, after) in enumerate(zip_longest(words, words[1:])):
            is_member = i > 0 and words[i - 1].text in (".", "->")
            if (after is None or after.text != "(") and word.text in everywhere and not is_member:
                graph[ANYWHERE].update(resolve(path, word.text))

    for unit in units:
        path = str(unit.path)
        take_addresses(path, unit.initialisers)
        for function in unit.functions:
            edges = graph.setdefault((path, function.name), set())
            take_addresses(path, function.body)
            for i, (word, after) in enumerate(pairwise(function.body)):
                if after.text == "(" and word.text not in KEYWORDS:
                    before = function.body[i - 1].text if i else ""
                    if _NAME.match(word.text) and before not in (".", "->"):
                        edges.update(resolve(path, word.text))
                        is_pointer = word.text not in unit.declared and not word.text.startswith("__builtin")
                        edges.update({ANYWHERE} if is_pointer else ())
                    elif _calls_pointer(function.body, i):
                        edges.add(ANYWHERE)
    return graph


def cycles(graph: dict[Node, set[Node]]) -> list[list[Node]]:
    """Every cycle that a depth-first walk closes, as the path from its first function back to it."""
    found: list[list[Node]] = []
    done: set[Node] = set()
    for begin in sorted(graph):
        path = [begin] if begin not in done else []
        rest = [iter(sorted(graph[begin]))]
        while path:
            following = next(rest[-1], None)
            if following is None:
                done.add(path.pop())
                rest.pop()
            elif following in path:
                found.append([*path[path.index(following) :], following])
            elif following not in done:
                path.append(following)
                rest.append(iter(sorted(graph.get(following, ()))))
    return found


def check_recursion(root: Path, units: list[Unit]) -> Iterator[Finding]:
    """No function reaches itself."""
    places = {(str(unit.path), f.name): f for unit in units for f in unit.functions}
    for cycle in cycles(call_graph(units)):
        function = next(places[node] for node in cycle if node in places)
        file = _inside(root, function.file)
        if file is not None:
            text = " -> ".join(name for _, name in cycle)
            yield Finding(file, function.first_line, f"{function.name} recurses: {text}")


def check_arrays(root: Path, path: Path) -> Iterator[Finding]:
    """No array whose length is known only when it runs, as the compiler sees it."""
    done = run(["cc", "-fsyntax-only", "-Wvla", "-Werror=vla", *flags(root, path), path])
    for file, line, text in re.findall(
        r"^([^\s:]+):(\d+):(?:\d+:)? error: (.*vla.*|.*variable.length.*)$", done.stderr, re.M
    ):
        yield Finding(_inside(root, file) or file, int(line), f"an array of variable length: {text}")


def symbols(path: Path, program: str = "nm") -> list[tuple[str, str, str]]:
    """(kind, name, file:line or empty) of every symbol of an object."""
    done = run([program, "-l", path])
    found = []
    for line in done.stdout.splitlines():
        words, _, place = line.partition("\t")
        parts = words.split()
        if len(parts) >= 2:
            found.append((parts[-2], parts[-1].split("@")[0], place))
    return found


def check_objects(root: Path, paths: Iterable[Path]) -> Iterator[Finding]:
    """The core's objects hold no data that changes, and ask for no allocator."""
    with tempfile.TemporaryDirectory() as folder:
        for path in paths:
            target = Path(folder) / f"{path.stem}.o"
            # not position-independent: constants with addresses in them stay constants
            done = run(["cc", "-c", "-g", "-O0", "-fno-pic", "-fno-pie", *flags(root, path), path, "-o", target])
            if done.returncode != 0:
                raise SystemExit(f"{path}: does not compile\n{done.stderr}")
            file = str(path.relative_to(root))
            for kind, name, place in symbols(target):
                line = int(place.rpartition(":")[2]) if place.rpartition(":")[2].isdigit() else 0
                plain = name.split(".")[0]
                if kind in "bBdDCsSgG":
                    yield Finding(file, line or _line_of(path, plain), f"a mutable global: {plain}")
                if name in ALLOCATORS:
                    yield Finding(file, line or _line_of(path, name), f"the object asks for {name}")


def _line_of(path: Path, name: str) -> int:
    """The first line that has a word; 1 where none has."""
    lines = path.read_text().splitlines()
    return next((i for i, line in enumerate(lines, 1) if re.search(rf"\b{re.escape(name)}\b", line)), 1)


def check_firmware(root: Path) -> Iterator[Finding]:
    """Every firmware that is built: no allocator was linked or is asked for."""
    for path in sorted((root / "build").glob("*/firmware.elf")):
        programs = [p for p in ("nm", "riscv64-unknown-elf-nm", "llvm-nm") if shutil.which(p)]
        found = next((s for s in (symbols(path, program) for program in programs) if s), [])
        if not found:
            yield Finding(str(path.relative_to(root)), 0, "nm reads no symbols from it")
        for _, name, _ in found:
            if name in ALLOCATORS:
                yield Finding(str(path.relative_to(root)), 0, f"the firmware holds {name}")


def check(root: Path) -> list[Finding]:
    """Everything, of a checkout at `root`."""
    paths = sources(root)
    if not paths:
        raise SystemExit(f"{root}: no C sources found")
    units = [read_unit(root, path) for path in paths]
    core = [path for path in paths if (root / "c_core") in path.parents]
    found = [*check_functions(root, units), *check_recursion(root, units)]
    found += check_loops(root, [unit for unit in units if unit.path in core])
    found += [finding for path in paths for finding in check_arrays(root, path)]
    return sorted({*found, *check_objects(root, core), *check_firmware(root)})


def main() -> int:
    """Print what was found."""
    for program in ("cc", "nm"):
        if shutil.which(program) is None:
            print(f"check_core: {program} not found; apt-get install gcc", file=sys.stderr)
            return 1
    found = check(ROOT)
    for finding in found:
        print(finding)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
