"""model -> board: which image would replace which, a tick, the flasher of `espike flash`, and the board's answer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

import streamlit as st

from espike_sim.errors import EspikeError
from espike_sim.host import ImageView

from .. import flasher, transfer
from ..boards import Running, running
from ..forge.contracts import Model
from ..forge.provenance import SHORT
from ..forge.registry import Registry
from ..link import Hello, State
from .board import chosen, free, watches
from .common import table, told


@dataclass(frozen=True)
class Answer:
    """What a board said last; took: what flashing it took, where that was what it answered to."""

    hello: Hello
    state: State | None
    """None: it is empty."""
    took: str = ""


@st.cache_resource
def answers() -> dict[str, Answer]:
    """Answers by name or port, whoever asked."""
    return {}


def show(registry: Registry, model: Model) -> None:
    """The part of the model browser, where the model has an image."""
    if model.image is None:
        return
    st.subheader("Flash")
    target = chosen()
    if target is None:
        return
    kept = answers()
    if st.button("Ask the board"):
        kept.pop(target, None)
        with told(), st.spinner(f"{target} is asked"):
            kept[target] = ask(target)
    if target in kept:
        _offer(registry, model, registry.get(model.image), target, kept)
    else:
        st.caption("A board that answered can be flashed. One by name is a process of this machine, and is started.")


def _offer(registry: Registry, model: Model, image: bytes, target: str, kept: dict[str, Answer]) -> None:
    answer, crc = kept[target], transfer.image_crc(image)
    hello, network = answer.hello, ImageView(image).network_hash
    now = _row(hello.board, hello.network_hash, hello.image_crc, hello.image_bytes, held_by(registry, hello))
    would = _row("this model", network, crc, len(image), model.id)
    is_same = hello.has_image and hello.image_crc == crc
    table([now] if is_same else [now, would] if hello.has_image else [would])
    (st.success if answer.took else st.caption)(said(answer))
    if is_same:
        st.caption("The board runs this model's image.")
        return
    old = f"Replace image {hello.image_crc:08x} on {hello.board} by" if hello.has_image else f"Give {hello.board}"
    ends = ", and end its run" if hello.running else ""
    is_meant = st.checkbox(
        f"{old} image {crc:08x}, {len(image):,} bytes{ends}", key=f"flash {target} {hello.image_crc} {model.image}"
    )
    if st.button("Flash", type="primary", disabled=not is_meant) and is_meant:
        with told():
            with st.spinner(f"{hello.board} is flashed, and tries the image"):
                kept[target] = flash(target, image, hello)
            st.rerun()


def _row(where: str, network: str, crc: int, count: int, model: str) -> dict[str, Any]:
    return {"": where, "image CRC": f"{crc:08x}", "network": network[:SHORT], "bytes": count, "model": model}


def said(answer: Answer) -> str:
    """A board's answer in words."""
    hello, state, found = answer.hello, answer.state, ["empty"]
    if state is not None:
        found = [f"image {hello.image_crc:08x} in slot {hello.slot}, its trial {hello.outcome}",
                 f"{'runs' if state.running else 'at rest'} at burst {state.burst:,}"]  # fmt: skip
    found += ["it has a key"] * hello.has_key + [answer.took] * bool(answer.took)
    return f"{hello.board}: {'; '.join(found)}"


def held_by(registry: Registry, hello: Hello) -> str:
    """The newest model here whose image a board holds; empty: none."""
    for model in reversed(registry.models()) if hello.has_image else ():
        key = model.image if model.bytes == hello.image_bytes else None
        if key is not None and registry.has(key) and transfer.image_crc(registry.get(key)) == hello.image_crc:
            return model.id
    return ""


def ask(target: str) -> Answer:
    """What a board holds; one that is looked at is not disturbed. Raises: EspikeError where none answers."""
    watch = watches().get(target)
    if watch is not None and watch.alive and watch.hello is not None:
        return Answer(watch.hello, watch.state)
    with running(target) as board:
        return _answer(board, board.link.hello())


def flash(target: str, image: bytes, seen: Hello) -> Answer:
    """Flash a board as `espike flash` does, with the key that $ESPIKE_KEY names.

    Raises: EspikeError where it holds another image than was seen, or what the flasher raises.
    """
    begin = time.monotonic()
    with free(target), running(target) as board:
        if board.link.hello().image_crc != seen.image_crc:
            raise EspikeError(
                "holds another image than was said", where=f"board {seen.board}", do="ask the board again"
            )
        done = flasher.flash(board, image)
        took = f"{done.bytes_sent:,} bytes sent, {time.monotonic() - begin:.1f} s"
        return _answer(board, done.hello, took)


def _answer(board: Running, hello: Hello, took: str = "") -> Answer:
    return Answer(hello, board.link.state() if hello.has_image else None, took)
