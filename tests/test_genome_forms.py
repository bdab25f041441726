"""One genome in every form of file grows into one connectome; the specification's own form and its mappings."""

from __future__ import annotations

import base64
import copy
import json
from pathlib import Path
from typing import Any

import command
import numpy as np
import pytest
from genomes import REAL, area, genome
from test_genome_read import SPECIFICATION

from espike.genome import check, develop, from_json, read
from espike.genome.flat import KEY
from espike.genome.hierarchical import PROPERTIES, TRIPLES, readable_id
from espike.image import pack
from espike.quantize import quantize
from espike_sim.errors import EspikeError

EXAMPLES = sorted((Path(__file__).parent.parent / "examples" / "genomes").glob("*.json"))
FLAT = [*EXAMPLES, *(REAL / f"{name}_genome.json" for name in ("essential", "vision") if REAL.is_dir())]


def hierarchical(flat: dict[str, Any]) -> dict[str, Any]:
    """A flat genome with its genes as named properties."""
    words = {gene: name for name, gene in reversed(PROPERTIES.items())}
    blueprint: dict[str, Any] = {}
    for key, value in flat["blueprint"].items():
        match = KEY.fullmatch(key)
        if match is None:
            continue
        properties = blueprint.setdefault(match["area"], {})
        for name, genes in TRIPLES.items():
            if match["gene"] in genes:
                properties.setdefault(name, [0] * len(genes))[genes.index(match["gene"])] = value
        if match["gene"] in words:
            properties[words[match["gene"]]] = value
    return flat | {"version": "2.1", "blueprint": blueprint}


def in_base64(area_id: str) -> str:
    return base64.b64encode(area_id.ljust(8, "_").encode()).decode()


def version_3(flat: dict[str, Any]) -> dict[str, Any]:
    """A flat genome as FEAGI's release writes it: ids of 8 bytes, in base64."""
    blueprint: dict[str, Any] = {}
    for key, value in flat["blueprint"].items():
        match = KEY.fullmatch(key)
        if match is None:
            continue
        if match["gene"] == "dstmap":
            value = {in_base64(target): rules for target, rules in value.items()}
        blueprint[key.replace(match["area"], in_base64(match["area"]), 1)] = value
    more = {"genome_schema_version": 7, "brain_regions_root": "root", "classifiers": {}, "modulators": {}}
    return flat | more | {"version": "3.0", "blueprint": blueprint}


@pytest.mark.parametrize("path", FLAT, ids=lambda path: path.stem)
def test_every_form_grows_the_same(path: Path) -> None:
    flat = json.loads(path.read_text())
    expected = develop(from_json(flat))
    for form in (hierarchical, version_3):
        found = develop(from_json(form(flat)))
        assert (found.neurons, found.synapses) == (expected.neurons, expected.synapses)
        for name in ("threshold", "limit", "leak", "refractory", "fire_limit", "snooze", "excitability", "weight"):
            assert np.array_equal(getattr(found, name), getattr(expected, name)), name
        assert np.array_equal(found.source, expected.source)
        assert np.array_equal(found.target, expected.target)
        ids = [a.id.rstrip("_") for a in found.areas]
        assert ids == [a.id.rstrip("_") for a in expected.areas]


@pytest.mark.parametrize("nested", ["neuron_params", "cortical_areas"])
def test_hierarchical_areas_may_be_nested(nested: str) -> None:
    made = hierarchical(genome(area("a_____", (2, 1, 1), leak_c=0.97, fire_t=5, mp_acc=True)))
    if nested == "neuron_params":
        properties = made["blueprint"]["a_____"]
        properties["neuron_params"] = {"leak_coefficient": properties.pop("leak_coefficient")}
    else:
        made["blueprint"] = {"cortical_areas": made["blueprint"]}
    found = from_json(made).areas[0]
    assert (found.leak, found.threshold, found.accumulate, found.count) == (0.97, 5, True, 2)


def test_what_a_hierarchical_genome_holds_beside_areas_is_said(tmp_path: Path) -> None:
    made = hierarchical(genome(area("a_____", (2, 1, 1))))
    made["blueprint"] |= {"lost": 1}
    made["blueprint"]["a_____"] |= {"firing_treshold": 5, "visualization": True}
    path = tmp_path / "g.json"
    path.write_text(json.dumps(made))
    texts = [finding.text for finding in check(path)]
    assert "area a_____: property firing_treshold 5 is not used" in texts
    assert "key lost belongs to no area" in texts
    assert not any("visualization" in text for text in texts)


@pytest.mark.parametrize(
    ("text", "read_as"),
    [
        (base64.b64encode(b"___power").decode(), "___power"),
        (base64.b64encode(b"isvi\x09\x00\x00\x01").decode(), "isvi-09000001"),
        (base64.b64encode(b"\xff" * 8).decode(), "-ffffffffffffffff"),
        ("c__lef", "c__lef"),
        ("Y19fbGVm", "Y19fbGVm"),
    ],
)
def test_readable_ids(text: str, read_as: str) -> None:
    assert readable_id(text) == read_as


