"""The command as people use it: what it prints, how it ends, and that bad input costs one line and nothing else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import engines
import pytest
from genomes import REAL, area, genome, patterns, rule

STIMULUS = "poisson:input:rate=0.1:amount=1"


def espike(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    command = [sys.executable, "-m", "espike", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120, check=False)


def says(*arguments: str | Path, cwd: Path) -> Any:
    """The JSON that a command prints."""
    done = espike(*arguments, "--json", cwd=cwd)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module", autouse=True)
def own_boards(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Boards of this file alone: those of the session may be running."""
    before = os.environ["ESPIKE_HOME"]
    os.environ["ESPIKE_HOME"] = str(tmp_path_factory.mktemp("cli-home"))
    yield
    os.environ["ESPIKE_HOME"] = before


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a genome, its connectome, image and quantized connectome."""
    path = tmp_path_factory.mktemp("cli")
    for line in (
        ["genome", "new", "reservoir", "-o", "net.json"],
        ["grow", "net.json", "-o", "net.npz"],
        ["pack", "net.npz", "-o", "net.spk"],
    ):
        assert espike(*line, cwd=path).returncode == 0
    (path / "text.json").write_text("hello")
    (path / "other.json").write_text('{"a": 1}')
    lost = genome(
        area("aaaaaa", (2, 1, 1), {"nowhere": [rule("m")]}), morphologies={"m": patterns([[0, 0, 0], [0, 0, 0]])}
    )
    (path / "lost.json").write_text(json.dumps(lost))
    for name, size in (("empty", 0), ("huge", 2**31)):
        (path / f"{name}.json").write_text(json.dumps(genome(area("aaaaaa", (size, 1, 1)))))
    image = (path / "net.spk").read_bytes()
    (path / "short.spk").write_bytes(image[:3000])
    (path / "flipped.spk").write_bytes(image[:2000] + bytes([image[2000] ^ 1]) + image[2001:])
    (path / "later.spk").write_bytes(image[:4] + b"\2" + image[5:])
    bad = genome(area("aaaaaa", (2, 1, 1)), quantization_precision="int4")
    (path / "precision.json").write_text(json.dumps(bad))
    return path


BAD: dict[str, tuple[list[str], int, str]] = {
    # what: arguments, exit code, what the line says
    "no file": (["grow", "missing.json"], 1, "missing.json: cannot read"),
    "no JSON": (["grow", "text.json"], 1, "is no JSON"),
    "no genome": (["pack", "other.json"], 1, "no genome"),
    "unknown precision": (["pack", "precision.json"], 1, "quantization_precision"),
    "a precision that is none": (["pack", "net.json", "--precision", "int4"], 2, "int4"),
    "a mapping to nowhere, packed": (["pack", "lost.json"], 1, "nowhere"),
    "a mapping to nowhere, strict": (["grow", "lost.json", "--strict"], 1, "nowhere"),
    "an empty area": (["grow", "empty.json"], 1, "aaaaaa"),
    "a huge area": (["grow", "huge.json"], 1, "2147483648"),
    "truncated image": (["flash", "short.spk", "-b", "native"], 1, "byte 3000: truncated"),
    "flipped bit": (["flash", "flipped.spk", "-b", "native"], 1, "damaged (CRC)"),
    "later image": (["flash", "later.spk", "-b", "native"], 1, "byte 4: unknown version"),
    "no such board": (["flash", "net.spk", "-b", "nosuch"], 1, "no board is called nosuch"),
    "no such port": (["flash", "net.spk", "-b", "/dev/ttyUSB77"], 1, "no such port"),
    "nobody listens": (["run", "-b", "socket://127.0.0.1:1"], 1, "cannot connect"),
    "no port": (["run", "-b", "socket://nowhere"], 1, "is no socket://host:port"),
    "too little RAM": (["plan", "net.spk", "--ram", "100"], 1, "bytes of RAM too few"),
    "too little flash": (["plan", "net.spk", "--flash", "1K"], 1, "bytes of flash too few"),
    "no size": (["plan", "net.spk", "--ram", "lots"], 1, "is no size"),
    "stimulus without area": (["run", "net.spk", "-s", "poisson:nope:rate=1:amount=1"], 1, "no area 'nope'"),
    "stimulus without file": (["run", "net.spk", "-s", "nofile.csv"], 1, "nofile.csv"),
    "no network": (["run"], 2, "give NET"),
    "an engine that is none": (["run", "net.spk", "-e", "gpu"], 2, "--engine"),
    "a folder that is not there": (["pack", "net.json", "-o", "no/where.spk"], 1, "cannot write"),
    "no image suffix": (["pack", "net.json", "-o", "x.bin"], 1, "ends in .spk"),
    "another precision than packed": (["run", "net.spk", "--precision", "fp32"], 1, "int8 already"),
    "growth options on an image": (["verify", "net.spk", "--every-neuron"], 1, "for genomes"),
    "growth options on a connectome": (["pack", "net.npz", "--seed", "3"], 1, "for genomes"),
    "an engine against itself": (["verify", "net.spk", "--a", "host"], 2, "same engine"),
    "an image alone": (["verify", "short.spk"], 1, "truncated"),
    "no picture": (["plot", "net.spk", "-o", "x.gif"], 1, ".gif"),
    "a recipe that is none": (["genome", "new", "soup"], 1, "no recipe"),
    "a verb that is none": (["cook"], 2, "cook"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_input_is_one_line(what: str, folder: Path) -> None:
    arguments, code, text = BAD[what]
    before = sorted(path.name for path in folder.iterdir())
    done = espike(*arguments, cwd=folder)
    assert done.returncode == code
    assert text in done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert len(errors) == 1 or code == 2
    assert sorted(path.name for path in folder.iterdir()) == before


def test_grow_skips_a_mapping_to_nowhere_loudly(folder: Path) -> None:
    done = espike("grow", "lost.json", cwd=folder)
    assert done.returncode == 0
    assert any("nowhere" in line for line in done.stderr.splitlines())
    assert any("nowhere" in line for line in says("grow", "lost.json", cwd=folder)["notes"])


def test_the_same_genome_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert espike("grow", folder / "net.json", "-o", f"{name}.npz", cwd=tmp_path).returncode == 0
        assert espike("pack", folder / "net.json", "-o", f"{name}.spk", cwd=tmp_path).returncode == 0
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    assert (tmp_path / "a.spk").read_bytes() == (tmp_path / "b.spk").read_bytes()
    assert (tmp_path / "a.spk").read_bytes() == (folder / "net.spk").read_bytes()
    assert (tmp_path / "a.quantized.npz").read_bytes() == (folder / "net.quantized.npz").read_bytes()


def test_json_of_the_whole_way(folder: Path) -> None:
    grown = says("grow", "net.json", cwd=folder)
    assert {"neurons", "synapses", "areas", "mappings"} <= grown.keys()
    assert set(grown["areas"][0]) == {"id", "name", "neurons"}
    assert set(grown["mappings"][0]) == {"source", "destination", "rule", "synapses"}
    packed = says("pack", "net.npz", "-o", "net.spk", cwd=folder)
    planned = says("plan", "net.spk", cwd=folder)
    assert packed["bytes"] == planned["flash_bytes"] == (folder / "net.spk").stat().st_size
    assert {fit["name"] for fit in planned["fits"]} == set(says("boards", cwd=folder))
    assert all(fit["fits"] for fit in planned["fits"])
    hello = says("flash", "net.spk", "-b", "native", cwd=folder)
    assert (hello["network_hash"], hello["ram_bytes"]) == (packed["hash"], packed["ram_bytes"])
    host = says("run", "net.spk", "-n", "50", "-s", STIMULUS, cwd=folder)
    board = says("run", "-b", "native", "-n", "50", "-s", STIMULUS, cwd=folder)
    assert (host["hash"], host["fired"], host["events"]) == (board["hash"], board["fired"], board["events"])
    proof = says("verify", "net.spk", "--b", "native", "-n", "50", "-s", STIMULUS, cwd=folder)
    assert proof["equal"]
    assert proof["difference"] is None
    done = espike("monitor", "-b", "native", "-n", "300", "--interval", "0.05", "-s", STIMULUS, "--json", cwd=folder)
    statuses = [json.loads(line) for line in done.stdout.splitlines()]
    assert statuses[-1]["burst"] == 300
    assert sum(sum(status["fired"].values()) for status in statuses) > 1000
    assert set(statuses[0]) >= {"burst", "bursts_per_s", "fired", "saturations", "overruns", "link_errors"}
    assert says("genome", "check", "net.json", cwd=folder)["errors"] == 0
    assert says("plot", "net.spk", "-n", "20", "-o", "rates.svg", "-k", "rates", cwd=folder)["picture"] == "rates.svg"


def test_verify_names_the_first_difference(folder: Path, tmp_path: Path) -> None:
    """An image of another network under the first one's hash: engines that differ, caught at the first burst."""
    from image_edit import Image

    image = Image((folder / "net.spk").read_bytes())
    threshold = image.area(3, "THRESHOLD").offset
    forged = image.put(threshold, image.word(threshold) + 1).sealed()
    (tmp_path / "forged.spk").write_bytes(forged)
    assert espike("flash", tmp_path / "forged.spk", "-b", "native", cwd=folder).returncode == 0
    done = espike("verify", "net.npz", "--b", "native", "-n", "200", "-s", STIMULUS, cwd=folder)
    assert done.returncode == 1
    assert "engines differ at burst" in done.stderr
    assert "i00inp (" in done.stderr
    told = json.loads(
        espike("verify", "net.npz", "--b", "native", "-n", "200", "-s", STIMULUS, "--json", cwd=folder).stdout
    )
    assert told["difference"]["potential"]["a"] != told["difference"]["potential"]["b"]


