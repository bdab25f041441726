"""export c, export platformio, export transfer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from espike_sim import npzfile, stimulus_spec
from espike_sim import stimulus as stimuli_module
from espike_sim.engine import CodedStimulus
from espike_sim.errors import EspikeError

from .. import export as exports
from .. import network, transfer
from ..board_files import Board
from ..boards import boards
from ..program import Program, program
from .common import FILE, bursts_option, json_option, network_options, options, print_json, stimulus_option
from .model import nir_verb

force_option = click.option("--force", is_flag=True, help="Write into a folder that is not empty, too.")


@click.group()
def export() -> None:
    """A network for elsewhere: source code that builds without espike, or what goes over a wire."""


@export.command(name="c")
@click.argument("path", metavar="NET", type=FILE)
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("-b", "--board", metavar="BOARD", help="For a bare-metal board; default: this machine.")
@bursts_option
@stimulus_option
@force_option
@network_options
@json_option
def c_verb(
    path: Path, folder: Path, board: str | None, bursts: int, stimuli: tuple[str, ...], force: bool, as_json: bool,
    **how: Any,
) -> None:  # fmt: skip
    """Write NET, the core and a program that runs it for some bursts to DIR, with a Makefile.

    It prints who fires and the state hash, which has to be the host's.
    """
    made = _program(path, bursts, stimuli, how)
    _write(made, exports.c_files(made, _known(board)), folder, force, as_json, "make -C {} run")


@export.command(name="platformio")
@click.argument("path", metavar="NET", type=FILE)
@click.argument("folder", metavar="DIR", type=FILE)
@click.option("-b", "--board", metavar="BOARD", required=True, help="A board by name.")
@bursts_option
@stimulus_option
@force_option
@network_options
@json_option
def platformio_verb(
    path: Path, folder: Path, board: str, bursts: int, stimuli: tuple[str, ...], force: bool, as_json: bool, **how: Any
) -> None:
    """Write NET, the core and a program that runs it to DIR as a PlatformIO project.

    Bare-metal boards come with their platform and build without a registry; others use Espressif's SDK.
    """
    made = _program(path, bursts, stimuli, how)
    known = _known(board)
    assert known is not None
    _write(made, exports.platformio_files(made, known), folder, force, as_json, "pio run -d {} -t upload")


@export.command(name="transfer")
@click.argument("path", metavar="NET", type=FILE)
@click.option("-o", "--output", required=True, type=FILE, help="Transfer to write (.spt).")
@click.option("--base", type=FILE, help="Image (.spk) that the board runs: write the difference to it.")
@network_options
@json_option
def transfer_verb(path: Path, output: Path, base: Path | None, as_json: bool, **how: Any) -> None:
    """Write NET as a board takes it over its wire (docs/transfer.md); espike flash takes such a file, too."""
    if output.suffix != transfer.SUFFIX:
        raise EspikeError(f"a transfer's file ends in {transfer.SUFFIX}", where=str(output))
    data, old = network.image_bytes(path, options(**how)), None
    if base is not None:
        network.load_image(base)
        old = base.read_bytes()
    coded = transfer.encode(data, old)
    npzfile.write_atomic(output, coded)
    if as_json:
        print_json({"transfer": output, "bytes": len(coded), "image_bytes": len(data), "difference": old is not None})
        return
    click.echo(f"{output}: {len(coded):,} bytes, of an image of {len(data):,}")


def _known(name: str | None) -> Board | None:
    if name is None:
        return None
    known = boards()
    if name not in known:
        raise EspikeError(f"no board is called {name}", do="boards are " + ", ".join(known))
    return known[name]


def _program(path: Path, bursts: int, stimuli: tuple[str, ...], how: dict[str, Any]) -> Program:
    coded: CodedStimulus | None = None
    if network.kind_of(path) == "image":
        network.check_options(path, "image", options(**how))
        view = network.load_image(path)
        net: stimuli_module.CodedNetwork = network.read_network(view.meta, view.precision, str(path))
        data = path.read_bytes()
    else:
        quantized = network.load_quantized(path, options(**how))
        net, data = quantized, network.packed_view(quantized)[0].data
    if stimuli:
        coded = stimuli_module.code(stimulus_spec.parse(stimuli, net, bursts), net)
    return program(data, bursts, coded)


def _write(made: Program, files: exports.Files, folder: Path, force: bool, as_json: bool, then: str) -> None:
    written = exports.write(files, folder, force=force)
    text = "".join(f"{word:08x}" for word in made.hash)
    if as_json:
        print_json({"folder": folder, "files": written, "bursts": made.bursts, "hash": text})
        return
    click.echo(f"{folder}: {len(written)} files; {then.format(folder)} ends in hash {text}")


export.add_command(nir_verb)
