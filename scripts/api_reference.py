"""docstrings and header comments -> docs/api-python.md, docs/api-c.md; `--check` only says whether they are up to date.

Sources are read, never imported, so that the pages are the same wherever they are made. Exit 1 where a public name has
no description, or with --check where a page differs.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeGuard

ROOT = Path(__file__).resolve().parents[1]
HEADERS = Path("c_core") / "include" / "espike"
PYTHON_PAGE = Path("docs") / "api-python.md"
C_PAGE = Path("docs") / "api-c.md"
WIDTH = 100
NAMES_IN_TITLE = 4
FOLDERS = {"espike": "tools", "espike_sim": "hostsim"}

MODULES = {
    "Networks": [
        "espike.builder", "espike.genome", "espike_sim.connectome", "espike.quantize", "espike_sim.quantized",
        "espike.image", "espike.plan",
    ],
    "Engines": [
        "espike_sim.engine", "espike_sim.host", "espike_sim.reference", "espike_sim.ledger", "espike_sim.stimulus",
        "espike_sim.stimulus_spec", "espike_sim.compare", "espike_sim.similarity", "espike.engines",
        "espike_sim.errors",
    ],
    "Trained models": [
        "espike.nir.model", "espike.nir.semantics", "espike.nir.convert", "espike.nir.expect", "espike.nir.check",
        "espike.nir.write", "espike.train", "espike_sim.senses", "espike_sim.sensing", "espike_sim.host_senses",
        "espike.presentations", "espike.classify",
    ],
    "Boards": [
        "espike.boards", "espike.board", "espike.flasher", "espike.transfer", "espike.selftest", "espike.recording",
        "espike.export",
    ],
    "Segments": ["espike_sim.segment", "espike_sim.bitpack", "espike.segment_store"],
    "The forge": [
        "espike.forge.config", "espike.forge.sections", "espike.forge.run", "espike.forge.registry",
        "espike.forge.objects", "espike.forge.measures", "espike.forge.statistics", "espike.forge.merge",
        "espike.forge.tasks",
    ],
}  # fmt: skip
"""Modules that programs import, by what they are for; of packages, the names in __all__."""

_COMMENT = re.compile(r"/\*(.*?)\*/", re.DOTALL)
_FENCE = re.compile(r"^/\* cffi (?:begin|end) \*/\n", re.MULTILINE)
_CALL = re.compile(r"\b(spk_\w+)\s*\(")
_DEFINE = re.compile(r"^#define\s+(SPK_\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Module:
    """A Python file: its tree, and what it is called."""

    name: str
    path: Path
    tree: ast.Module


@dataclass(frozen=True)
class Item:
    """Declarations of a header that share a comment."""

    text: str
    code: str
    declared: tuple[tuple[str, str], ...]
    """(kind, name) each."""


@dataclass
class Reference:
    """The pages, and public names that nothing is said about."""

    pages: dict[Path, str] = field(default_factory=dict)
    silent: list[str] = field(default_factory=list)


def plain(text: str) -> str:
    """Text in which Markdown sees no emphasis and no HTML; what stands in backticks stays as it is."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return text
    parts[::2] = [re.sub(r"\*(?=\S)|<(?=[A-Za-z/])", r"\\\g<0>", part) for part in parts[::2]]
    return "`".join(parts)


def load(root: Path, name: str) -> Module:
    """The module of a dotted name."""
    base = root / FOLDERS[name.partition(".")[0]] / Path(*name.split("."))
    path = base / "__init__.py" if base.is_dir() else base.with_suffix(".py")
    return Module(name, path, ast.parse(path.read_text()))


def _named(node: ast.stmt) -> list[str]:
    """What a statement at the top of a module defines."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [node.name]
    if isinstance(node, ast.Assign):
        return [target.id for target in node.targets if isinstance(target, ast.Name)]
    return [node.target.id] if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) else []


def _definitions(body: list[ast.stmt]) -> dict[str, tuple[ast.stmt, str]]:
    """Name -> its definition, and the text below it where that is a constant."""
    found: dict[str, tuple[ast.stmt, str]] = {}
    for node, after in zip(body, [*body[1:], None], strict=True):
        for name in _named(node):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                found.setdefault(name, (node, ast.get_docstring(node) or ""))  # not a setter behind its property
            else:
                found[name] = (node, _text_of(after))
    return found


def _text_of(node: ast.stmt | None) -> str:
    """The text that a statement is; empty where it is none."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return ""


def _exported(module: Module) -> list[str] | None:
    """The names in a module's __all__, in its order."""
    for node in module.tree.body:
        if isinstance(node, ast.Assign) and _named(node) == ["__all__"]:
            return [str(name) for name in ast.literal_eval(node.value)]
    return None


