"""arguments -> what the command does with them: in this process, which is quick, or in one of its own."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import sys
import warnings
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from espike.cli import main


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The JSON that it printed last."""
        assert self.code == 0, self.err
        return json.loads(self.out.splitlines()[-1])

    @property
    def errors(self) -> list[str]:
        """Lines on stderr that are no notes."""
        return [line for line in self.err.splitlines() if not line.startswith(("note:", "recording "))]


def run(*arguments: str | Path, cwd: Path) -> Done:
    """Run the command in a folder, in this process; a warning of numpy's is an error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    out, err = io.StringIO(), io.StringIO()
    try:
        with chdir(cwd), redirect_stdout(out), redirect_stderr(err), warnings.catch_warnings():
            for kind in (RuntimeWarning, UserWarning, DeprecationWarning):
                warnings.simplefilter("error", kind)
            main(list(map(str, arguments)))
    except SystemExit as end:
        code = end.code
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert isinstance(code, int)
    return Done(code, out.getvalue(), err.getvalue())


def start(*arguments: str | Path, cwd: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own."""
    line = [sys.executable, "-m", "espike", *map(str, arguments)]
    return subprocess.Popen(line, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
