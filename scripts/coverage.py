"""tests -> how much of espike they run: lines of Python, branches of the C core; exit 1 below a gate.

coverage.py            both gates: the whole test suite once, and the tests of the core once more on a core that counts
coverage.py python     lines of tools/espike and hostsim/espike_sim alone; further words go to pytest
coverage.py c          branches of c_core/src alone

The suite tests the core that ships. Others, without optimization and with counters, are built in build/coverage, and
the tests of the core alone run on them: all on the host's core, those of segments once more on one that has the segment
codec of chips. A branch of a source that is compiled several times (inline functions, number types) is one branch, run
where any of them runs it. Each test file runs in a process of its own, which is waited for: counts are written when it
ends, and a worker of pytest-xdist that is slow to end is killed without them.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build" / "coverage"
CORE = ROOT / "c_core"
LEAST_LINES = 90.0
LEAST_BRANCHES = 95.0
COUNTING = ["--coverage", "-O0", "-g", "-fprofile-update=atomic", "-Dalways_inline=unused"]
"""Nothing inlined: a branch is where the source has it, and not once per place that calls it."""
FLAGS = ["-std=c99", "-ffp-contract=off", "-fPIC", f"-I{CORE / 'include'}"]
VECTOR = "-DSPK_VECTOR"
CHIP_PARTS = ("bitpack", "segment")
"""Sources of the core for chips that are compiled as chips have them: without VECTOR."""
CHIP_TESTS = ["bitpack", "segment", "segment_damage", "segment_vectors", "segment_writer"]
CORE_TESTS = [
    "agreement", "bitpack", "c_ledger", "damage", "engine_calls", "forged_records", "golden", "image", "ledger",
    "levels", "link_codec", "pcg", "presentations", "procedural", "random_networks", "recording", "rounding", "segment",
    "segment_damage", "segment_vectors", "segment_writer", "selftest", "senses_c", "shared_rows", "store", "telemetry",
    "timing", "transfer", "vector_rows", "vectors",
]  # fmt: skip
"""tests/test_NAME.py that run the core on this machine."""
SELECTED = (
    "not native and not emu-rv32 and not emu-lx106 and not esp32 and not fuzz and not sanitize and not long_run "
    "and not no_byte_outside and not size_t_ends and not on_rv32 and not constant_memory and not without_floats"
)
"""No boards, whose core is not this one, and nothing that builds a core of its own."""

Branch = tuple[str, int, int, int]
"""(file, line, branches of that line, which of them)"""


class CoverageError(Exception):
    """What keeps this script from measuring."""


def run(command: Sequence[str | Path], **environment: str) -> None:
    """Run a command in the checkout; a failure ends the measurement."""
    done = subprocess.run(list(map(str, command)), cwd=ROOT, env={**os.environ, **environment}, check=False)
    if done.returncode != 0:
        raise CoverageError(f"{' '.join(map(str, command[:4]))} ... ended with {done.returncode}")


def python_lines(arguments: Sequence[str]) -> bool:
    """Run the tests, count the lines of Python, and say whether they are enough."""
    BUILD.mkdir(parents=True, exist_ok=True)
    coverage = [sys.executable, "-m", "coverage"]
    run([*coverage, "erase"])
    run([*coverage, "run", "-m", "pytest", "-n", "2", *arguments])
    run([*coverage, "combine", "--quiet"])
    run([*coverage, "json", "--quiet", "-o", BUILD / "python.json"])
    found = json.loads((BUILD / "python.json").read_text())
    files = {name: (about["summary"]["covered_lines"], about["summary"]["num_statements"])
             for name, about in found["files"].items()}  # fmt: skip
    return report("lines of Python", files, LEAST_LINES)


def report(what: str, files: dict[str, tuple[int, int]], least: float) -> bool:
    """Print the files that lack most, and the sum with its gate."""
    for name, (hit, all_) in sorted(files.items(), key=lambda item: item[1][0] - item[1][1])[:15]:
        print(f"  {hit:6,} of {all_:6,}  {100 * hit / max(1, all_):5.1f} %  {name}")
    hit, all_ = (sum(counts) for counts in zip(*files.values(), strict=True))
    share = 100 * hit / max(1, all_)
    passes = bool(share >= least)
    print(f"{what}: {hit:,} of {all_:,}, {share:.2f} % {'>=' if passes else 'is below'} {least:g} %", flush=True)
    return passes


def compiled(source: Path, folder: Path, flags: Iterable[str]) -> Path:
    """The object of a C file."""
    made = folder / f"{source.stem}.o"
    run(["cc", *FLAGS, *flags, "-c", source, "-o", made])
    return made


def counting_core(folder: Path, plain: tuple[str, ...] = ()) -> Path:
    """The host's extension with a core that counts its branches, built anew; sources named `plain`... are a chip's."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    glue = folder / "_core.c"
    emit = f"import _build; _build.ffi.emit_c_code({str(glue)!r})"
    run([sys.executable, "-c", emit], PYTHONPATH=str(ROOT / "hostsim" / "espike_sim"))
    objects = [
        compiled(source, folder, COUNTING if plain and source.stem.startswith(plain) else [*COUNTING, VECTOR])
        for source in sorted((CORE / "src").glob("*.c"))
    ]
    host = ["-O2", VECTOR, f"-I{sysconfig.get_paths()['include']}", f"-I{ROOT / 'hostsim' / 'espike_sim'}"]
    objects += [compiled(source, folder, host) for source in (glue, ROOT / "hostsim" / "espike_sim" / "batch.c")]
    made = folder / "_core.abi3.so"
    run(["cc", "-shared", "--coverage", *objects, "-o", made])
    return made