def _origin(root: Path, module: Module, name: str) -> tuple[Module, str]:
    """Where a name that a package exports is defined."""
    package = module.name if module.path.name == "__init__.py" else module.name.rpartition(".")[0]
    for node in module.tree.body:
        if isinstance(node, ast.ImportFrom) and node.level == 1 and node.module:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return load(root, f"{package}.{node.module}"), alias.name
    return module, name


def public(root: Path, module: Module) -> list[tuple[str, ast.stmt, str]]:
    """(name, definition, text) of a module's functions, classes, and constants that something is said about."""
    exported = _exported(module)
    if exported is None:
        places = [(module, name) for name in _definitions(module.tree.body) if not name.startswith("_")]
    else:
        places = [_origin(root, module, name) for name in exported]
    found = []
    for place, name in places:
        node, text = _definitions(place.tree.body)[name]
        if isinstance(node, ast.FunctionDef | ast.ClassDef) or text:
            found.append((name, node, text))
    return found


def signature(node: ast.FunctionDef) -> str:
    """A function's head without `self`, on several lines where it is long."""
    returns = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    parts = list(_arguments(node.args))
    line = f"{node.name}({', '.join(parts)}){returns}"
    if len(line) <= WIDTH:
        return line
    return f"{node.name}(\n" + "".join(f"    {part},\n" for part in parts) + f"){returns}"


def _arguments(given: ast.arguments) -> Iterator[str]:
    """A function's arguments as they are written, without `self`."""
    plain = [*given.posonlyargs, *given.args]
    defaults = [None] * (len(plain) - len(given.defaults)) + given.defaults
    for i, (argument, default) in enumerate(zip(plain, defaults, strict=True)):
        if i > 0 or argument.arg not in ("self", "cls"):
            yield _argument(argument, default)
        if i + 1 == len(given.posonlyargs):
            yield "/"
    if given.vararg is not None or given.kwonlyargs:
        yield "*" if given.vararg is None else f"*{_argument(given.vararg, None)}"
    for argument, default in zip(given.kwonlyargs, given.kw_defaults, strict=True):
        yield _argument(argument, default)
    if given.kwarg is not None:
        yield f"**{_argument(given.kwarg, None)}"


def _argument(argument: ast.arg, default: ast.expr | None) -> str:
    kind = "" if argument.annotation is None else f": {ast.unparse(argument.annotation)}"
    equals = " = " if kind else "="
    return f"{argument.arg}{kind}" + ("" if default is None else f"{equals}{ast.unparse(default)}")


def _decorators(node: ast.FunctionDef | ast.ClassDef) -> set[str]:
    return {ast.unparse(item).partition("(")[0] for item in node.decorator_list}


def _fields(node: ast.ClassDef) -> Iterator[str]:
    """A dataclass's fields, each with what is said about it."""
    for name, (inner, text) in _definitions(node.body).items():
        if isinstance(inner, ast.AnnAssign) and not name.startswith("_"):
            default = "" if inner.value is None else f" = {ast.unparse(inner.value)}"
            said = f": {plain(' '.join(text.split()))}" if text else ""
            yield f"- `{name}: {ast.unparse(inner.annotation)}{default}`{said}"


def _methods(node: ast.ClassDef) -> Iterator[tuple[ast.FunctionDef, str]]:
    """A class's public methods and properties, with their text."""
    for name, (inner, text) in _definitions(node.body).items():
        if isinstance(inner, ast.FunctionDef) and not name.startswith("_"):
            yield inner, text


def _class(node: ast.ClassDef, text: str) -> Iterator[str]:
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    start = _definitions(node.body).get("__init__", (None, ""))[0]
    made = signature(start).removeprefix("__init__").removesuffix(" -> None") if _is_function(start) else ""
    yield f"```python\nclass {node.name}{made or (f'({bases})' if bases else '')}\n```\n"
    yield f"{plain(text)}\n"
    listed = list(_fields(node))
    for method, said in _methods(node):
        if "property" in _decorators(method):
            kind = f": {ast.unparse(method.returns)}" if method.returns is not None else ""
            head = f"{method.name}{kind}"
        else:
            returns = "" if method.returns is None else f" -> {ast.unparse(method.returns)}"
            head = f"{method.name}({', '.join(_arguments(method.args))}){returns}"
        listed.append(f"- `{head}`" + (f": {plain(' '.join(said.split()))}" if said else ""))
    yield from [*listed, ""] if listed else []


def _is_function(node: ast.stmt | None) -> TypeGuard[ast.FunctionDef]:
    return isinstance(node, ast.FunctionDef)


def _entry(name: str, node: ast.stmt, text: str) -> Iterator[str]:
    yield f"### {name}\n"
    if isinstance(node, ast.ClassDef):
        yield from _class(node, text)
        return
    if isinstance(node, ast.FunctionDef):
        yield f"```python\n{signature(node)}\n```\n"
    yield f"{plain(text)}\n"


def anchor(title: str) -> str:
    """What GitHub makes of a heading, to link to it."""
    return re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")


