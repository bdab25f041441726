"""flash; selftest; key: what a board keeps."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import click

from espike_sim import npzfile
from espike_sim.errors import EspikeError

from .. import board as board_module
from .. import flasher, network, transfer
from ..boards import Running, boards, running
from ..bring_up import bring_up
from .common import FILE, board_option, json_option, network_options, note, options, print_json, progress

key_option = click.option(
    "--key", type=FILE, help="File of the board's key, where it has one; default: what $ESPIKE_KEY names."
)


def _key(path: Path | None) -> bytes | None:
    return flasher.read_key(path) if path is not None else flasher.key_from_environment()


@click.command()
@click.argument("path", metavar="[NET]", type=FILE, required=False)
@board_option
@click.option("--port", metavar="PORT", help="Where the board (by name) is; firmware goes there first if none answers.")
@click.option("--firmware", "renews", is_flag=True, help="With --port: write the firmware in any case.")
@key_option
@click.option("--base", type=FILE, help="The image a transfer is the difference to (NET is a .spt).")
@click.option("--again", is_flag=True, help="Also where the board runs this image already.")
@network_options
@json_option
def flash(
    path: Path | None, board: str, port: str | None, renews: bool, key: Path | None, base: Path | None, again: bool,
    as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Put NET (an image, a transfer, or anything that packs into an image) into a board's flash.

    The board keeps the image that it runs until the new one has passed its self-test there. With --port and a board's
    name its firmware is written first where the port does not answer; without NET that is all.
    """
    if path is None and port is None:
        raise click.UsageError("give NET, or --port for the firmware alone")
    if renews and port is None:
        raise click.UsageError("--firmware goes with --port")
    data = _image_of(path, base, how) if path is not None else None
    begin = time.monotonic()
    with _target(board, port, renews) as target, progress("flashing") as step:
        if data is None:
            hello = target.link.hello()
            print_json(vars(hello)) if as_json else click.echo(f"{hello.board}: its firmware answers on {port}")
            return
        done = flasher.flash(target, data, key=_key(key), progress=step, again=again)
    seconds = time.monotonic() - begin
    hello = done.hello
    if as_json:
        took = {name: value for name, value in vars(done).items() if name != "hello"}
        print_json({**vars(hello), **took, "seconds": round(seconds, 3)})
        return
    how_sent = "was there already" if not done.payload_bytes else f"{done.bytes_sent:,} bytes sent"
    how_sent += ", the difference to the last" if done.difference else ""
    how_sent += f", went on at byte {done.resumed_at:,}" if done.resumed_at and done.payload_bytes else ""
    click.echo(
        f"{hello.board}: {hello.image_bytes:,} bytes of flash, {hello.ram_bytes:,} of {hello.arena_bytes:,} "
        f"bytes of RAM, network {hello.network_hash[:12]}, {seconds:.1f} s ({how_sent})"
    )


@contextmanager
def _target(board: str, port: str | None, renews: bool) -> Iterator[Running]:
    """The board by name or port, or by both: then with its firmware."""
    if port is None:
        with running(board) as target:
            yield target
        return
    known = boards()
    if board not in known:
        raise EspikeError(f"no board is called {board}", do="boards are " + ", ".join(known))
    with closing(bring_up(known[board], port, again=renews, tell=note)) as target:
        yield target


def _image_of(path: Path, base: Path | None, how: dict[str, Any]) -> bytes:
    if path.suffix == transfer.SUFFIX:
        return transfer.expand(_read(path), None if base is None else _read(base), where=str(path))
    if base is not None:
        raise click.UsageError(f"--base goes with a transfer (NET{transfer.SUFFIX})")
    return network.image_bytes(path, options(**how))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise EspikeError(f"cannot read: {error.strerror}", where=str(path)) from None


@click.command()
@board_option
@json_option
def selftest(board: str, as_json: bool) -> None:
    """Have a board run the self-test of its image: a stimulus, and the state hash that every engine must reach.

    The network is at burst 0 afterwards.
    """
    with running(board) as target:
        hello = board_module.attach(target)
        if not hello.has_image:
            raise EspikeError("the board is empty", where=f"board {hello.board}", do="flash it first")
        passed, text = flasher.self_test(target, hello)
    if as_json:
        print_json({"board": hello.board, "network": hello.network_hash, "passed": passed, "result": text})
    else:
        click.echo(f"{hello.board}: network {hello.network_hash[:12]}: {text}")
    if not passed:
        raise SystemExit(1)


@click.group()
def key() -> None:
    """Keys: a board that has one takes no image from who does not know it."""


@key.command()
@click.argument("file", type=FILE)
def new(file: Path) -> None:
    """Write a new random key to FILE."""
    if file.exists():
        raise EspikeError("exists already", where=str(file), do="keep it, or choose another name")
    npzfile.write_atomic(file, secrets.token_bytes(flasher.KEY_BYTES).hex().encode() + b"\n")
    file.chmod(0o600)
    click.echo(f"{file}: a new key; whoever has this file can write to the boards that you give it to")


@key.command(name="set")
@click.argument("file", type=FILE)
@board_option
@key_option
def set_verb(file: Path, board: str, key: Path | None) -> None:
    """Give a board the key in FILE; --key: the one that it has. Over a wire that nobody else listens to."""
    with running(board) as target:
        hello = flasher.set_key(target, flasher.read_key(file), _key(key))
    click.echo(f"{hello.board}: takes images only with this key from now on")


@key.command()
@board_option
@key_option
def clear(board: str, key: Path | None) -> None:
    """Take a board's key away again; --key: the one that it has."""
    with running(board) as target:
        hello = flasher.set_key(target, None, _key(key))
    click.echo(f"{hello.board}: takes images from anybody from now on")
