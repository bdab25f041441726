"""A run's metrics in others' formats and back; what the host's monitor sees; the table of metrics in docs."""

from __future__ import annotations

import csv
import json
import sys
import threading
import time
from pathlib import Path

import pytest
from command import run as command
from forge_homes import Forged, forge

from espike.forge import catalogue, exporters, monitor, tfevents, views
from espike.forge.registry import Metric, Registry
from espike_sim.errors import EspikeError

ROOT = Path(__file__).resolve().parents[1]


def metrics(forged: Forged) -> list[tuple[str, Metric]]:
    with Registry.open(forged.home) as registry:
        return registry.metrics(forged.run)


def test_csv_and_jsonl_hold_every_metric(forged: Forged, tmp_path: Path) -> None:
    for kind in ("csv", "jsonl"):
        path = tmp_path / f"m.{kind}"
        assert forge(forged.home, "metrics", "export", "newest", path, "--to", kind).out.strip() == str(path)
    with (tmp_path / "m.csv").open(newline="") as file:
        tables = list(csv.DictReader(file))
    values = [json.loads(line) for line in (tmp_path / "m.jsonl").read_text().splitlines()]
    rows = metrics(forged)
    assert len(tables) == len(values) == len(rows)
    for (phase, metric), table, value in zip(rows, tables, values, strict=True):
        assert (value["phase"], value["name"], value["value"]) == (phase, metric.name, metric.value)
        assert value["parameters"] == json.loads(table["parameters"]) == json.loads(json.dumps(metric.parameters))
        assert (table["name"], table["value"]) == (metric.name, str(metric.value))
        assert tuple(value["objects"]) == tuple(table["objects"].split()) == metric.objects


def test_tensorboard_s_file_is_read_back(forged: Forged, tmp_path: Path) -> None:
    made = forge(forged.home, "metrics", "export", forged.run, tmp_path / "tb", "--to", "tensorboard", "--json").json
    found = tfevents.read(Path(made["file"]).read_bytes())
    numbers = [metric for _, metric in metrics(forged) if not isinstance(metric.value, str)]
    assert len(found) == len(numbers)
    best = {scalar.step: scalar.value for scalar in found if scalar.tag == "evolve/best_fitness"}
    kept = {int(m.name.split("/")[2]): m.value for m in numbers if m.name.endswith("/best_fitness")}
    assert best == pytest.approx(kept)
    assert len(best) == 2


def test_records_are_checked() -> None:
    assert tfevents.crc32c(b"123456789") == 0xE3069283
    made = [tfevents.Scalar("a/b", 3, 0.5), tfevents.Scalar("a/b", 1 << 40, -2.0), tfevents.Scalar("x", 0, 1.0)]
    data = tfevents.write(made, 12.5)
    assert tfevents.read(data) == made
    for at in range(len(data)):
        damaged = bytearray(data)
        damaged[at] ^= 4
        with pytest.raises(EspikeError, match="is damaged"):
            tfevents.read(bytes(damaged))
    with pytest.raises(EspikeError, match="is damaged"):
        tfevents.read(data[:-1])


@pytest.mark.parametrize(
    ("name", "tag", "step"),
    [
        ("train/level/2/epoch/7/loss", "train/level/2/loss", 7),
        ("evolve/generation/3/diversity", "evolve/diversity", 3),
        ("train/level/4/accuracy", "train/accuracy", 4),
        ("pack/rung/w4/bytes", "pack/rung/w4/bytes", 0),
        ("fit/accuracy", "fit/accuracy", 0),
    ],
)
def test_names_become_curves(name: str, tag: str, step: int) -> None:
    assert exporters.point(Metric(name, 1.0, "real")) == exporters.Point(tag, step, 1.0)


