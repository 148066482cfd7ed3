"""Figures as pictures, PNG, SVG or PDF, drawn by the Chromium or Chrome of the machine."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import math
import os
import re
import subprocess
import time
from collections.abc import Generator, Sequence
from typing import Any

import kaleido
import plotly.graph_objects as go
from choreographer.errors import ChannelClosedError
from kaleido.errors import BrowserClosedError, BrowserFailedError, ChromeNotFoundError

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError

_REMEDY = "on Debian or Ubuntu `apt-get install chromium`, elsewhere `plotly_get_chrome`, or set BROWSER_PATH"
_SECONDS, _STARTING_SECONDS, _CLOSING_SECONDS = 600, 60, 10


class _Page(kaleido.PageGenerator):  # type: ignore[misc]
    """The page that draws. Kaleido has WebGL draw twice as fine as the picture, which takes twice the time."""

    footer = (
        "<script>{ const toImage = Plotly.toImage; Plotly.toImage = (figure, options) => toImage("
        "{ ...figure, config: { ...figure.config, plotGlPixelRatio:"
        " options.format === 'png' ? Math.min(Math.max(options.scale, 1), 4) : 3 } }, options); }</script>"
        + kaleido.PageGenerator.footer
    )


def images(figures: Sequence[go.Figure], settings: PlotConfig) -> Generator[tuple[int, str, bytes], None, None]:
    """Each figure in each of `settings.formats`, by one browser: the figure's index, the format, the file's bytes.

    PNGs have width × height × scale² pixels; the size of SVG and PDF is width × height CSS pixels. What WebGL draws,
    more than 5,000 points, is in these a picture within the picture, of three pixels for each CSS pixel. Raises
    DatamapError where no browser works, or one does not draw in time.
    """
    for name in ("kaleido", "choreographer", "browser_proc"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    path = os.environ.get("BROWSER_PATH")
    loop = asyncio.new_event_loop()
    browser: kaleido.Kaleido | None = None
    drawing_since = math.inf
    try:
        browser = loop.run_until_complete(_browser())
        # not kaleido.calc_fig_sync: it waits for ever for a browser that starts and says nothing
        loop.run_until_complete(asyncio.wait_for(browser.open(), _STARTING_SECONDS))
        for number, figure in enumerate(figures):
            content = figure.to_dict()
            for format in settings.formats:
                drawing_since = time.monotonic()
                yield number, format, loop.run_until_complete(_drawn(browser, content, format, settings))
    except ChromeNotFoundError:
        found = f", and there is none at BROWSER_PATH={path}" if path else ""
        raise DatamapError(f"pictures need Chromium or Chrome{found}: {_REMEDY}") from None
    except (BrowserFailedError, BrowserClosedError, ChannelClosedError, asyncio.TimeoutError):
        if time.monotonic() - drawing_since >= _SECONDS:  # however the browser takes its being given up
            raise DatamapError(f"no picture was drawn within {_SECONDS} s; the HTML shows the same") from None
        which = f" at BROWSER_PATH={path}" if path else ""
        raise DatamapError(f"pictures need Chromium or Chrome, and that{which} does not work: {_REMEDY}") from None
    finally:
        if browser is not None:
            loop.run_until_complete(_closed(browser))
        _end(loop)


async def _browser() -> kaleido.Kaleido:
    """A browser not yet opened; it belongs to the loop that this runs in."""
    return kaleido.Kaleido(page_generator=_Page(mathjax=False), timeout=_SECONDS)  # MathJax would be fetched


async def _drawn(browser: kaleido.Kaleido, figure: dict[str, Any], format: str, settings: PlotConfig) -> bytes:
    scale = settings.scale if format == "png" else 1
    options = {"format": format, "width": settings.width, "height": settings.height, "scale": scale}
    drawing = browser.calc_fig(figure, options)
    # Kaleido's own limit does not cover what it does after drawing
    picture: bytes = await asyncio.wait_for(drawing, _SECONDS + _CLOSING_SECONDS)
    return picture


async def _closed(browser: kaleido.Kaleido) -> None:
    # a drawing that was given up may have closed the browser's channel already
    with contextlib.suppress(asyncio.TimeoutError, ChannelClosedError):
        await asyncio.wait_for(browser.close(), _CLOSING_SECONDS)


def _end(loop: asyncio.AbstractEventLoop) -> None:
    """What asyncio.run does at its end; it cannot yield in between."""
    loop.run_until_complete(_cancelled(asyncio.all_tasks(loop)))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


async def _cancelled(tasks: set[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


_CHINESE = re.compile("[\u2e80-\u9fff\uac00-\ud7af\uf900-\ufaff\ufe30-\ufe4f\uff00-\uffef\U00020000-\U0003ffff]")


def missing_fonts(figure: go.Figure) -> str | None:
    """The remedy where texts in the figure need a Chinese font and the machine has none, else None.

    Without one the pictures show boxes, without a word.
    """
    if not _CHINESE.search(_texts(figure)):
        return None
    try:
        fonts = subprocess.run(["fc-list", ":lang=zh"], capture_output=True, timeout=30, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None  # nobody to ask
    if fonts.stdout.strip():
        return None
    return (
        "the texts need a Chinese font and this machine has none, so the pictures show boxes:"
        " on Debian or Ubuntu `apt-get install fonts-noto-cjk`"
    )


def _texts(figure: go.Figure) -> str:
    """All that is written on the figure."""
    layout = figure.layout.to_plotly_json()
    layout.pop("template", None)
    layout.pop("images", None)
    bars = [list(trace.x) for trace in figure.data if trace.type == "bar" and trace.xaxis == "x4"]
    names = [trace.name for trace in figure.data]
    return json.dumps([layout, names, bars], default=str, ensure_ascii=False)
