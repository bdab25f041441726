"""Real genomes, the whole way: grown, packed, and run alike by every engine; what `plan` says is what firmware says."""

from __future__ import annotations

import time
from contextlib import closing
from functools import cache
from pathlib import Path

import engines
import pytest
from genomes import REAL

from espike import genome as genomes
from espike.flasher import flash
from espike.image import pack
from espike.network import packed_view
from espike.plan import plan
from espike.quantize import quantize
from espike_sim import stimulus, stimulus_spec
from espike_sim.connectome import Connectome
from espike_sim.errors import EspikeError
from espike_sim.host import ImageView
from espike_sim.ledger import Ledger
from espike_sim.quantized import QuantizedConnectome
from espike_sim.reference import Reference

pytestmark = pytest.mark.skipif(not REAL.exists(), reason=f"{REAL} is absent")

ESSENTIAL = (
    "poisson:input:rate=0.001:amount=100:seed=1",
    "poisson:c__for:rate=0.2:amount=2",
    "power:c__bac:amount=0.5",
)
PONG = ("poisson:*:rate=0.002:amount=100:seed=2",)
PRECISIONS = ("int8", "fp32")


@cache
def grown(name: str) -> Connectome:
    return genomes.develop(genomes.read(REAL / f"{name}.json"))


@cache
def expected(
    name: str, precision: str, specs: tuple[str, ...], bursts: int
) -> tuple[QuantizedConnectome, stimulus.CodedStimulus, Ledger]:
    q = quantize(grown(name), precision)
    coded = stimulus.code(stimulus_spec.parse(specs, q, bursts), q)
    return q, coded, Reference(q).run(bursts, coded)


RUNS = {
    # genome: stimulus, bursts, neurons and synapses, least spikes
    "essential_genome": (ESSENTIAL, 1000, (55_359, 1552), 10_000),
    "community_pong": (PONG, 100, (56_556, 442_380), 5_000),
}


@pytest.mark.parametrize("name", engines.NAMES[1:])
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("genome", RUNS)
def test_real_genomes_run_alike(genome: str, precision: str, name: str) -> None:
    specs, bursts, size, least = RUNS[genome]
    q, coded, ledger = expected(genome, precision, specs, bursts)
    assert (q.neurons, q.synapses) == size
    assert ledger.spikes > least
    with closing(engines.make(name, q)) as engine:
        engines.assert_same(engine.run(bursts, coded), ledger)


def test_vision_genome_grows_and_packs_in_time() -> None:
    begin = time.monotonic()
    connectome = genomes.develop(genomes.read(REAL / "vision_genome.json"))
    packed = pack(quantize(connectome, "int8"))
    seconds = time.monotonic() - begin
    assert (connectome.neurons, connectome.synapses) == (204_863, 2064)
    assert ImageView(packed.data).synapses == 2064
    assert seconds < 5


@pytest.mark.parametrize("name", engines.BOARDS)
@pytest.mark.parametrize("path", sorted(REAL.glob("*.json")), ids=lambda path: path.stem)
def test_plan_is_what_the_firmware_reports(path: Path, name: str) -> None:
    packed, view = packed_view(quantize(grown(path.stem), "int8"))
    made = plan(packed, view, [engines.board_file(name)])
    assert made.fits[0].fits or name in engines.CHIPS
    if not made.fits[0].fits:
        with pytest.raises(EspikeError, match=f"the network needs {made.ram_bytes} bytes of RAM"):
            flash(engines.board(name), packed.data)
        return
    hello = flash(engines.board(name), packed.data).hello
    assert (hello.image_bytes, hello.ram_bytes) == (made.flash_bytes, made.ram_bytes)
    assert (hello.neurons, hello.synapses, hello.network_hash) == (made.neurons, made.synapses, view.network_hash)
