"""dashboard: the forge's runs and this machine's boards, in a browser."""

from __future__ import annotations

import importlib.util
import os
import socket
import subprocess
import sys
import time
import webbrowser
from contextlib import suppress
from pathlib import Path

import click

from espike_sim.errors import EspikeError

from .common import note
from .forge_common import HOME

ADDRESS = "127.0.0.1"
NEEDED = ("streamlit", "plotly", "msgspec")
START_S = 60.0
OPTIONS = {
    "server.address": ADDRESS, "server.headless": "true", "server.fileWatcherType": "none", "server.runOnSave": "false",
    "browser.gatherUsageStats": "false", "client.toolbarMode": "minimal", "global.developmentMode": "false",
}  # fmt: skip


@click.command(name="dashboard")
@HOME
@click.option("--port", type=click.IntRange(0, 65535), default=8501, show_default=True, help="0: a free one.")
@click.option("--no-browser", is_flag=True, help="Only print the address.")
def dashboard_verb(home: Path | None, port: int, no_browser: bool) -> None:
    """Show runs, models, configurations and boards in a browser, on this machine alone, until Ctrl-C."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise EspikeError(f"needs {', '.join(missing)}", where="dashboard", do="pip install 'espike[dashboard]'")
    port = _free(port)
    address = f"http://{ADDRESS}:{port}"
    process = subprocess.Popen(_command(port), env=_environment(home), stdout=sys.stderr, start_new_session=True)
    try:
        _await(process, port)
        click.echo(address)
        sys.stdout.flush()
        note("Ctrl-C ends it")
        if not no_browser:
            webbrowser.open(address)
        process.wait()
    except KeyboardInterrupt:
        return
    finally:
        _end(process)
    if process.returncode:
        raise EspikeError(f"streamlit ended with {process.returncode}", where="dashboard")


def _command(port: int) -> list[str]:
    script = Path(__file__).parents[1] / "dashboard" / "app.py"
    options = [f"--{name}={value}" for name, value in {**OPTIONS, "server.port": port}.items()]
    return [sys.executable, "-m", "streamlit", "run", str(script), *options]


def _environment(home: Path | None) -> dict[str, str]:
    chosen = {"ESPIKE_FORGE_HOME": str(home.absolute())} if home is not None else {}
    return {name: value for name, value in os.environ.items() if name != "ESPIKE_FORGE_HOME"} | chosen


def _free(port: int) -> int:
    """The port, or a free one for 0. Raises: EspikeError where it is taken."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            one.bind((ADDRESS, port))
        except OSError as error:
            raise EspikeError(f"cannot listen ({error.strerror})", where=f"port {port}", do="--port 0") from None
        return int(one.getsockname()[1])


def _await(process: subprocess.Popen[bytes], port: int) -> None:
    """Until the server takes connections. Raises: EspikeError where it ended, or does not."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise EspikeError(f"streamlit ended with {process.returncode}", where="dashboard")
        with suppress(OSError), socket.create_connection((ADDRESS, port), 1):
            return
        time.sleep(0.1)
    raise EspikeError(f"streamlit does not listen after {START_S:.0f} s", where="dashboard")


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