def test_without_wandb_the_extra_is_named(forged: Forged, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wandb", None)
    done = forge(forged.home, "metrics", "export", "newest", tmp_path / "w", "--to", "wandb")
    assert done.code == 1
    assert done.errors == ["espike: metrics export: needs wandb; pip install 'espike[wandb]'"]


def test_a_file_that_cannot_be_written_is_said(forged: Forged, tmp_path: Path) -> None:
    done = forge(forged.home, "metrics", "export", "newest", tmp_path / "no" / "m.csv", "--to", "csv")
    assert done.code == 1
    assert len(done.errors) == 1


def test_metrics_are_listed_counted_and_shown(forged: Forged, tmp_path: Path) -> None:
    everything = command("forge", "metrics", "list", "--json", cwd=tmp_path).json
    assert len(everything) == catalogue.count()
    assert int(command("forge", "metrics", "list", "--count", cwd=tmp_path).out) == catalogue.count()
    assert int(command("forge", "metrics", "list", "--count", "--phase", "fit", cwd=tmp_path).out) == catalogue.count(
        "fit"
    )
    assert command("forge", "metrics", "list", "--phase", "nonsense", cwd=tmp_path).code == 2
    shown = forge(forged.home, "metrics", "show", "--prefix", "deploy/native", "--json").json
    assert {row["function"] for row in shown} == {"board", "clock"}
    assert "byte_count(" in forge(forged.home, "metrics", "show", forged.run, "--prefix", "pack/final").out


def test_the_table_of_metrics_is_up_to_date(tmp_path: Path) -> None:
    made = command("forge", "metrics", "list", "--markdown", cwd=tmp_path).out
    assert made == views.metrics_document()
    assert (ROOT / "docs" / "forge-metrics.md").read_text("utf8") == made, "run what its first lines say"


def test_a_run_has_its_host_s_metrics(forged: Forged) -> None:
    found = {m.name: m for phase, m in metrics(forged) if phase == "system"}
    assert {name.removeprefix("system/host/") for name in found} >= {
        "cpu_percent",
        "rss_bytes",
        "rss_max_bytes",
        "cores",
    }
    assert all(metric.entry.is_time for metric in found.values())
    least, most = found["system/host/rss_bytes"].value, found["system/host/rss_max_bytes"].value
    assert isinstance(least, int)
    assert isinstance(most, int)
    assert 10_000_000 < least <= most


def test_the_monitor_stops_within_a_second(tmp_path: Path) -> None:
    made = monitor.Monitor(tmp_path, period_s=0.01)
    made.start()
    made.start()
    time.sleep(0.2)
    began = time.monotonic()
    made.stop()
    made.stop()
    assert time.monotonic() - began < 1
    assert not any(thread.name == "forge-monitor" for thread in threading.enumerate())
    count = len(made.samples)
    assert 2 <= count <= monitor.KEPT
    found = made.summary()
    assert found is not None
    assert found.count == count
    assert found.largest.rss_bytes == max(sample.rss_bytes for sample in made.samples)


def test_averages_and_maxima() -> None:
    samples = [monitor.Sample(10.0, 100, 5, 7), monitor.Sample(30.0, 300, 6, 9), monitor.Sample(50.0, 200, 10, 8)]
    found = monitor.summary(samples)
    assert found == monitor.Summary(3, monitor.Sample(30.0, 200, 7, 8), monitor.Sample(50.0, 300, 10, 9))
    assert monitor.summary([]) is None


def test_only_its_own_thread_writes(tmp_path: Path) -> None:
    with Registry.open(tmp_path) as registry:
        run = registry.run_begin("a", "", 0, "0")
        with monitor.monitored(registry, run) as host:
            other = threading.Thread(target=host.write)
            other.start()
            other.join()
            assert registry.metrics(run) == []
        assert len(registry.metrics(run)) == 6


def test_without_psutil_a_run_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(monitor, "psutil", None)
    with Registry.open(tmp_path) as registry:
        run = registry.run_begin("a", "", 0, "0")
        with monitor.monitored(registry, run) as host:
            host.beat()
        assert registry.metrics(run) == []
