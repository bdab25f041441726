"""The page of segments, in a real browser without a window."""

from __future__ import annotations

import base64
import html
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from engines import lack
from wasm_steps import built

from espike import wasm
from espike_sim.segment import Policy, encode

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


def browse(fragment: str, *what: str) -> str:
    """Open the page with `#fragment` -> what the browser says."""
    program = next((name for name in BROWSERS if shutil.which(name)), None)
    if program is None:
        lack("no browser here (chromium-headless-shell)")
    address = f"{built(wasm.page).as_uri()}#{fragment}"
    command = [
        str(program),
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--run-all-compositor-stages-before-draw",
        "--virtual-time-budget=5000",
        *what,
        address,
    ]
    for _ in range(5):  # a busy machine's browser may be done before the page is
        said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout
        if "--dump-dom" not in what or not told(said).startswith("Open or drop"):
            break
    return said


def told(page: str) -> str:
    found = re.search(r'role="status">(.*?)</p>', page, re.DOTALL)
    assert found is not None
    return html.unescape(found[1])


def test_a_sample_is_drawn(tmp_path: Path) -> None:
    picture = tmp_path / "page.png"
    matplotlib = pytest.importorskip("matplotlib.image")
    for _ in range(5):  # a busy machine's browser may take its picture before the first frame: all black, no page
        browse("sample", "--window-size=1100,1000", f"--screenshot={picture}")
        whole = matplotlib.imread(picture)[..., :3]
        if whole.max() > 0:
            break
    pixels = whole[130:430, 30:1050]
    assert pixels.std() > 0.1  # waves, not a blank
    assert pixels[..., 2].max() > 0.9  # blue
    assert pixels[..., 0].max() > 0.9  # orange


@pytest.mark.parametrize("version", [1, 2])
def test_segments_of_the_host_are_read(version: int) -> None:
    frames = np.random.default_rng(3).normal(0, 1, (40, 70)).astype(np.float32)
    made = encode(frames, Policy(version=version), bits=7)
    page = browse("tqtc=" + base64.b64encode(b"".join(made)).decode(), "--dump-dom")
    assert f"{len(made)} segments, {sum(map(len, made))} bytes, 40 frames of 70 values" in told(page)
    rows = re.findall(r"<tr><td>.*?</tr>", page)
    assert len(rows) == len(made)
    assert f"<td>{version}</td><td>quantized</td><td>7</td>" in rows[0]


def test_a_damaged_file_is_told() -> None:
    made = bytearray(encode(np.ones((3, 9), np.float32), Policy(version=2), bits=8)[0])
    made[-9] ^= 1
    page = browse("tqtc=" + base64.b64encode(bytes(made)).decode(), "--dump-dom")
    assert "CRC" in told(page)
    assert "<tr><td>" not in page