def python_page(root: Path, made: Reference) -> str:
    """The page about Python."""
    head = [
        "# Python, by module\n",
        "Made of the docstrings by `scripts/api_reference.py`; `make reference` makes it anew. Numbers and",
        "formats are specified in the documents that the [README](../README.md#documents) lists.\n",
    ]
    body: list[str] = []
    for title, names in MODULES.items():
        modules = [load(root, name) for name in names]
        links = ", ".join(f"[`{name}`](#{anchor(name)})" for name in names)
        head.append(f"**{title}**: {links}\n")
        for module in modules:
            body += _module(root, module, made)
    return "\n".join([*head, *body]).rstrip() + "\n"


def _module(root: Path, module: Module, made: Reference) -> Iterator[str]:
    yield f"## {module.name}\n"
    text = ast.get_docstring(module.tree)
    made.silent += [] if text else [module.name]
    yield f"{plain(text or '')}\n"
    for name, node, said in public(root, module):
        made.silent += [] if said else [f"{module.name}.{name}"]
        if isinstance(node, ast.ClassDef):
            made.silent += [f"{module.name}.{name}.{m.name}" for m, told in _methods(node) if not told]
        yield from _entry(name, node, said)


def declarations(code: str) -> Iterator[tuple[str, str]]:
    """(kind, name) of what C declares: `define`, `type`, `value` or `function`."""
    bare = _COMMENT.sub("", code)
    yield from (("define", name) for name in _DEFINE.findall(bare))
    bare = re.sub(r"^#.*$", "", bare, flags=re.MULTILINE)
    while "{" in bare:  # what braces hold declares nothing
        bare = re.sub(r"\{[^{}]*\}", "", bare)
    for text in bare.split(";"):
        words = text.split()
        call = _CALL.search(text)
        if words:
            kind = {"typedef": "type", "extern": "value"}.get(words[0], "function")
            yield kind, call[1] if call else words[-1]


def prose(comment: str) -> str:
    """A comment's text without its frame."""
    first, *rest = comment.strip().splitlines()
    return "\n".join([first, *(re.sub(r"^\s*\* ?", "", line) for line in rest)]).strip()


def items(header: str) -> Iterator[Item]:
    """What a header declares between its extern "C" braces; comments at the margin and blank lines part items."""
    inner = header.split('extern "C" {\n#endif\n')[1].rsplit("#ifdef __cplusplus", 1)[0]
    inner = _FENCE.sub("", inner)
    for block in re.split(r"\n(?:[ \t]*\n)+", inner):
        for piece in re.split(r"^(?=/\*)", block, flags=re.MULTILINE):
            comment = _COMMENT.match(piece)
            text, code = (prose(comment[1]), piece[comment.end() :]) if comment else ("", piece)
            if text or code.strip():
                yield Item(text, code.strip("\n"), tuple(declarations(code)))


def c_page(root: Path, made: Reference) -> str:
    """The page about C."""
    paths = sorted((root / HEADERS).glob("*.h"))
    head = [
        "# C, by header\n",
        "Made of the comments in `c_core/include/espike` by `scripts/api_reference.py`; `make reference` makes it",
        "anew. Results below 0 are errors ([error.h](#errorh)). Nothing allocates; each function says who owns what.\n",
        ", ".join(f"[`{path.name}`](#{anchor(path.name)})" for path in paths) + "\n",
    ]
    body: list[str] = []
    for path in paths:
        text = path.read_text()
        opening = _COMMENT.match(text)
        made.silent += [] if opening else [path.name]
        body += [f"## {path.name}\n", f"{prose(opening[1]) if opening else ''}\n"]
        for item in items(text):
            told = [name for kind, name in item.declared if kind in ("function", "type")]
            made.silent += [] if item.text else [f"{path.name}: {name}" for name in told]
            title = ", ".join(name for _, name in item.declared)
            body += [f"### {title}\n"] if item.text and 0 < len(item.declared) <= NAMES_IN_TITLE else []
            body += [f"{plain(item.text)}\n"] if item.text else []
            body += [f"```c\n{item.code}\n```\n"] if item.code.strip() else []
    return "\n".join([*head, *body]).rstrip() + "\n"


def reference(root: Path) -> Reference:
    """Both pages of a checkout."""
    made = Reference()
    made.pages[PYTHON_PAGE] = python_page(root, made)
    made.pages[C_PAGE] = c_page(root, made)
    return made


def main(arguments: list[str]) -> int:
    """Write the pages, or with --check say which are not up to date."""
    made = reference(ROOT)
    for name in made.silent:
        print(f"{name}: nothing is said about it", file=sys.stderr)
    old = [page for page, text in made.pages.items() if not _is(ROOT / page, text)]
    for page in old:
        if "--check" in arguments:
            print(f"{page}: not up to date; run: make reference", file=sys.stderr)
        else:
            (ROOT / page).write_text(made.pages[page])
    return 1 if made.silent or (old and "--check" in arguments) else 0


def _is(path: Path, text: str) -> bool:
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