def branches(folder: Path) -> dict[Branch, bool]:
    """Every branch of c_core/src and whether it was run, of what the programs that ended left in a folder."""
    found: dict[Branch, bool] = defaultdict(bool)
    data = sorted(folder.glob("*.gcda"))
    if not data:
        raise CoverageError(f"{folder}: no program left counts")
    for path in data:
        command = ["gcov", "--json-format", "--stdout", "--branch-probabilities", path.name]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
        for file in json.loads(done.stdout)["files"]:
            place = (folder / file["file"]).resolve()
            if CORE / "src" not in place.parents:
                continue
            for line in file["lines"]:
                ways = line["branches"]
                for i, way in enumerate(ways):
                    found[str(place.relative_to(ROOT)), line["line_number"], len(ways), i] |= way["count"] > 0
    return found


def run_tests(name: str, core: Path) -> str:
    """tests/test_NAME.py on a counting core, in a process of its own -> the last line that pytest says."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:xdist", "-k", SELECTED, f"tests/test_{name}.py"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "scripts" / "covered"), "ESPIKE_COVERED_CORE": str(core)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise CoverageError(f"test_{name} on {core.parent.name} ended with {done.returncode}\n{done.stdout[-4000:]}")
    return done.stdout.splitlines()[-1]


def c_branches() -> bool:
    """Run the tests of the core on cores that count, and say whether they run enough of their branches."""
    host, chip = counting_core(BUILD / "core"), counting_core(BUILD / "core-chip", CHIP_PARTS)
    jobs = [*((name, host) for name in CORE_TESTS), *((name, chip) for name in CHIP_TESTS)]
    with ThreadPoolExecutor(2) as pool:
        for (name, core), said in zip(jobs, pool.map(lambda job: run_tests(*job), jobs), strict=True):
            print(f"  {core.parent.name}: test_{name}: {said}", flush=True)
    found = branches(host.parent)
    for branch, is_run in branches(chip.parent).items():
        found[branch] |= is_run
    files: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for (name, *_), is_run in found.items():
        files[name] = (files[name][0] + is_run, files[name][1] + 1)
    missed = sorted(f"{name}:{line}" for (name, line, *_), is_run in found.items() if not is_run)
    (BUILD / "c-missed.txt").write_text("".join(f"{place}\n" for place in missed))
    return report("branches of C", files, LEAST_BRANCHES)


def main(arguments: list[str]) -> int:
    """Measure what is asked for, or everything."""
    verb, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if verb not in ("", "python", "c"):
        print(__doc__, file=sys.stderr)
        return 2
    try:
        passes = [python_lines(rest)] if verb != "c" else []
        passes += [c_branches()] if verb != "python" else []
    except CoverageError as error:
        print(f"coverage: {error}", file=sys.stderr)
        return 1
    return 0 if all(passes) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