def test_the_specifications_own_example_develops_10000_neurons(tmp_path: Path) -> None:
    (tmp_path / "spec.json").write_text(json.dumps(SPECIFICATION))
    g = read(tmp_path / "spec.json")
    assert (g.quantization.precision, g.quantization.strict_bounds) == ("int8", True)
    c = develop(g)
    assert c.neurons == 10_003
    assert [(a.id, a.count) for a in c.areas][-1] == ("visual_cortex", 10_000)
    assert (c.threshold[-1], round(float(c.leak[-1]), 6)) == (50.0, 0.03)
    assert quantize(c).precision == "int8"
    done = command.run("pack", "spec.json", "-o", "spec.spk", "--json", cwd=tmp_path)
    assert done.json["neurons"] == 10_003


@pytest.mark.skipif(not REAL.is_dir(), reason=f"no {REAL}")
@pytest.mark.parametrize("name", ["example_int8_genome", "example_fp32_genome"])
def test_feagis_example_genomes_grow(name: str) -> None:
    c = develop(read(REAL / f"{name}.json"))
    assert (c.neurons, c.synapses, c.precision) == (153, 5000, name.split("_")[1])


def with_mapping(**mapping: Any) -> dict[str, Any]:
    target = {"neuron_count": 40, "parameters": {"threshold": 2.0}}
    source = {"neuron_count": 30, "cortical_mapping_dstn": {"b": {"cortical_mapping_type": "random", **mapping}}}
    return {"genome_version": "2.0", "blueprint": {"cortical_areas": {"a": source, "b": target}}}


@pytest.mark.parametrize("fan_out", [1, 7, 19, 20, 21, 39, 40, 90])
def test_random_mappings(fan_out: int) -> None:
    c = develop(from_json(with_mapping(fan_out=fan_out, seed=3, weights=[-1, 3])))
    each = min(fan_out, 40)
    assert np.array_equal(np.bincount(c.source, minlength=c.neurons)[3:33], np.full(30, each))
    pairs = c.source.astype(np.int64) << 32 | c.target
    assert len(np.unique(pairs)) == c.synapses == 30 * each
    assert -1 <= c.weight.min() < 0.5 < c.weight.max() <= 3 or fan_out == 1
    if fan_out == 19:
        counts = np.bincount(c.target - 33, minlength=40)
        assert counts.min() > 4
        assert counts.max() < 27


def test_random_mappings_are_drawn_from_their_seed() -> None:
    def targets(growth_seed: int, **mapping: Any) -> list[int]:
        return develop(from_json(with_mapping(fan_out=5, **mapping)), seed=growth_seed).target.tolist()  # type: ignore[no-any-return]

    assert targets(1, seed=3) == targets(2, seed=3) != targets(1, seed=4)
    assert targets(1) == targets(1) != targets(2)
    c = develop(from_json(with_mapping(fan_out=5, weights=0.25)))
    assert set(c.weight.tolist()) == {0.25}
    c = develop(from_json(with_mapping(fan_out=5, postsynaptic_current=10)))
    assert set(c.weight.tolist()) == {2.0}


@pytest.mark.parametrize(
    ("mapping", "says"),
    [
        ({}, "has no fan_out"),
        ({"fan_out": 0}, "fan_out: 0 is out of range"),
        ({"fan_out": 2, "weights": [3, 1]}, "is no range"),
        ({"fan_out": 2, "weights": "heavy"}, "weights: is text"),
        ({"fan_out": 2, "seed": -1}, "seed: -1 is out of range"),
    ],
)
def test_random_mappings_are_checked(mapping: dict[str, Any], says: str) -> None:
    with pytest.raises(EspikeError, match=says):
        from_json(with_mapping(**mapping))


SPELLINGS = [
    {"quantization": {"precision": "int8"}}, {"quantization": {"precision": "INT8"}}, {"quantization": "i8"},
    {"quantization_precision": "int8"}, {"quantization_precision": "s8"},
    {"quantization": {"precision": "int8"}, "quantization_precision": "i8"},
]  # fmt: skip


def test_every_spelling_of_a_precision_leads_to_one_image() -> None:
    flat = json.loads(EXAMPLES[0].read_text())
    images = set()
    for spelling in SPELLINGS:
        for form in (copy.deepcopy, hierarchical):
            images.add(pack(quantize(develop(from_json(form(flat) | {"physiology": spelling})))).data)
    assert len(images) == 1


@pytest.mark.parametrize(
    ("physiology", "field"),
    [
        ({"quantization": {"precision": "int4"}}, "physiology.quantization.precision"),
        ({"quantization": "int4"}, "physiology.quantization"),
        ({"quantization_precision": 8}, "physiology.quantization_precision"),
        ({"quantization": {"precision": "fp32"}, "quantization_precision": "int8"}, "physiology.quantization"),
        ({"quantization": {"ranges": {"threshold_max": "x"}}}, "physiology.quantization.ranges.threshold_max"),
        ({"quantization": {"validation": {"strict_bounds": 7}}}, "validation.strict_bounds"),
    ],
)
def test_a_bad_value_is_one_line_that_names_the_field(physiology: dict[str, Any], field: str, tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text(
        json.dumps(genome(area("a_____", (2, 1, 1)), physiology=None) | {"physiology": physiology})
    )
    done = command.run("pack", "g.json", cwd=tmp_path)
    assert (done.code, len(done.err.splitlines())) == (1, 1)
    assert field in done.err
