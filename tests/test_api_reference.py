"""docs/api-python.md and docs/api-c.md: up to date, complete, and nothing public without a word about it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[1]
HEADERS = sorted((ROOT / "c_core" / "include" / "espike").glob("*.h"))


def load() -> ModuleType:
    spec = importlib.util.spec_from_file_location("api_reference", ROOT / "scripts" / "api_reference.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["api_reference"] = module
    spec.loader.exec_module(module)
    return module


script = load()
MODULES = [name for names in script.MODULES.values() for name in names]


def test_the_pages_are_up_to_date() -> None:
    for page, text in script.reference(ROOT).pages.items():
        assert (ROOT / page).read_text() == text, f"{page}: run: make reference"


def test_nothing_public_is_silent() -> None:
    assert script.reference(ROOT).silent == []


@pytest.mark.parametrize("name", MODULES)
def test_what_a_module_defines_is_listed(name: str) -> None:
    """As Python sees the module, which the script never imports."""
    if name.startswith("espike.nir"):
        pytest.importorskip("h5py")
    module = importlib.import_module(name)
    page = (ROOT / script.PYTHON_PAGE).read_text()
    section = page.split(f"\n## {name}\n")[1].split("\n## ")[0]
    for key, value in vars(module).items():
        is_own = getattr(value, "__module__", None) == name and not key.startswith("_")
        if (
            is_own
            and (inspect.isclass(value) or inspect.isfunction(value))
            and key in getattr(module, "__all__", [key])
        ):
            assert f"\n### {key}\n" in section
            assert value.__doc__


@pytest.mark.parametrize("path", HEADERS, ids=lambda path: path.name)
def test_what_a_header_declares_is_listed(path: Path) -> None:
    page = (ROOT / script.C_PAGE).read_text()
    section = page.split(f"\n## {path.name}\n")[1].split("\n## ")[0]
    bare = re.sub(r"/\*.*?\*/", "", path.read_text(), flags=re.DOTALL)
    found = re.findall(r"\b(?:spk_\w+(?=\()|SPK_\w+|spk_\w+_t)\b", bare)
    assert found
    assert set(found) <= set(re.findall(r"\w+", section))


def test_links_lead_to_headings() -> None:
    for page in script.reference(ROOT).pages.values():
        anchors = {script.anchor(title) for title in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
        assert set(re.findall(r"\]\(#([^)]*)\)", page)) <= anchors


def test_a_silent_function_is_named(tmp_path: Path) -> None:
    folder = tmp_path / script.HEADERS
    folder.mkdir(parents=True)
    (folder / "sample.h").write_text(
        '/* a header. */\n#ifdef __cplusplus\nextern "C" {\n#endif\n\n/* Two of them. */\nint spk_a(int x);\n'
        "int spk_b(int x);\n\nint spk_c(int x);\n\ntypedef struct {\n    int x;\n} spk_d_t;\n\n"
        "/* Told. */\ntypedef struct {\n    int x; /* told */\n} spk_e_t;\n\n#ifdef __cplusplus\n}\n#endif\n"
    )
    made = script.Reference()
    page = script.c_page(tmp_path, made)
    assert made.silent == ["sample.h: spk_c", "sample.h: spk_d_t"]
    assert "### spk_a, spk_b\n\nTwo of them.\n" in page
    assert "### spk_e_t\n" in page


def test_signatures_are_as_they_were_written() -> None:
    import ast

    text = "def f(self, a: int, /, b: str = 'x', *c: int, d, e: int = 3, **g: Any) -> None: ..."
    node = ast.parse(text).body[0]
    assert script.signature(node) == "f(a: int, /, b: str = 'x', *c: int, d, e: int = 3, **g: Any) -> None"
    assert script.plain("a *b* <c> `*d` <= 2 * e") == r"a \*b* \<c> `*d` <= 2 * e"