def test_verify_wants_the_network_on_the_board(folder: Path) -> None:
    assert espike("flash", "net.npz", "--precision", "fp32", "-b", "native", cwd=folder).returncode == 0
    done = espike("verify", "net.npz", "--b", "native", "-n", "5", cwd=folder)
    assert done.returncode == 1
    assert "add --flash" in done.stderr
    assert espike("verify", "net.npz", "--b", "native", "-n", "5", "--flash", cwd=folder).returncode == 0


@pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")
def test_a_genome_that_asks_for_fp16_gets_it(tmp_path: Path) -> None:
    assert espike("pack", REAL / "essential_genome.json", "-o", "x.spk", cwd=tmp_path).returncode == 0
    told = espike("verify", "x.spk", "--b", "native", "-n", "30", "--flash", "--json", cwd=tmp_path)
    assert told.returncode == 0, told.stderr
    assert espike("plan", "x.spk", "--json", cwd=tmp_path).stdout.count('"fp16"') >= 1


def test_interrupted_runs_say_so(folder: Path) -> None:
    endless = ["run", "net.spk", "-b", "native", "--flash", "-n", "100000000"]
    for line, by in (
        (["verify", "net.spk", "-n", "100000000"], signal.SIGINT),
        (endless, signal.SIGINT),
        (endless, signal.SIGTERM),
    ):
        command = [sys.executable, "-m", "espike", *line]
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            time.sleep(3)
            process.send_signal(by)
            _, errors = process.communicate(timeout=30)
        finally:
            process.kill()
        assert process.returncode == 1
        assert errors.strip().splitlines()[-1] == "espike: interrupted"
        assert "Traceback" not in errors


