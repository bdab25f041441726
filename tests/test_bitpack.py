"""codes of 1 to 8 bits <-> bytes: as numpy packs them, and never a byte outside."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import segment_programs

try:
    from espike_sim.bitpack import pack_bits, packed_bytes, unpack_bits
    from espike_sim.core import ffi, lib
    from espike_sim.errors import EspikeError
except ImportError:
    pytest.skip("the C core is not built: make setup", allow_module_level=True)

COUNTS = range(1101)


@pytest.mark.parametrize("bits", range(1, 9))
def test_packing_is_numpys(bits: int) -> None:
    rng = np.random.default_rng(bits)
    codes = rng.integers(0, 1 << bits, max(COUNTS)).astype(np.uint8)
    single = np.unpackbits(codes[:, None], axis=1, count=bits, bitorder="little")
    for count in COUNTS:
        wanted = np.packbits(single[:count].reshape(-1), bitorder="little")
        packed = pack_bits(codes[:count], bits)
        assert packed.tobytes() == wanted.tobytes()
        assert len(packed) == packed_bytes(count, bits)
        assert unpack_bits(packed, count, bits).tobytes() == codes[:count].tobytes()
    assert unpack_bits(packed.tobytes() + b"\xff" * 9, 77, bits).tolist() == codes[:77].tolist()


@pytest.mark.parametrize("path", segment_programs.PATHS)
def test_no_byte_outside_is_touched(path: str, tmp_path: Path) -> None:
    flags = (*segment_programs.PATHS[path], *segment_programs.SANITIZED)
    program = segment_programs.build("bitpack_edges.c", tmp_path / path, *flags)
    done = subprocess.run([program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr, done.returncode) == (f"{8 * len(COUNTS)}\n", "", 0)


@pytest.mark.parametrize("bits", [-1, 0, 9, 64, 1 << 32])
def test_widths_that_do_not_exist_are_refused(bits: int) -> None:
    for call in (lambda: packed_bytes(3, bits), lambda: pack_bits(np.zeros(3, np.uint8), bits)):
        with pytest.raises(EspikeError):
            call()
    with pytest.raises(EspikeError):
        unpack_bits(bytes(300), 3, bits)
    if bits in (0, 9, 64):
        codes, room = ffi.new("uint8_t[]", b"\1\2\3"), ffi.new("uint8_t[]", 300)
        assert lib.spk_pack_bits(room, codes, 3, bits) == lib.SPK_ERROR_PARAMETER
        assert lib.spk_unpack_bits(codes, room, 3, bits) == lib.SPK_ERROR_PARAMETER
        assert (bytes(codes), bytes(room)) == (b"\1\2\3\0", bytes(300))


@pytest.mark.parametrize("codes", [[8], [255], [256], [-1], [1, 2, 1 << 40], [0.5]])
def test_codes_that_do_not_fit_are_refused(codes: Any) -> None:
    with pytest.raises(EspikeError):
        pack_bits(codes, 3)
    with pytest.raises(EspikeError):
        pack_bits(np.array(codes), 3)


def test_too_few_bytes_are_refused() -> None:
    for bits in range(1, 9):
        for count in (1, 8, 9, 100):
            with pytest.raises(EspikeError):
                unpack_bits(bytes(packed_bytes(count, bits) - 1), count, bits)
