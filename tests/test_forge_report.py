"""The report: whole, the same again, without a network, each number with where it comes from, seen in a browser."""

from __future__ import annotations

import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from engines import lack
from forge_homes import Forged, forge

from espike.forge import report_charts, svg
from espike.forge.contracts import PHASES, PhaseResult, Verdict
from espike.forge.provenance import Numbers, anchor
from espike.forge.registry import Metric, Registry
from espike.forge.report import report

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")


class Page(HTMLParser):
    """Ids, links, tags that are open, and whatever names something elsewhere."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.outside: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.ids += [given["id"] or ""] if "id" in given else []
        self.links += [given["href"] or ""] if "href" in given else []
        self.outside += [f"{tag} {name}" for name in given if name in ("src", "srcset", "action", "data", "poster")]
        self.outside += [tag] if tag in ("script", "link", "iframe", "img", "object", "embed") else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def page(forged: Forged) -> str:
    with Registry.open(forged.home) as registry:
        return report(registry, registry.find_run(forged.run))


def test_the_page_is_whole_and_needs_nothing_else(page: str) -> None:
    found = Page(page)
    assert found.open == []
    assert found.outside == []
    assert all(link.startswith("#") for link in found.links)
    assert not re.search(r"https?:|url\(|@import|javascript:", page)
    assert len(set(found.ids)) == len(found.ids)
    assert {link[1:] for link in found.links} <= set(found.ids)


def test_the_same_run_gives_the_same_bytes(forged: Forged, page: str, tmp_path: Path) -> None:
    home = forged.copied(tmp_path)
    done = forge(home, "report", forged.run, "-o", tmp_path / "a.html")
    assert done.code == 0
    assert (tmp_path / "a.html").read_bytes() == page.encode()


def test_every_metric_has_a_row_with_its_function(forged: Forged, page: str) -> None:
    with Registry.open(forged.home) as registry:
        rows = registry.metrics(forged.run)
    ids = set(Page(page).ids)
    assert {anchor(metric.name, phase) for phase, metric in rows} == ids
    assert all(f"{metric.function}(" in page for _, metric in rows)


def test_sections_of_a_run_that_went_well(page: str) -> None:
    for phase in PHASES:
        assert f"<h3>{phase}</h3>" in page
    for title in (
        "Evolution: fitness",
        "Training, level 1",
        "What is there for a reason",
        "How it fires",
        "Formats: bytes",
        "Compression",
        "What the last image answers",
    ):
        assert title in page
    assert "success: " in page
    assert "280x" in page
    assert 'class="verdict good"' in page
    assert page.count("<circle") > 10


def test_a_run_that_failed_names_gate_value_limit_and_what_followed(tmp_path: Path) -> None:
    missed = Verdict("fits <it>", "fit/performance/bytes", 4096.0, 1024.0, False, "prune more")
    with Registry.open(tmp_path) as registry:
        run = registry.run_begin("small", "[run]", 0, "0")
        registry.phase_begin(run, "fit")
        registry.phase_end(run, PhaseResult(False, "fit", (), {}, {}, 1.0, (missed,), "gate fits <it>"))
        registry.run_end(run, False, "fit: gate fits <it>")
        text = report(registry, registry.find_run(run))
    assert Page(text).open == []
    assert "failed: fit: gate fits &lt;it&gt;" in text
    assert "4,096" in text
    assert "1,024" in text
    assert "missed: prune more" in text
    assert "success" not in re.sub(r"<style>.*?</style>", "", text)


def test_a_run_that_did_nothing_yet_has_a_report(tmp_path: Path) -> None:
    with Registry.open(tmp_path) as registry:
        run = registry.run_begin("new", "", 0, "0")
        text = report(registry, registry.find_run(run))
    assert Page(text).open == []
    assert text.count("not begun") == len(PHASES)


def test_front_and_hypervolume_of_a_search(tmp_path: Path) -> None:
    with Registry.open(tmp_path) as registry:
        run = registry.run_begin("s", "", 0, "0")
        for point in range(3):
            registry.metric(
                run, "fit",
                Metric(f"fit/search/front/{point}/error", 0.1 / (point + 1), "error"),
                Metric(f"fit/search/front/{point}/bytes", 1000 * (point + 1), "byte_count"),
                Metric(f"fit/search/generation/{point}/hypervolume", 0.5 + point / 10, "recorded"),
                Metric(f"fit/search/generation/{point}/random_hypervolume", 0.4, "recorded"),
            )  # fmt: skip
        numbers = Numbers(registry, run)
    front = report_charts.front(numbers)
    assert front.count("<circle") == 3
    assert "fit/search/front/2/error = 0.03333" in front
    assert report_charts.hypervolume(numbers).count("<circle") == 6
    assert report_charts.ladder(numbers, ()) == report_charts.chain(numbers) == report_charts.fitness(numbers) == ""


@pytest.mark.parametrize(("low", "high"), [(0, 1), (0.93, 0.9478), (5, 5), (0, 0), (-3e-9, 2e-9), (3684, 5056)])
def test_axes_have_round_ticks_around_their_values(low: float, high: float) -> None:
    made = svg.ticks(low, high)
    assert 2 <= len(made) <= 9
    assert made[0] <= low + 1e-12
    assert made[-1] >= high - 1e-12
    assert len(set(np.round(np.diff(made), 15))) <= 3


def test_the_report_can_be_seen(page: str, tmp_path: Path) -> None:
    program = next((name for name in BROWSERS if shutil.which(name)), None)
    if program is None:
        lack("no browser here (chromium-headless-shell)")
    image = pytest.importorskip("matplotlib.image")
    (tmp_path / "report.html").write_text(page)
    seen = {}
    for theme, dark in (("light", 1), ("dark", 0)):
        picture = tmp_path / f"{theme}.png"
        command = [
            str(program), "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            "--virtual-time-budget=3000", f"--blink-settings=preferredColorScheme={dark}",
            "--window-size=1200,3000", f"--screenshot={picture}", (tmp_path / "report.html").as_uri(),
        ]  # fmt: skip
        for _ in range(5):  # a busy machine's browser may take its picture before the first frame
            subprocess.run(command, capture_output=True, timeout=120, check=True)
            seen[theme] = image.imread(picture)[..., :3]
            if seen[theme].std() > 0.02:
                break
    light, dark_ = seen["light"], seen["dark"]
    assert light.mean() > 0.8
    assert dark_.mean() < 0.3
    blue = (light[..., 2] > 0.7) & (light[..., 0] < 0.3)
    assert blue.sum() > 3000  # bars and curves
    green = (light[..., 1] > 0.45) & (light[..., 0] < 0.2) & (light[..., 2] < 0.4)
    assert green.sum() > 300  # gates that passed