def test_a_board_that_dies_in_a_run_is_one_line(folder: Path) -> None:
    served = subprocess.Popen(
        [sys.executable, "-m", "espike", "boards", "native"], cwd=folder, stdout=subprocess.PIPE, text=True,
        env={**os.environ, "ESPIKE_HOME": str(folder / "home")}, start_new_session=True,
    )  # fmt: skip
    assert served.stdout is not None
    port = served.stdout.readline().strip()
    assert espike("flash", "net.spk", "-b", port, cwd=folder).returncode == 0
    threading.Timer(2.0, lambda: os.killpg(served.pid, signal.SIGINT)).start()
    done = espike("run", "-b", port, "-n", "100000000", cwd=folder)
    served.wait(20)
    assert done.returncode == 1
    assert "went away" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_something_else_on_the_port_is_one_line(folder: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:

        def talk() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n\0" * 3)
                connection.recv(100)
                time.sleep(8)

        threading.Thread(target=talk, daemon=True).start()
        done = espike("run", "-b", f"socket://127.0.0.1:{server.getsockname()[1]}", cwd=folder)
    assert done.returncode == 1
    assert "does not speak espike" in done.stderr


def test_boards_keep_what_was_flashed(folder: Path) -> None:
    for name in engines.RUNNING:
        engines.board_file(name)
        flashed = says("flash", "net.spk", "-b", name, cwd=folder)
        again = says("run", "-b", name, "-n", "3", cwd=folder)
        assert again["network"] == flashed["network_hash"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_room_for_a_board_s_flash_is_one_line(folder: Path, tmp_path: Path) -> None:
    """The lock, where the board's process is noted, takes no byte."""
    place = tmp_path / "boards" / "native"
    place.mkdir(parents=True)
    (place / "lock").symlink_to("/dev/full")
    environment = {**os.environ, "ESPIKE_HOME": str(tmp_path)}
    command = [sys.executable, "-m", "espike", "flash", str(folder / "net.spk"), "-b", "native"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert "cannot keep the board's flash (" in done.stderr
