"""The map as a PNG, drawn by the Chromium or Chrome of the machine."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import re
import subprocess
from typing import Any

import kaleido
from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError

from datamap_cli.errors import DatamapError
from datamap_cli.plot import look
from datamap_cli.plot.figure import DataMap

_REMEDY = "on Debian or Ubuntu `apt-get install chromium`, elsewhere `plotly_get_chrome`, or set BROWSER_PATH"
_SECONDS, _STARTING_SECONDS, _CLOSING_SECONDS = 600, 60, 10


def image(data_map: DataMap) -> bytes:
    """The map as PNG, look.WIDTH × look.HEIGHT at look.SCALE. Raises DatamapError where no browser works."""
    for name in ("kaleido", "choreographer", "browser_proc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    figure = data_map.figure.to_dict()
    for trace in figure["data"]:
        trace.pop("customdata", None)  # the texts on hover, most of the bytes
    browser = os.environ.get("BROWSER_PATH")
    try:
        return asyncio.run(_render(figure))
    except ChromeNotFoundError:
        found = f", and there is none at BROWSER_PATH={browser}" if browser else ""
        raise DatamapError(f"the PNG needs Chromium or Chrome{found}: {_REMEDY}") from None
    except (BrowserFailedError, BrowserClosedError):
        which = f" at BROWSER_PATH={browser}" if browser else ""
        raise DatamapError(f"the PNG needs Chromium or Chrome, and that{which} does not work: {_REMEDY}") from None
    except asyncio.TimeoutError:
        raise DatamapError(f"the PNG was not drawn within {_SECONDS} s; the HTML shows the same map") from None


async def _render(figure: dict[str, Any]) -> bytes:
    # not kaleido.calc_fig_sync: it waits for ever for a browser that starts and says nothing
    browser = kaleido.Kaleido(mathjax=False, timeout=_SECONDS)  # MathJax would be fetched
    try:
        await asyncio.wait_for(browser.open(), _STARTING_SECONDS)
        png: bytes = await browser.calc_fig(
            figure, {"format": "png", "width": look.WIDTH, "height": look.HEIGHT, "scale": look.SCALE}
        )
    finally:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(browser.close(), _CLOSING_SECONDS)
    return png


_CHINESE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")


def missing_fonts(data_map: DataMap) -> str | None:
    """The remedy where texts in the figure need a Chinese font and the machine has none, else None.

    Without one the PNG shows boxes, without a word.
    """
    layout = data_map.figure.layout
    shown = [
        layout.title.text,
        layout.xaxis.title.text,
        layout.yaxis.title.text,
        *(annotation.text for annotation in layout.annotations),
    ]
    if not any(_CHINESE.search(text) for text in shown if text):
        return None
    try:
        fonts = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, timeout=30, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # nobody to ask
    if fonts.stdout.strip():
        return None
    return (
        "the map's texts need a Chinese font and this machine has none, so the PNG shows boxes:"
        " on Debian or Ubuntu `apt-get install fonts-noto-cjk`"
    )
