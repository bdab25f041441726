"""The segment codec behind ttc_*: node and a native library yield the host's bytes."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import wasm_steps
from engines import lack
from segment_cases import Case, cases, host, pack, read, warm, write
from wasm_steps import RUNNERS, Runner, built, call, get, module, put, runner

from espike import toolchain, wasm
from espike_sim.errors import EspikeError
from espike_sim.segment import Policy, Segment, Writer

BYTES = {"segment": 30_720, "segment-simd": 30_720, "core": 98_304}


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    return runner(request.param, tmp_path)


@pytest.mark.parametrize("name", BYTES)
def test_modules_are_small_import_nothing_and_export_what_is_meant(name: str) -> None:
    path = built(wasm.core_module) if name == "core" else module(name)
    headers = (toolchain.CORE / "include" / "espike").glob("*.h")
    meant = wasm.declared(*headers) if name == "core" else wasm.functions()
    script = """const m = new WebAssembly.Module(require("fs").readFileSync(process.argv[1]));
        console.log(WebAssembly.Module.imports(m).length, ...WebAssembly.Module.exports(m).map((e) => e.name));"""
    imports, *exports = wasm_steps.node("-e", script, path).split()
    assert imports == "0"
    assert sorted(exports) == sorted(["memory", *meant])
    assert path.stat().st_size <= BYTES[name]


def test_the_library_exports_what_is_meant() -> None:
    if shutil.which("nm") is None:
        lack("nm not found")
    done = subprocess.run(
        ["nm", "-D", "--defined-only", built(wasm.library)], capture_output=True, text=True, check=True
    )
    assert sorted(line.split()[-1] for line in done.stdout.splitlines()) == wasm.functions()


def test_files_compiled_for_speed_exist() -> None:
    assert set(wasm.FAST) <= {path.stem for path in toolchain.core_sources()}


def test_a_missing_program_names_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(EspikeError, match=r"wasm-ld not found; apt-get install clang lld$"):
        wasm.require("clang", "wasm-ld")


def test_the_page_holds_all_it_needs() -> None:
    text = built(wasm.page).read_text()
    assert "data:application/wasm;base64," in text
    assert "import {" not in text
    assert "http" not in text.replace("http://www.w3.org", "")
    start = text.index('<script type="module">') + len('<script type="module">')
    wasm_steps.node("--check", "--input-type=module", "-", text=text[start : text.index("</script>")])


def agree(name: str, streams: list[Case], folder: Path, order: str = "each") -> None:
    """The module makes of the streams what the host does."""
    script = Path(__file__).parent / "wasm" / "agree.mjs"
    output = folder / "answers"
    wasm_steps.node(script, wasm.SOURCE / "segment.mjs", module(name), write(streams, folder / "cases"), output, order)
    answers = read(output)
    assert len(answers) == len(streams)
    for case, found in zip(streams, answers, strict=True):
        assert found == host(case), (case.policy, case.frames.shape)


@pytest.mark.parametrize("name", ["segment", "segment-simd"])
def test_node_yields_the_hosts_segments_and_values(name: str, tmp_path: Path) -> None:
    agree(name, cases(), tmp_path)


@pytest.mark.parametrize("name", ["segment", "segment-simd"])
def test_many_streams_live_at_once(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    streams = [
        Case(
            rng.normal(size=(40 + i, 20 + 3 * i)).astype(np.float32), warm((3, 5, 7, 8)[i % 4], version=1 + i // 4 % 2)
        )
        for i in range(64)
    ]
    agree(name, streams, tmp_path, "all")


def test_segments_of_the_host_decode(run: Runner) -> None:
    rng = np.random.default_rng(4)
    noise = np.clip(rng.normal(size=(50, 77)), -0.8, 0.8).astype(np.float32)
    made = [Segment(part) for policy in (Policy(), Policy(version=2)) for part in [pack(noise, policy)]]
    integers = Writer(40, Policy(version=2), kind="integers")
    sets = Writer(70, Policy(version=2), kind="sets")
    members = [np.sort(rng.choice(70, size, replace=False)) for size in (0, 1, 33, 70)]
    for frame in rng.integers(-1000, 1000, (30, 40)):
        integers.push(frame)
    for ids in members:
        sets.push(ids)
    bits = np.array([np.isin(np.arange(70), ids) for ids in members], np.float32)
    made += [Segment(integers.flush() or b""), Segment(sets.flush() or b"")]
    wanted = [*(segment.decode() for segment in made[:3]), bits]
    for segment, values in zip(made, wanted, strict=True):
        steps = [
            put("seg", segment.data + b"more"),
            call("decode_segment", "seg", segment.byte_count + 4, "out", values.size, "word"),
            get("out", values.nbytes),
            call("segment_info", "seg", segment.byte_count, "info"),
            get("info", 40),
            call("segment_bounds", "seg", segment.byte_count, "out", 10, "word"),
            get("out", segment.bounds.nbytes),
        ]
        _, decoded, floats, info, words, bounds, limits = run(steps)
        assert decoded == [0, 0, values.size]
        assert floats == values.tobytes().hex()
        assert info[0] == bounds[0] == 0
        kind = ("quantized", "integers", "sets").index(segment.kind)
        assert np.frombuffer(bytes.fromhex(words), "<u4").tolist() == [
            segment.version, kind, segment.bits, segment.group_len, len(segment.scales), segment.tensor_len,
            segment.frames, segment.block_frames, segment.byte_count, segment.bounded,
        ]  # fmt: skip
        assert limits == segment.bounds.tobytes().hex()


def test_errors_have_names() -> None:
    native = wasm_steps.Native(built(wasm.library))
    codes = [*range(0, -21, -1), *range(-101, -110, -1), -50, -110, -(1 << 31), (1 << 31) - 1]
    names = [native.ffi.string(native.lib.ttc_error_name(code)).decode() for code in codes]
    assert names[-4:] == ["unknown error", "unknown error", "unknown error", "ok"]
    assert len(set(names[:-4])) == 30


def test_the_script_raises_what_was_refused() -> None:
    script = f"""
        import {{ readFileSync }} from "node:fs";
        import {{ load, SegmentWriter, SegmentError }} from {str(wasm.SOURCE / "segment.mjs")!r};
        const codec = await load(readFileSync({str(module("segment"))!r}));
        const told = (call) => {{ try {{ call(); return "nothing"; }} catch (e) {{
            return e instanceof SegmentError ? e.message : String(e); }} }};
        const writer = new SegmentWriter(codec, 4);
        console.log(JSON.stringify([
            told(() => new SegmentWriter(codec, 0)),
            told(() => new SegmentWriter(codec, 4, {{ version: 3 }})),
            told(() => writer.push([1, 2, 3])),
            told(() => codec.decode(new Uint8Array(40))),
            told(() => writer.push([1, 2, 3, 1e30])),
            told(() => {{ writer.free(); writer.free(); }}),
        ]));"""
    told = json.loads(wasm_steps.node("--input-type=module", "-e", script))
    assert told[:4] == [
        "wrong length (1048576)", "bad parameter (0)", "wrong length (4)", "no espike image (0)",
    ]  # fmt: skip
    assert told[4] == "scale beyond binary16 (0)"
    assert told[5].startswith("no such handle (")


def test_constants_agree_with_the_header() -> None:
    text = (wasm.SOURCE / "ttc.h").read_text()
    for line in ("TTC_BUFFER_FRAMES 256u", "TTC_BUFFER_BYTES (256u << 10)", "TTC_STREAMS 64u"):
        assert f"#define {line}" in text


def test_the_timing_script_runs_and_a_frame_is_quick() -> None:
    script = wasm.SOURCE / "bench.mjs"
    told = {name: json.loads(wasm_steps.node(script, module(name))) for name in ("segment", "segment-simd")}
    assert all(figures["frames"] > 0 and figures["push_us"] < 20 for figures in told.values())
