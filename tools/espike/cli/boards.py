"""boards; engines."""

from __future__ import annotations

import sys
from contextlib import suppress
from typing import Any

import click

from espike_sim.errors import EspikeError

from .. import engines, ports
from ..boards import boards, home, serve
from .common import json_option, note, print_json, print_table


@click.command(name="boards")
@click.argument("name", required=False, metavar="[NAME|scan]")
@click.argument("given", nargs=-1, metavar="[PORT]...")
@json_option
def boards_verb(name: str | None, given: tuple[str, ...], as_json: bool) -> None:
    """List the boards; with NAME, start it and keep it running until Ctrl-C, printing its port.

    With `scan`, list the serial ports, or the PORTs, and ask what is there.
    """
    if name == "scan":
        _scan(given, as_json)
    elif given:
        raise click.UsageError("ports go with scan")
    elif name is not None:
        _keep_running(name, as_json)
    else:
        _list(as_json)


@click.command(name="engines")
@json_option
def engines_verb(as_json: bool) -> None:
    """List what can run a network: the precisions of each engine, and why it cannot run here."""
    found = engines.known()
    if as_json:
        print_json({e.name: {"title": e.title, "precisions": e.precisions, "missing": e.reason} for e in found})
        return
    rows = [(e.name, " ".join(e.precisions), e.reason or "ready", e.title) for e in found]
    print_table("engines", ("name", "precisions", "state", "what"), rows)


def _list(as_json: bool) -> None:
    found = boards()
    if as_json:
        print_json(
            {b.name: {**b.data, "missing": b.missing, "home": home() / "boards" / b.name} for b in found.values()}
        )
        return
    rows = [(b.name, b.ram_bytes, b.flash_bytes, b.state, b.title) for b in found.values()]
    print_table("boards", ("name", "RAM", "flash", "state", "what"), rows)


def _keep_running(name: str, as_json: bool) -> None:
    known = boards()
    if name not in known:
        raise EspikeError(f"no board is called {name}", do="boards are " + ", ".join(known))
    with serve(known[name]) as (port, process):
        if as_json:
            print_json({"board": name, "port": port})
        else:
            click.echo(port)
        sys.stdout.flush()
        with suppress(KeyboardInterrupt):
            process.wait()


def _scan(given: tuple[str, ...], as_json: bool) -> None:
    found = list(ports.scan(boards().values(), given))
    if as_json:
        print_json([_as_json(one) for one in found])
        return
    if not found:
        note("note: no USB serial port here; plug a board in, or name a port: espike boards scan PORT")
        return
    rows = [(one.port.name, _usb(one.port), _who(one), _what(one)) for one in found]
    print_table("ports", ("port", "USB", "board", "what"), rows)


def _usb(port: ports.Port) -> str:
    return "-" if port.usb_id is None else f"{port.usb_id[0]:04X}:{port.usb_id[1]:04X}"


def _who(one: ports.Found) -> str:
    """The board's own name, else what its USB id allows."""
    return one.hello.board if one.hello is not None else ", ".join(f"{name}?" for name in one.boards) or "-"


def _what(one: ports.Found) -> str:
    if one.hello is None:
        return f"{one.port.title}: {one.trouble}" if one.port.title else one.trouble
    if not one.hello.has_image:
        return "empty"
    doing = "runs" if one.hello.running else "holds"
    return f"{doing} {one.hello.neurons:,} neurons, {one.hello.synapses:,} synapses, {one.hello.precision}"


def _as_json(one: ports.Found) -> dict[str, Any]:
    return {
        "port": one.port.name,
        "title": one.port.title,
        "usb_id": one.port.usb_id,
        "boards": one.boards,
        "hello": vars(one.hello) if one.hello is not None else None,
        "trouble": one.trouble,
    }
