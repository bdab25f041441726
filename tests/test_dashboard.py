"""The dashboard: each page shows what the registry and a board say, and nothing leaves this machine."""

from __future__ import annotations

import base64
import hashlib
import importlib.util
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import engines
import numpy as np
import pytest
from command import run as command
from forge_homes import CONFIG, Forged
from streamlit.testing.v1 import AppTest
from test_page import BROWSERS

import espike.dashboard
from espike import boards, flasher, monitor, selftest, transfer
from espike.board import BoardEngine
from espike.dashboard import board, browser, common, editor, figures, flashing, machine, overview
from espike.dashboard.live import Watch
from espike.engines import network_of
from espike.flasher import flash
from espike.forge import config as configs
from espike.forge.contracts import Model
from espike.forge.provenance import Numbers, shown
from espike.forge.registry import Registry
from espike.forge.report import KEY
from espike.link import Hello
from espike_sim.errors import EspikeError
from espike_sim.random_networks import random_network

APP = Path(espike.dashboard.__file__).with_name("app.py")
PHASES = ("adopt", "evolve", "settle", "quant", "train", "tune", "fit", "pack")
PAGES = ("Overview", "Phase details", "Model browser", "System", "Configuration", "Board")
LOOPBACK = 'ip link set lo up 2>/dev/null; exec "$@"'


@pytest.fixture
def page(forged: Forged, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], AppTest]:
    """Opens a page of the dashboard on the home with a run."""
    monkeypatch.setenv("ESPIKE_FORGE_HOME", str(forged.home))

    def opened(name: str) -> AppTest:
        at = AppTest.from_file(str(APP), default_timeout=60)
        at.query_params["page"] = name
        return whole(at.run())

    return opened


@pytest.fixture
def registry(forged: Forged) -> Iterator[Registry]:
    with Registry.open(forged.home) as opened:
        yield opened


def whole(at: AppTest) -> AppTest:
    """The page, on which nothing went wrong."""
    assert [e.message for e in at.exception] == []
    assert [e.value for e in at.error] == []
    return at


def metrics(at: AppTest) -> dict[str, str]:
    return {m.label: m.value for m in at.metric}


def labelled(found: Any, label: str) -> Any:
    return next(one for one in found if one.label == label)


def soon(check: Callable[[], bool], seconds: float = 30) -> bool:
    end = time.monotonic() + seconds
    while not check():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


