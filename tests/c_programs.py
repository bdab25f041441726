"""tests/c/*.c + the core -> programs under sanitizers, and libFuzzer targets."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from engines import lack

from espike import toolchain

FOLDER = Path(__file__).parent / "c"
SANITIZERS = "address,undefined"
FLAGS = [*toolchain.CORE_FLAGS, "-g", "-O1", "-fno-sanitize-recover=all", f"-I{toolchain.CORE / 'include'}"]


def _compile(command: list[str], source: str, output: Path) -> Path:
    files = [str(FOLDER / source), *map(str, toolchain.core_sources())]
    done = subprocess.run([*command, *FLAGS, *files, "-o", output], capture_output=True, text=True, check=False)
    if "cannot find" in done.stderr and "san" in done.stderr:
        lack(f"{command[0]}: its sanitizer libraries are not installed")
    assert done.returncode == 0, done.stderr
    return output


def sanitized(source: str, folder: Path) -> Path:
    """A program of tests/c under ASan and UBSan; skips where there is no compiler."""
    if shutil.which("cc") is None:
        lack("cc not found")
    return _compile(["cc", f"-fsanitize={SANITIZERS}"], source, folder / Path(source).stem)


def fuzzer(source: str, folder: Path) -> Path:
    """A program of tests/c as a libFuzzer target; skips where there is no clang."""
    if shutil.which("clang") is None:
        lack("clang not found")
    command = ["clang", "-DFUZZER", f"-fsanitize=fuzzer,{SANITIZERS}"]
    return _compile(command, source, folder / f"{Path(source).stem}-fuzzer")


def feed(program: Path, data: bytes) -> str:
    """Run a program on standard input -> its output. A sanitizer's finding fails the test with its report."""
    environment = {**os.environ, "ASAN_OPTIONS": "allocator_may_return_null=1"}
    done = subprocess.run([program], input=data, capture_output=True, check=False, env=environment)
    assert done.returncode == 0, done.stdout[-300:].decode() + "\n" + done.stderr[:3000].decode(errors="replace")
    return done.stdout.decode()


def fuzz(program: Path, seeds: list[bytes], folder: Path, seconds: int) -> None:
    """Let libFuzzer mutate `seeds` for a while. A finding fails the test and names the input that made it."""
    corpus = folder / "corpus"
    corpus.mkdir()
    for i, seed in enumerate(seeds):
        (corpus / f"seed{i}").write_bytes(seed)
    command = [program, f"-max_total_time={seconds}", "-max_len=8192", "-verbosity=0", f"-artifact_prefix={folder}/"]
    done = subprocess.run([*command, corpus], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:].decode(errors="replace")
