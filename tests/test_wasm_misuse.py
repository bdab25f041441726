"""Misuse of every ttc_* function: an error of its own, never a trap, never a lost segment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wasm_steps
from segment_cases import Case, host, pack, warm
from wasm_steps import RUNNERS, Runner, Step, call, get, module, put, runner

from espike_sim.core import ffi, lib
from espike_sim.segment import Policy

NULL, POINTER, ALIGN, OVERLAP, HANDLE, LENGTH, STREAMS, MEMORY, STARTED = range(-101, -110, -1)
PARAMETER, SCALE, BUFFER = int(lib.SPK_ERROR_PARAMETER), int(lib.SPK_ERROR_SCALE), int(lib.SPK_ERROR_BUFFER)
TRUNCATED, MAGIC = int(lib.SPK_ERROR_TRUNCATED), int(lib.SPK_ERROR_MAGIC)
ARENA = 4 << 20


@pytest.fixture(params=RUNNERS)
def run(request: pytest.FixtureRequest, tmp_path: Path) -> Runner:
    return runner(request.param, tmp_path)


def expect(run: Runner, *pairs: tuple[Step, int | tuple[int, ...] | None]) -> list[Any]:
    """Each step yields its code, or code, detail, word; None: any answer."""
    answers = run([step for step, _ in pairs])
    for (step, wanted), found in zip(pairs, answers, strict=True):
        if isinstance(wanted, int):
            assert found[0] == wanted, (step, found)
        elif wanted is not None:
            assert tuple(found[: len(wanted)]) == wanted, (step, found)
    return answers


def stream(len_: int = 4) -> tuple[Step, int]:
    """A step that makes a stream of handle $h."""
    return call("create", len_, 0, "word", keep="$h"), 0


def test_null_and_misaligned_pointers(run: Runner) -> None:
    expect(
        run,
        stream(),
        (call("create", 4, 0, "null"), (NULL, 3)),
        (call("create", 4, 0, "word+1"), (ALIGN, 3)),
        (call("create_with_policy", 4, 0, 512, 64, 7, 26, 64, "null"), (NULL, 8)),
        (call("push_frame", "$h", 0, "null", 4, "out", 64, "word"), (NULL, 3)),
        (call("push_frame", "$h", 0, "in+2", 4, "out", 64, "word"), (ALIGN, 3)),
        (call("push_frame", "$h", 0, "in", 4, "null", 64, "word"), (NULL, 5)),
        (call("push_frame", "$h", 0, "in", 4, "out", 64, "null"), (NULL, 7)),
        (call("push_frame", "$h", 0, "in", 4, "out", 64, "word+1"), (ALIGN, 7)),
        (call("push_frame", "$h", 0, "in", 4, "null", 0, "word"), (0, 0, 0)),
        (call("flush", "$h", "null", 64, "word"), (NULL, 2)),
        (call("flush", "$h", "out", 64, "null"), (NULL, 4)),
        (call("decode_segment", "null", 64, "out", 64, "word"), (NULL, 1)),
        (call("decode_segment", "null", 0, "out", 64, "word"), TRUNCATED),
        (call("decode_segment", "seg", 64, "null", 64, "word"), (NULL, 3)),
        (call("decode_segment", "seg", 64, "out+1", 64, "word"), (ALIGN, 3)),
        (call("decode_segment", "seg", 64, "out", 64, "null"), (NULL, 5)),
        (call("segment_info", "null", 64, "info"), (NULL, 1)),
        (call("segment_info", "seg", 64, "null"), (NULL, 3)),
        (call("segment_bounds", "seg", 64, "null", 4, "word"), (NULL, 3)),
        (call("segment_bounds", "seg", 64, "out", 4, "null"), (NULL, 5)),
        (call("alloc", 64, "null"), (NULL, 2)),
        (call("alloc", 64, "pointer+1"), (ALIGN, 2)),
        (call("dealloc", "null", 64), (NULL, 1)),
        (call("free", "$h"), 0),
    )


def test_arguments_that_overlap(run: Runner) -> None:
    expect(
        run,
        stream(),
        (call("push_frame", "$h", 0, "in", 4, "in+8", 64, "word"), (OVERLAP, 5)),
        (call("push_frame", "$h", 0, "in", 4, "out", 64, "in+12"), (OVERLAP, 7)),
        (call("flush", "$h", "out", 64, "out+60"), (OVERLAP, 4)),
        (call("decode_segment", "seg", 64, "seg+60", 16, "word"), (OVERLAP, 3)),
        (call("decode_segment", "seg", 64, "out", 16, "out"), (OVERLAP, 5)),
        (call("segment_info", "seg", 64, "seg"), (OVERLAP, 3)),
    )


def test_lengths_and_parameters(run: Runner) -> None:
    most = (1 << 32) - 1
    policy = ("create_with_policy", 4, 0, 512, 64)
    expect(
        run,
        stream(),
        (call("create", 0, 0, "word"), (LENGTH, 1 << 20)),
        (call("create", (1 << 20) + 1, 0, "word"), (LENGTH, 1 << 20)),
        (call("create", most, 0, "word"), LENGTH),
        (call("push_frame", "$h", 0, "in", 3, "out", 64, "word"), (LENGTH, 4, 0)),
        (call("push_frame", "$h", 0, "in", 5, "out", 64, "word"), (LENGTH, 4, 0)),
        *((call(*policy, bits, 26, 64, "word"), PARAMETER) for bits in (0, 2, 4, 6, 9, 256 + 8, most)),
        (call(*policy, 8, 26, 0, "word"), PARAMETER),
        (call(*policy, 8, 1 << 16, 64, "word"), PARAMETER),
        (call(*policy, 8, 65535, most, "word", keep="$wide"), 0),
        *((call("configure", "$h", version, 1, 143, 1, 128), PARAMETER) for version in (0, 3, most)),
        (call("configure", "$h", 1, 2, 143, 1, 128), PARAMETER),
        (call("configure", "$h", 1, 1, 257, 1, 128), PARAMETER),
        (call("configure", "$h", 1, 1, 65536, 1, 128), PARAMETER),
        (call("configure", "$h", 1, 1, 143, 0, 128), PARAMETER),
        (call("configure", "$h", 1, 1, 143, 256, 128), PARAMETER),
        (call("configure", "$h", 2, 1, 143, 1, 0), PARAMETER),
        (call("configure", "$h", 2, 1, 143, 1, 65536), PARAMETER),
        (call("configure", "$wide", 2, 1, 143, 1, 128), PARAMETER),
        (call("configure", "$h", 2, 1, 143, 1, 65535), 0),
        (call("push_frame", "$h", 0, "in", 4, "out", 64, "word"), 0),
        (call("configure", "$h", 2, 1, 143, 1, 128), STARTED),
        (call("alloc", 0, "pointer"), (LENGTH, ARENA)),
    )


def test_handles_that_are_none(run: Runner) -> None:
    uses: list[tuple[Any, ...]] = [
        ("push_frame", 0, "in", 4, "out", 64, "word2"), ("flush", "out", 64, "word2"), ("touch", 1),
        ("set_access", 1, 1), ("configure", 1, 1, 143, 1, 128), ("free",),
    ]  # fmt: skip

    def all_refused(*handles: int | str) -> list[tuple[Step, int]]:
        return [(call(name, handle, *rest), HANDLE) for handle in handles for name, *rest in uses]

    expect(
        run,
        *all_refused(0, 1, 63, 64, 65, (1 << 32) - 1),
        (call("create", 4, 0, "word", keep="$old"), 0),
        (call("free", "$old"), 0),
        *all_refused("$old"),
        (call("create", 4, 0, "word", keep="$new"), 0),
        *all_refused("$old", "$new+1", "$new+64"),
        (call("touch", "$new", 5), 0),
        (call("set_access", "$new", 5, 5), 0),
        (call("free", "$new"), 0),
        (call("free", "$new"), HANDLE),
    )


def test_pools_run_dry_and_fill_again(run: Runner) -> None:
    names = [f"$h{i}" for i in range(64)]
    expect(
        run,
        *((call("create", 4, 0, "word", keep=name), 0) for name in names),
        (call("create", 4, 0, "word"), (STREAMS, 64)),
        (call("free", "$h40"), 0),
        (call("create", 4, 0, "word", keep="$h40"), 0),
        *((call("free", name), 0) for name in names),
        (call("alloc", ARENA + 1, "pointer"), (MEMORY, ARENA + 1)),
        (call("alloc", (1 << 32) - 1, "pointer"), MEMORY),
        (call("alloc", ARENA, "pointer", keep="$at"), 0),
        (call("create", 4, 0, "word"), MEMORY),
        (call("alloc", 1, "pointer"), MEMORY),
        (call("dealloc", "$at", ARENA), 0),
        (call("create", 1 << 20, 0, "word", keep="$a"), 0),
        (call("create", 1 << 20, 0, "word", keep="$b"), 0),
        (call("create", 1 << 20, 0, "word", keep="$c"), 0),
        (call("create", 1 << 20, 0, "word"), MEMORY),
        (call("configure", "$b", 2, 1, 143, 1, 128), MEMORY),
        (call("touch", "$b", 1), 0),
        (call("create_with_policy", 1 << 20, 0, 1, 1, 8, 26, 1, "word"), MEMORY),
        *((call("free", name), 0) for name in ("$a", "$b", "$c")),
        (call("alloc", ARENA, "pointer", keep="$at"), 0),
    )


def test_what_was_not_given_is_not_taken_back(run: Runner) -> None:
    expect(
        run,
        (call("alloc", 5000, "pointer", keep="$at"), 0),
        (call("dealloc", "$at", 4999), (LENGTH, 5000)),
        (call("dealloc", "$at+1", 5000), POINTER),
        (call("dealloc", "$at+1024", 5000), POINTER),
        (call("dealloc", "in", 5000), POINTER),
        stream(),
        (call("dealloc", "$at+5120", 5000), POINTER),  # the stream's own memory
        (call("push_frame", "$h", 0, "$at+5120", 4, "out", 64, "word"), (POINTER, 3)),
        (call("push_frame", "$h", 0, "in", 4, "$at+4990", 64, "word"), (POINTER, 5)),
        (call("decode_segment", "seg", 64, "$at-4", 4, "word"), (POINTER, 3)),
        (call("push_frame", "$h", 0, "$at+4984", 4, "out", 64, "word"), 0),
        (call("dealloc", "$at", 5000), 0),
        (call("dealloc", "$at", 5000), POINTER),
        (call("push_frame", "$h", 0, "$at", 4, "out", 64, "word"), (POINTER, 3)),
    )


@pytest.mark.parametrize("name", ["segment", "segment-simd"])
def test_pointers_outside_the_memory_or_into_the_module(name: str) -> None:
    def run(steps: Sequence[Step]) -> list[Any]:
        return wasm_steps.in_node(module(name), steps)

    most = (1 << 32) - 4
    expect(
        run,
        stream(),
        *(
            (call("push_frame", "$h", 0, at, 4, "out", 64, "word"), (POINTER, 3))
            for at in ("top", "top-12", 1024, most)
        ),
        *((call("flush", "$h", "out", 64, at), (POINTER, 4)) for at in ("top", 4, 16384, 20480, most)),
        *((call("flush", "$h", at, 64, "word"), (POINTER, 2)) for at in ("top-63", 1, 20000, most)),
        (call("push_frame", "$h", 0, "in", 4, "out", most, "word"), (POINTER, 5)),
        (call("push_frame", "$h", 0, "in", most, "out", 64, "word"), (POINTER, 3)),
        (call("decode_segment", "seg", most, "out", 64, "word"), (POINTER, 1)),
        (call("decode_segment", "seg", 64, "out", most, "word"), (POINTER, 3)),
        (call("create", 4, 0, 8), (POINTER, 3)),
        (call("alloc", 4, "top"), (POINTER, 2)),
        (call("alloc", 4, "top-4"), 0),
        *((call("dealloc", at, 4), POINTER) for at in ("top", 1024, 20480, most)),
    )


def test_short_buffers_lose_nothing(run: Runner) -> None:
    rng = np.random.default_rng(7)
    frames = np.clip(rng.normal(size=(12, 100)), -0.8, 0.8).astype(np.float32)
    frames[6:] *= 10
    case = Case(frames, Policy(version=2))  # two segments
    first, second = host(case).segments
    pushes = [pair for i in range(6) for pair in ((put("in", frames[i].tobytes()), None), _push("out", 0))]
    more = [pair for i in range(7, 12) for pair in ((put("in", frames[i].tobytes()), None), _push("out", 0))]
    answers = expect(
        run,
        (call("create", 100, 0, "word", keep="$h"), 0),
        (call("configure", "$h", 2, 1, 143, 1, 128), 0),
        *pushes,
        (put("in", frames[6].tobytes()), None),
        *[(_push("null", 0)[0], (BUFFER, len(first), len(first)))] * 3,
        (_push("out", len(first) - 1)[0], (BUFFER, len(first), len(first))),
        (call("flush", "$h", "out", len(first) - 1, "word"), (BUFFER, len(first), len(first))),
        (_push("out", len(first))[0], (0, 0, len(first))),
        (get("out", len(first)), None),
        *more,
        (call("flush", "$h", "null", 0, "word"), (BUFFER, len(second), len(second))),
        (call("flush", "$h", "out", len(second), "word"), (0, 0, len(second))),
        (get("out", len(second)), None),
        (call("flush", "$h", "null", 0, "word"), (0, 0, 0)),
        (put("seg", first), None),
        (call("decode_segment", "seg", len(first), "null", 0, "word"), (BUFFER, 600, 600)),
        (call("decode_segment", "seg", len(first), "out", 599, "word"), (BUFFER, 600, 600)),
        (call("segment_bounds", "seg", len(first), "out", 1, "word"), (BUFFER, 2, 2)),
    )
    assert [answer for answer in answers if isinstance(answer, str)] == [first.hex(), second.hex()]


def _push(out: str, cap: int) -> tuple[Step, tuple[int, ...]]:
    return call("push_frame", "$h", 0, "in", 100, out, cap, "word"), (0, 0, 0)


def test_a_refused_frame_leaves_the_segment_before_it(run: Runner) -> None:
    quiet, loud = np.ones(100, np.float32), np.full(100, 1e30, np.float32)
    [wanted] = host(Case(quiet[None], Policy())).segments
    size = len(wanted)
    for after in (
        call("flush", "$h", "out", size, "word"),
        call("push_frame", "$h", 0, "seg", 100, "out", size, "word"),
    ):
        answers = expect(
            run,
            (call("create", 100, 0, "word", keep="$h"), 0),
            (put("in", quiet.tobytes()), None),
            (put("seg", quiet.tobytes()), None),
            _push("out", 4096),
            (put("in", loud.tobytes()), None),
            (_push("out", 4096)[0], (SCALE, 0, 0)),
            (_push("out", 4096)[0], (SCALE, 0, 0)),
            (after, (0, 0, size)),
            (get("out", size), None),
            (call("free", "$h"), 0),
        )
        assert answers[-2] == wanted.hex()


def test_garbage_is_refused_as_the_host_refuses_it(run: Runner) -> None:
    rng = np.random.default_rng(11)
    frames = np.clip(rng.normal(size=(6, 50)), -0.8, 0.8).astype(np.float32)
    whole = [pack(frames, warm(bits, version=version)) for version in (1, 2) for bits in (3, 8)]
    garbage = [part[:cut] for part in whole for cut in range(0, len(part), 7)]
    for part in whole:
        for _ in range(150):
            damaged = bytearray(part)
            damaged[int(rng.integers(0, 60 if rng.random() < 0.7 else len(part)))] = int(rng.integers(0, 256))
            garbage.append(bytes(damaged))
    garbage += [rng.bytes(int(size)) for size in rng.integers(0, 200, 50)]
    steps = [step for part in garbage for step in (
        put("seg", part), call("segment_info", "seg", len(part), "info"),
        call("decode_segment", "seg", len(part), "out", 1 << 14, "word"),
    )]  # fmt: skip
    answers = run(steps)
    for part, info, decoded in zip(garbage, answers[1::3], answers[2::3], strict=True):
        opened, read_ = _host_codes(part, 1 << 14)
        assert info[0] == opened, part
        assert decoded[0] == read_, part


def _host_codes(part: bytes, room: int) -> tuple[int, int]:
    """What opening, and reading all frames, of a segment yields on the host."""
    view, offset = ffi.new("spk_segment_t *"), ffi.new("uint32_t *")
    data = ffi.from_buffer("uint8_t[]", part)
    opened = int(lib.spk_segment_open(view, data, len(part), offset))
    floats = int(view.frame_count) * int(view.tensor_len)
    if opened < 0 or floats == 0:
        return opened, opened
    if floats > room:
        return opened, BUFFER if floats < 1 << 32 else LENGTH
    coding = lib.spk_segment_version_2()
    work = ffi.new("uint64_t[]", int(lib.spk_segment_reader_bytes(view, coding)) // 8 + 1)
    reader, values = ffi.new("spk_segment_reader_t *"), ffi.new("float[]", max(int(view.tensor_len), 1))
    lib.spk_segment_reader_init(reader, view, coding, work, ffi.sizeof(work))
    for frame in range(view.frame_count):
        sets = view.kind == lib.SPK_SEGMENT_SETS
        code = (
            lib.spk_segment_read_set(reader, frame, ffi.cast("uint32_t *", values))
            if sets
            else lib.spk_segment_read(reader, frame, values)
        )
        if code < 0:
            return opened, int(code)
    return opened, 0