@pytest.mark.parametrize("name", PAGES)
def test_a_page_of_an_empty_home(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ESPIKE_FORGE_HOME", str(tmp_path / "none"))
    at = AppTest.from_file(str(APP), default_timeout=60)
    at.query_params["page"] = name
    assert whole(at.run()).title[0].value == name


def test_overview(page: Callable[[str], AppTest], forged: Forged, registry: Registry) -> None:
    at, numbers = page("Overview"), Numbers(registry, forged.run)
    assert at.subheader[0].value == f"digits, run {forged.run[:8]}: done"
    assert metrics(at)["image, bytes"] == shown(numbers["pack/final_bytes"].value)
    assert metrics(at)["right answers, test"] == shown(numbers["pack/final_accuracy"].value)
    assert list(at.dataframe[0].value["run"]) == [run.run[:8] for run in registry.runs()]
    found = overview.accuracies(registry, numbers)
    last, bounds, _ = found["test items"][-1]
    assert (last, bounds.value) == ("pack", numbers.number("pack/final_accuracy"))
    assert bounds.low < bounds.value < bounds.high
    assert {phase for phase, *_ in found["validation items"]} >= {"evolve", "quant"}


def test_details_of_each_phase(page: Callable[[str], AppTest], forged: Forged, registry: Registry) -> None:
    at, numbers = page("Phase details"), Numbers(registry, forged.run)
    rows = {row.phase: row for row in registry.phases(forged.run)}
    for phase in PHASES:
        whole(labelled(at.radio, "Phase").set_value(phase).run())
        gates = rows[phase].result.gates if rows[phase].result else ()
        assert metrics(at)["status"] == "done"
        assert metrics(at)["gates passed"] == (f"{len(gates)} of {len(gates)}" if gates else "-")
        key = numbers[KEY[phase]]
        assert metrics(at)[key.entry.meaning] == common.with_unit(key)
        if gates:
            assert list(at.dataframe[0].value["value"]) == [gate.value for gate in gates]
        assert len(at.get("plotly_chart")) == len(figures.of_phase(registry, numbers, phase))


def test_figures_show_what_was_measured(forged: Forged, registry: Registry) -> None:
    numbers = Numbers(registry, forged.run)
    made = {f.layout.title.text: f for phase in PHASES for f in figures.of_phase(registry, numbers, phase)}
    best = [numbers.number(f"evolve/generation/{i}/best_fitness") for i in (0, 1)]
    assert list(made["Fitness"].data[0].y) == best
    assert made["Diversity"].data[0].y[0] == numbers.number("evolve/generation/0/diversity")
    front = made["The search's front"].data[0]
    assert sorted(front.x) == sorted(int(m.value) for _, m in numbers.find("fit/search/front/{point}/bytes"))
    assert made["Level 1: loss"].data[0].y[-1] == numbers.number("train/level/1/train_loss")
    assert {trace.name for trace in made["Level 1: right answers"].data} == {"training", "validation"}
    assert next(iter(made["The ladder: bytes"].data[0].x)) == "lossless"
    ladder = {row["format"]: row for row in figures.ladder_rows(numbers, ["lossless"])}
    assert ladder["lossless"]["taken"]
    assert ladder["lossless"]["bytes"] == numbers["pack/rung/lossless/bytes"].value


def test_models(
    page: Callable[[str], AppTest], registry: Registry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, bytes] = {}
    monkeypatch.setattr(
        "streamlit.delta_generator.DeltaGenerator.download_button",
        lambda self, label, data, name, *more: given.update({name: data}),
    )
    at = page("Model browser")
    assert len(at.dataframe[0].value) == len(registry.models())
    labelled(at.selectbox, "Phase").set_value("pack")
    (model,) = registry.models(phase="pack")
    labelled(at.text_input, "Search").set_value(f"digits {model.formats[0]}")
    given.clear()
    whole(at.run())
    assert list(at.dataframe[0].value["model"]) == [model.id]
    assert hashlib.sha256(given[f"{model.id}.spk"]).hexdigest() == model.image
    assert hashlib.sha256(given[f"{model.id}.npz"]).hexdigest() == model.master
    (tmp_path / "model.zip").write_bytes(given[f"{model.id}.zip"])
    with Registry.open(tmp_path / "other") as other:
        assert other.import_model(tmp_path / "model.zip") == model.id
    assert json.loads(at.json[0].value)["id"] == model.id
    whole(labelled(at.button, "Simulate on the host").click().run())
    assert f"({model.metrics['pack/final_accuracy']:.1%}," in at.success[0].value
    whole(labelled(at.text_input, "Search").set_value("nothing-like-this").run())
    assert at.info[0].value == "No such model."


def test_a_damaged_object_is_not_given(forged: Forged, tmp_path: Path) -> None:
    with Registry.open(forged.copied(tmp_path)) as registry:
        (model,) = registry.models(phase="pack")
        assert model.image is not None
        path = registry.objects.path(model.image)
        path.chmod(0o644)
        path.write_bytes(b"x" + path.read_bytes()[1:])
        with pytest.raises(EspikeError, match=model.image[:8]):
            browser.files(registry, model)


def test_a_configuration_is_saved_where_it_is_valid_alone(page: Callable[[str], AppTest], tmp_path: Path) -> None:
    path = Path(shutil.copy(CONFIG, tmp_path / "some.toml"))
    before = path.read_bytes()
    at = whole(labelled(page("Configuration").text_input, "File").set_value(str(path)).run())
    for key, bad, said in (
        ("fit.prune", 1.5, "fit.prune"), ("quant.bits", 9, "quant.bits"), ("run.board", "none", "none"),
        ("adopt.hidden", "many", "adopt.hidden"), ("fit.search.population", 3, "fit.search.population"),
    ):  # fmt: skip
        widget = next(w for w in (*at.number_input, *at.text_input) if w.key == f"{path}:{key}")
        good = widget.value
        widget.set_value(bad)
        labelled(at.button, "Save").click().run()
        assert not at.exception
        assert "Not saved" in at.error[0].value
        assert said in at.error[0].value
        assert path.read_bytes() == before
        widget = next(w for w in (*at.number_input, *at.text_input) if w.key == f"{path}:{key}")
        widget.set_value(good)
    whole(labelled(at.button, "Save").click().run())
    assert configs.load(path) == configs.load(CONFIG)
    assert configs.load(path, quick=True) == configs.load(CONFIG, quick=True)
    at.number_input(key=f"{path}:train.rate").set_value(0.0005)
    at.checkbox(key=f"{path}:quant.ternary").check()
    at.multiselect(key=f"{path}:adopt.candidates").set_value(["memory"])
    whole(labelled(at.button, "Save").click().run())
    made = configs.load(path)
    assert (made.train.rate, made.quant.ternary, made.adopt.presets) == (0.0005, True, ("memory",))


def test_the_form_has_every_key_and_changes_nothing_by_itself() -> None:
    keys = list(editor.keys())
    written = configs.msgspec.to_builtins(configs.load(CONFIG))
    tables = {f"{name}.{key}" for name, table in written.items() if name != "quick" for key in table}
    assert tables == {".".join(key.path[:2]) for key in keys}
    assert all(key.about for key in keys if key.path[:2] != ("pack", "retention"))
    data = {"run": {"suite": "digits"}}
    assert editor.changed(data, {key: editor.value(data, key) for key in keys}) == data


def test_system(page: Callable[[str], AppTest], forged: Forged, registry: Registry) -> None:
    at = page("System")
    (row,) = [row for row in machine.host_rows(registry) if row["run"] == forged.run[:8]]
    assert row["rss max, MB"] == round(Numbers(registry, forged.run).number("system/host/rss_max_bytes") / 1e6)
    assert set(at.dataframe[1].value["board"]) == set(boards.boards())
    assert metrics(at)["processor"].endswith(" %")


@pytest.fixture
def native(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The native board, at rest with a network of its own and without a key; nobody asked it yet."""
    monkeypatch.delenv("ESPIKE_KEY", raising=False)
    flashing.answers().clear()
    with engines.board_apart("native"):
        with boards.running("native") as target:
            flash(target, selftest.pack(random_network(41, "int8", True, areas=5)).data)
        yield


@pytest.fixture
def model(registry: Registry) -> Model:
    return registry.models(phase="pack")[0]


def hello_of_native() -> Hello:
    with boards.running("native") as target:
        return target.link.hello()


def crc_of(registry: Registry, model: Model) -> int:
    assert model.image is not None
    return transfer.image_crc(registry.get(model.image))


def flashed(at: AppTest) -> AppTest:
    """The page, after the board was asked, what it said was ticked, and the button pressed."""
    whole(labelled(at.button, "Ask the board").click().run())
    whole(at.checkbox[0].check().run())
    return labelled(at.button, "Flash").click().run()


def test_a_model_is_flashed_where_that_is_ticked(
    native: None, page: Callable[[str], AppTest], registry: Registry, model: Model
) -> None:
    before, crc = hello_of_native(), crc_of(registry, model)
    at = page("Model browser")
    assert "Flash" not in [button.label for button in at.button]
    whole(labelled(at.button, "Ask the board").click().run())
    rows = at.dataframe[1].value
    assert list(rows["image CRC"]) == [f"{before.image_crc:08x}", f"{crc:08x}"]
    assert list(rows["bytes"]) == [before.image_bytes, model.bytes]
    assert list(rows["model"]) == ["", model.id]
    assert (
        at.checkbox[0].label
        == f"Replace image {before.image_crc:08x} on native by image {crc:08x}, {model.bytes:,} bytes"
    )
    button = labelled(at.button, "Flash")
    assert button.disabled
    button.proto.disabled = False  # as somebody might in a browser
    whole(button.click().run())
    assert hello_of_native().image_crc == before.image_crc, "not without the tick"
    whole(at.checkbox[0].check().run())
    assert not labelled(at.button, "Flash").disabled
    labelled(at.selectbox, "Model").select_index(2)  # of the phase before fit, whose image pack kept
    whole(at.run())
    assert labelled(at.button, "Flash").disabled, "the tick was for another image"
    labelled(at.selectbox, "Model").select_index(0)
    whole(at.run().checkbox[0].check().run())
    whole(labelled(at.button, "Flash").click().run())
    after = hello_of_native()
    assert (after.image_crc, after.image_bytes, after.outcome) == (crc, model.bytes, "confirmed")
    assert (
        f"native: image {crc:08x} in slot {after.slot}, its trial confirmed; at rest at burst 0" in at.success[0].value
    )
    assert list(at.dataframe[1].value["model"]) == [model.id]
    assert not at.checkbox


def test_a_board_with_a_key_refuses_who_has_none(
    native: None, page: Callable[[str], AppTest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, before = bytes(range(16)), hello_of_native()
    with boards.running("native") as target:
        flasher.set_key(target, key, None)
    try:
        at = flashed(page("Model browser"))
        (error,) = at.error
        assert "has a key" in error.value
        assert "\n" not in error.value
        assert hello_of_native().image_crc == before.image_crc
        (tmp_path / "key").write_text("00" * 16)
        monkeypatch.setenv("ESPIKE_KEY", str(tmp_path / "key"))
        at = labelled(at.button, "Flash").click().run()
        assert "wants its key, and this is not it" in at.error[0].value
        (tmp_path / "key").write_text(key.hex())
        whole(labelled(at.button, "Flash").click().run())
        assert hello_of_native().image_crc != before.image_crc
    finally:
        with boards.running("native") as target:
            flasher.set_key(target, None, key)


def test_a_board_that_changed_since_is_not_flashed(
    native: None, page: Callable[[str], AppTest], registry: Registry, model: Model
) -> None:
    at = page("Model browser")
    whole(labelled(at.button, "Ask the board").click().run())
    whole(at.checkbox[0].check().run())
    with boards.running("native") as target:
        flash(target, selftest.pack(random_network(42, "int8", True, areas=5)).data)
    at = labelled(at.button, "Flash").click().run()
    assert at.error[0].value == "board native: holds another image than was said; ask the board again"
    assert hello_of_native().image_crc != crc_of(registry, model)


def test_a_board_that_is_looked_at_is_flashed_too(
    native: None, page: Callable[[str], AppTest], registry: Registry, model: Model
) -> None:
    watch = board.watches()["native"] = Watch("native")
    try:
        assert soon(lambda: watch.network is not None)
        whole(flashed(page("Model browser")))
        assert not watch.alive
        watch = board.watches()["native"]
        assert soon(lambda: watch.hello is not None)
        assert watch.hello is not None
        assert watch.hello.image_crc == crc_of(registry, model)
    finally:
        board.watches().pop("native").close()


def test_a_board_that_does_not_answer_is_one_line(page: Callable[[str], AppTest]) -> None:
    at = page("Model browser")
    labelled(at.text_input, "or a port").set_value("/dev/no-such-port").run()
    at = labelled(at.button, "Ask the board").click().run()
    (error,) = at.error
    assert "no such port" in error.value
    assert "Flash" not in [button.label for button in at.button]


@contextmanager
def served() -> Iterator[str]:
    """The port of a native board with a network that fires."""
    with engines.board_apart("native") as one, boards.serve(one) as (port, _):
        with closing(boards.connect(port)) as target:
            flash(target, selftest.pack(random_network(41, "int8", True, areas=5)).data)
        yield port


def test_a_board_is_made_to_run_shown_and_stopped(page: Callable[[str], AppTest]) -> None:
    with served() as port:
        at = page("Board")
        labelled(at.text_input, "or a port").set_value(port).run()
        whole(labelled(at.button, "Look on").click().run())
        watch = board.watches()[port]
        assert soon(lambda: watch.network is not None)
        whole(labelled(at.run().button, "Run from burst 0").click().run())
        assert soon(lambda: len(watch.statuses) > 2)
        whole(at.run())
        assert int(metrics(at)["burst"].replace(",", "")) > 0
        assert len(at.get("plotly_chart")) == 4
        assert "network" in at.code[0].value
        assert watch.network is not None
        bursts = list(watch.bursts)
        raster, rates = board.raster(bursts, watch.network.areas)[0], board.rates(bursts, watch.network.areas)[0]
        shown, each = raster.data[0], raster.data[0].y[1]
        for (burst, ids), x, column in zip(bursts, shown.x, shown.z.T, strict=True):
            assert (x, set(np.flatnonzero(column >= 0))) == (burst, {i // each for i in ids})
        assert [trace.name for trace in raster.data[1:]] == [area.id for area in watch.network.areas]
        assert any(ids for _, ids in bursts)
        assert max(rates.data[0].y) > 0
        whole(labelled(at.button, "Stop the run").click().run())
        assert soon(lambda: "stopped" in watch.log[-1])
        labelled(at.button, "Look away").click().run()
        assert not watch.alive


def test_a_board_that_runs_goes_on_running() -> None:
    with served() as port:
        with closing(boards.connect(port)) as target:
            looks = iter([False, False, True])
            engine, network = BoardEngine(target, owns=False), network_of(target)
            list(monitor.watch(engine, network, (), bursts=None, period_us=2000, interval_s=0.05,
                               until=lambda: next(looks, True), leaves=True))  # fmt: skip
        watch = Watch(port)
        assert soon(lambda: len(watch.statuses) > 1)
        watch.close()
        assert not watch.bursts
        assert watch.statuses[1].burst > watch.statuses[0].burst
        with closing(boards.connect(port)) as target:
            state = target.link.state()
        assert state.running
        assert state.burst > watch.statuses[1].burst


def test_a_board_that_is_not_there_is_told() -> None:
    watch = Watch("/dev/no-such-port")
    assert soon(lambda: not watch.alive)
    assert "no such port" in watch.log[-1]


# ---- the verb


@contextmanager
def server(home: Path, folder: Path, *before: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    """`espike dashboard` as a process, and its address."""
    line = [*before, sys.executable, "-m", "espike", "dashboard", "--home", str(home), "--port", "0", "--no-browser"]
    process = subprocess.Popen(line, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process
    finally:
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
        process.communicate()


def listening(port: int) -> set[str]:
    """Addresses, as the kernel writes them, on which something listens at a port."""
    rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()[1:]]
    return {row[1].rpartition(":")[0] for row in rows if row[3] == "0A" and int(row[1].rpartition(":")[2], 16) == port}


class Browser:
    """A browser without a window, told what to do over its debugging port."""

    def __init__(self, folder: Path) -> None:
        from websockets.sync.client import connect

        program = next((name for name in BROWSERS if shutil.which(name)), None)
        if program is None:
            engines.lack("no browser here (chromium-headless-shell)")
        options = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--window-size=1200,1400",
            "--remote-debugging-port=0",
        ]
        line = [str(program), *options, f"--user-data-dir={folder}", "about:blank"]
        self._process = subprocess.Popen(line, stderr=subprocess.PIPE, text=True, start_new_session=True)
        assert self._process.stderr is not None
        found = next(m for row in self._process.stderr if (m := re.search(r"listening on ws://([^/]+)/", row)))
        with urllib.request.urlopen(f"http://{found[1]}/json") as answer:
            targets = json.load(answer)
        target = next(t["webSocketDebuggerUrl"] for t in targets if t["type"] == "page")
        self._stack = ExitStack()
        self._link = self._stack.enter_context(connect(target, max_size=None, close_timeout=0.5))
        self._number, self.asked = 0, list[str]()
        self.tell("Network.enable")

    def tell(self, method: str, **parameters: Any) -> Any:
        """A command -> its result; addresses that the page asked for meanwhile are kept."""
        self._number += 1
        self._link.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            said = json.loads(self._link.recv(timeout=30))
            if said.get("id") == self._number:
                return said["result"]
            if said["method"] == "Network.requestWillBeSent":
                self.asked.append(said["params"]["request"]["url"])
            elif said["method"] == "Network.webSocketCreated":
                self.asked.append(said["params"]["url"])

    def value(self, script: str) -> Any:
        """What a script comes to."""
        return self.tell("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def shows(self, text: str) -> bool:
        """Does the page, at last?"""
        return soon(lambda: text in (self.value("document.body.innerText") or ""))

    def press(self, name: str) -> None:
        """Press the button of a name, where it can be."""
        found = f"[...document.querySelectorAll('button:enabled')].find(b => b.innerText.trim() === {json.dumps(name)})"
        assert soon(lambda: self.value(f"(b => b && (b.click(), true))({found})")), name

    def close(self) -> None:
        self._stack.close()
        os.killpg(self._process.pid, signal.SIGKILL)  # what is called so may be a script that started it
        self._process.communicate()


def test_the_verb_serves_this_machine_alone(forged: Forged, tmp_path: Path) -> None:
    with closing(Browser(tmp_path / "profile")) as shown, server(forged.home, tmp_path) as (address, process):
        host, port = re.fullmatch(r"http://(127\.0\.0\.1):(\d+)", address).groups()  # type: ignore[union-attr]
        assert listening(int(port)) == {"0100007F"}, "127.0.0.1 alone"
        shown.tell("Page.navigate", url=address)
        assert shown.shows(f"digits, run {forged.run[:8]}: done"), shown.value("document.body.innerText")
        assert soon(lambda: shown.value("document.querySelectorAll('.js-plotly-plot .main-svg').length") >= 2)
        picture = base64.b64decode(shown.tell("Page.captureScreenshot", format="png")["data"])
        assert len(picture) > 40_000, "a page, not a blank"
        refers = shown.value("[...document.querySelectorAll('[href],[src]')].map(e => String(e.href || e.src))")
        outside = [
            url for url in (*shown.asked, *refers) if re.match(r"(http|ws)s?:", url) and f"//{host}:{port}/" not in url
        ]
        assert any(url.startswith("ws:") for url in shown.asked)
        assert outside == []
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    assert listening(int(port)) == set()


def test_the_test_items_are_presented_in_a_browser(forged: Forged, registry: Registry, tmp_path: Path) -> None:
    (model,) = registry.models(phase="pack")
    with closing(Browser(tmp_path / "profile")) as shown, server(forged.home, tmp_path) as (address, _):
        shown.tell("Page.navigate", url=f"{address}/?page=Model%20browser")
        shown.press("Simulate on the host")
        assert shown.shows(f"test items right ({model.metrics['pack/final_accuracy']:.1%},")
        assert soon(lambda: shown.value("document.querySelectorAll('.js-plotly-plot .heatmaplayer image').length") == 1)


def test_the_verb_needs_no_network(tmp_path: Path) -> None:
    alone = ["unshare", "-rn"]
    if shutil.which("unshare") is None or subprocess.run([*alone, "true"], capture_output=True, check=False).returncode:
        pytest.skip("unshare -n is not permitted here")
    with server(tmp_path / "home", tmp_path, *alone, "sh", "-c", LOOPBACK, "sh") as (address, process):
        assert address.startswith("http://127.0.0.1:")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stderr is not None
        assert "Traceback" not in process.stderr.read()


def test_what_is_missing_or_taken_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as one:
        done = command("dashboard", "--port", str(one.getsockname()[1]), cwd=tmp_path)
    assert (done.code, len(done.errors)) == (1, 1)
    assert "--port 0" in done.errors[0]
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "streamlit" else find(name))
    done = command("dashboard", cwd=tmp_path)
    assert (done.code, done.errors) == (
        1, ["espike: dashboard: needs streamlit; pip install 'espike[dashboard]'"],
    )  # fmt: skip
    assert os.listdir(tmp_path) == []
