"""registry -> models: search, record, lineage, files whose hashes are the registry's, answers on the host."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import streamlit as st

from ..forge import catalogue, contracts, models, views
from ..forge.contracts import PHASES, Model
from ..forge.provenance import shown
from ..forge.registry import Registry
from ..forge.statistics import wilson
from . import flashing
from .common import plot, table
from .figures import confusion


def show(folder: Path) -> None:
    """The page."""
    with Registry.open(folder) as registry:
        left, right = st.columns([3, 1])
        text = left.text_input("Search", placeholder="a part of an id, name, tag, board or format")
        phase = right.selectbox("Phase", ["all", *PHASES])
        found = matching(registry.models(phase=None if phase == "all" else phase), text)
        if not found:
            st.info("No such model." if text or phase != "all" else "No model yet: a run makes them.")
            return
        active = {model.id for model in registry.promoted()}
        table(model_rows(found, active))
        model = st.selectbox("Model", found[::-1], format_func=lambda model: model.id)
        _files(folder, registry, model)
        _answers(registry, model)
        flashing.show(registry, model)
        _record(registry, model)


def _files(folder: Path, registry: Registry, model: Model) -> None:
    columns = st.columns(3)
    for column, (what, (name, data)) in zip(columns, files(registry, model).items(), strict=False):
        column.download_button(f"{what}, {len(data):,} bytes", data, name, "application/octet-stream")
    data = _zip(str(folder), model.id)
    columns[-1].download_button("all of it as a zip", data, f"{model.id}.zip", "application/zip")
    st.caption(f"SHA-256 of the image: {model.image or 'none yet'}; of the master: {model.master or 'none'}")


def _record(registry: Registry, model: Model) -> None:
    found = views.model_details(registry, model)
    metrics, lineage = found.pop("metrics"), found.pop("lineage")
    lineage.sort(key=lambda pair: PHASES.index(pair[0].partition("_")[0]))
    table([{"model": child, "from": parent} for child, parent in lineage], "lineage")
    with st.expander("Metrics"):
        table([{"metric": name, "value": shown(value), "unit": catalogue.match(name).unit, "meaning":
                catalogue.match(name).meaning} for name, value in metrics.items()])  # fmt: skip
    with st.expander("Record"):
        st.json(contracts.write(found).decode())


def _answers(registry: Registry, model: Model) -> None:
    if not st.button("Simulate on the host", disabled=model.image is None, key=f"simulate {model.id}"):
        return
    with st.spinner("The test items are presented"):
        trial = models.trial(registry, model)
    bounds = wilson(trial.right, trial.items)
    st.success(f"{trial.right} of {trial.items} test items right ({trial.accuracy:.1%}, 95 % interval "
               f"{bounds.low:.1%} to {bounds.high:.1%}), {trial.bursts_mean:.1f} bursts each")  # fmt: skip
    plot([confusion(trial)], "trial ")


def matching(found: Sequence[Model], text: str) -> list[Model]:
    """Models that have every word of a text in their id, name, tags, board or formats."""
    words = text.lower().split()
    said = {model.id: " ".join((model.id, model.board, *model.tags, *model.formats)).lower() for model in found}
    return [model for model in found if all(word in said[model.id] for word in words)]


def model_rows(found: Sequence[Model], active: set[str]) -> list[dict[str, Any]]:
    """Models as a table."""
    return [{"model": m.id, "phase": m.phase, "neurons": m.neurons, "synapses": m.synapses, "bytes": m.bytes,
             "bytes per synapse": round(m.bytes_per_synapse, 3), "formats": " ".join(m.formats),
             "active": m.id in active} for m in found]  # fmt: skip


def files(registry: Registry, model: Model) -> dict[str, tuple[str, bytes]]:
    """A model's objects: file name and bytes, checked against the hash. Raises: EspikeError where one is damaged."""
    keys = {"image": (".spk", model.image), "master": (".npz", model.master)}
    return {what: (model.id + suffix, registry.get(key)) for what, (suffix, key) in keys.items() if key is not None}


@st.cache_data(max_entries=8, show_spinner=False)
def _zip(folder: str, id: str) -> bytes:
    with Registry.open(folder) as registry:
        return zipped(registry, id)


def zipped(registry: Registry, id: str) -> bytes:
    """What `espike forge export` writes."""
    with tempfile.TemporaryDirectory(prefix="espike-") as place:
        path = Path(place) / "model.zip"
        registry.export_model(id, path)
        return path.read_bytes()
