"""classify."""

from __future__ import annotations

import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import click
import numpy as np

from espike_sim.errors import EspikeError

from .. import classify as classifying
from .. import engines, network, presentations
from ..train.picture import matrix_picture
from .common import FILE, flash_option, json_option, network_options, note, options, print_json, print_table, progress


@click.command()
@click.argument("path", metavar="NET", type=FILE)
@click.argument("data", metavar="DATA", type=FILE)
@click.option(
    "-e", "--engine", "names", multiple=True, metavar="ENGINE", default=("host",), show_default=True,
    help="reference, host, or a board; of several, the first is reported and all must answer alike.",
)  # fmt: skip
@click.option("--set", "which", type=click.Choice(["test", "train", "all"]), default="test", show_default=True)
@click.option("--limit", type=click.IntRange(1), help="Only so many presentations.")
@click.option("--plot", type=FILE, help="Write the confusion matrix as a picture.")
@flash_option
@network_options
@json_option
def classify(
    path: Path, data: Path, names: tuple[str, ...], which: str, limit: int | None, plot: Path | None, put: bool,
    as_json: bool, **how: Any,
) -> None:  # fmt: skip
    """Present the labelled samples of DATA to NET, a network with senses, and count its right answers.

    DATA is what `espike train` takes (docs/train.md). Exits with 1 where engines differ in an answer, in a value that
    the decoder reads, or in the state hash after any presentation.
    """
    quantized = network.load_quantized(path, options(**how))
    senses = quantized.senses
    if senses is None:
        do = "espike train makes networks with senses, and gives them to others with --from and --encoder"
        raise EspikeError("the network has no senses", where=str(path), do=do)
    shown = presentations.load(data, quantized, which)
    raw, label = shown.raw[:limit], shown.labels
    if label is None:
        raise EspikeError("the network answers with numbers, not with classes", where=str(path))
    found = []
    for name in names:
        with closing(engines.make(name, quantized, put=put)) as engine, progress(f"classify on {name}") as step:
            found.append(classifying.answers(engine, quantized, raw, step))
    differs = next((text for other in found[1:] if (text := classifying.difference(found[0], other))), "")
    first = found[0]
    names_of = shown.names
    matrix = classifying.confusion(label[:limit], first.answer, len(names_of))
    right = int(np.trace(matrix[:, :-1]))
    if plot is not None:
        matrix_picture(matrix[:, :-1], tuple(names_of), plot, title=f"{path.name}, {right} of {len(raw)} right")
    if as_json:
        print_json({
            "network": quantized.hash, "set": which, "presentations": len(raw), "right": right,
            "accuracy": right / max(1, len(raw)), "labels": names_of, "confusion": matrix, "answers": first.answer,
            "engines": [
                {"engine": f.engine, "seconds": round(f.seconds, 3), "board_us_per_burst": f.board_us_per_burst,
                 "bursts_mean": float(f.bursts.mean()) if len(raw) else None} for f in found
            ],
            "difference": differs or None, "picture": plot,
        })  # fmt: skip
    else:
        head = ("is \\ taken for", *names_of, "none")
        print_table("confusion", head, [(names_of[i], *map(int, row)) for i, row in enumerate(matrix)])
        for each in found:
            us = each.board_us_per_burst
            timed = f", {us:,.1f} us per burst by its clock" if us is not None else ""
            bursts = f"{each.bursts.mean():.1f} of " if np.any(each.bursts < senses.bursts) else ""
            what = f"{len(raw):,} presentations of {bursts}{senses.bursts} bursts in {each.seconds:.1f} s"
            note(f"{each.engine}: {what}{timed}")
        click.echo(f"{right} of {len(raw)} right, {100 * right / max(1, len(raw)):.1f} %")
        if len(found) > 1 and not differs:
            click.echo(f"{', '.join(f.engine for f in found)}: equal answers, values and state hashes")
    if differs:
        note(f"error: {differs}")
        sys.exit(1)
