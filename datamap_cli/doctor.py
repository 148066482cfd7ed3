"""What is installed and works, and how to mend what does not."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from typing import Literal

import plotly.graph_objects as go

from datamap_cli import plot
from datamap_cli.config import ModelConfig, PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.train import environment, pretrained

# In a process of its own: an installation that is broken may take the process with it.
_TRY_PADDLE = """
import json
from datamap_cli.train import environment
environment.load_paddle(whole=True)
import paddle, paddlenlp
assert float((paddle.ones([2, 2]) @ paddle.ones([2, 2])).sum()) == 8
gpus = paddle.device.cuda.device_count() if paddle.is_compiled_with_cuda() else 0
print(json.dumps({"paddle": paddle.__version__, "paddlenlp": paddlenlp.__version__, "gpus": gpus}))
"""
_SECONDS = 180


@dataclass(frozen=True)
class Check:
    """One thing the tool needs."""

    what: str
    state: Literal["works", "missing", "broken"]
    """missing: the tool does without, less well; broken: the main job cannot run."""
    found: str
    remedy: str = ""


def examine() -> Iterator[Check]:
    """Tries everything that training, summary and map need, one after the other; takes seconds."""
    yield Check("Python", "works", f"{platform.python_version()} on {platform.system()} {platform.machine()}")
    core = ("datamap-cli", "polars", "plotly", "kaleido")
    yield Check("packages", "works", ", ".join(f"{name} {metadata.version(name)}" for name in core))
    paddle = list(_paddle())
    yield from paddle
    if all(check.state == "works" for check in paddle):  # what loads models by name comes with it
        yield _model()
    # the page is made by Python alone; of the PNG, the browser and its fonts are the parts that can be missing
    sample = go.Figure(layout={"title": {"text": "数据地图"}})
    try:
        list(plot.images([sample], PlotConfig()))
        yield Check("PNG", "works", "drawn by the browser of this machine")
    except DatamapError as error:
        yield Check("PNG", "missing", "cannot be drawn; the HTML can", str(error))
    remedy = plot.missing_fonts(sample)
    yield Check("Chinese font", "missing" if remedy else "works", "none" if remedy else "installed", remedy or "")


def _paddle() -> Iterator[Check]:
    try:
        environment.require_paddle()
    except DatamapError as error:
        yield Check("Paddle", "broken", "not installed", str(error))
        return
    try:
        tried = subprocess.run(
            [sys.executable, "-c", _TRY_PADDLE], capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        yield Check("Paddle", "broken", f"does not start within {_SECONDS} s", _REINSTALL)
        return
    if tried.returncode != 0:
        last = (tried.stderr.strip().splitlines() or [f"exit code {tried.returncode}"])[-1]
        yield Check("Paddle", "broken", f"does not work: {last}", _REINSTALL)
        return
    found = json.loads(tried.stdout.strip().splitlines()[-1])
    yield Check("Paddle", "works", f"paddlepaddle {found['paddle']}, paddlenlp {found['paddlenlp']}")
    device = f"{found['gpus']} GPU" if found["gpus"] else "CPU"
    yield Check("device", "works", device)
    yield Check("settings", "works", "; ".join(_settings()))


def _settings() -> Iterator[str]:
    """What training sets in its environment on this machine, and what it finds set."""
    for by in ("datamap", "you"):
        named = [f"{setting.name}={setting.value}" for setting in environment.settings() if setting.by == by]
        if named:
            yield f"set by {by}: {', '.join(named)}"


_REINSTALL = "install the set that works together: pip install --force-reinstall 'datamap-cli[train]'"


def _model() -> Check:
    name = ModelConfig().name
    try:
        pretrained.check(name)
    except DatamapError as error:
        return Check("pretrained models", "missing", "cannot be loaded by name", str(error))
    return Check("pretrained models", "works", f"{name} can be loaded by name")
