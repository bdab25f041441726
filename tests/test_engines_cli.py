"""espike engines, and --engine auto: what runs a precision here, and why another does not."""

from __future__ import annotations

from pathlib import Path

import command
import pytest

from espike import engines
from espike.engines import EngineInfo
from espike_sim.errors import EspikeError

STIMULUS = "poisson:input:rate=0.1:amount=1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engines")
    assert command.run("genome", "new", "layered", "-o", "net.json", cwd=path).code == 0
    assert command.run("pack", "net.json", cwd=path).code == 0
    return path


def test_every_engine_is_listed(tmp_path: Path) -> None:
    found = command.run("engines", "--json", cwd=tmp_path).json
    assert {"reference", "host", "native", "emu-rv32"} <= set(found)
    assert {"int8", "fp32"} <= set(found["host"]["precisions"])
    assert found["reference"]["missing"] == ""
    shown = command.run("engines", cwd=tmp_path).out
    assert "precisions" in shown
    assert "reference" in shown


def test_a_missing_tool_is_the_reason(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {engine.name: engine for engine in engines.known()}
    assert "needs" in found["emu-rv32"].reason
    assert found["emu-rv32"].why_not("int8").startswith("needs")
    assert found["host"].why_not("int4") == "does not run int4"


def test_auto_takes_the_first_that_runs_the_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engines.choose("int8") == "host"
    assert engines.choose("int8", exclude="host") == "reference"
    listed = [EngineInfo("host", "", ("int8",)), EngineInfo("board", "", ("fp32",), "needs cc")]
    monkeypatch.setattr(engines, "known", lambda: listed)
    with pytest.raises(EspikeError, match="no engine here runs fp32: host does not run fp32; board needs cc"):
        engines.choose("fp32")


@pytest.mark.parametrize("net", ["net.json", "net.spk"])
def test_run_and_verify_with_auto(net: str, folder: Path) -> None:
    ran = command.run("run", net, "--engine", "auto", "-n", "50", "-s", STIMULUS, "--json", cwd=folder).json
    assert ran["engine"] == "host"
    done = command.run("verify", net, "--a", "auto", "--b", "auto", "-n", "50", "--json", cwd=folder).json
    assert (done["a"], done["b"], done["equal"]) == ("host", "reference", True) or done["b"] == "host"


def test_other_words_are_usage(folder: Path) -> None:
    assert command.run("run", "net.spk", "--engine", "gpu", cwd=folder).code == 2
    assert command.run("run", "--engine", "auto", cwd=folder).code == 2
