"""The pictures: their sizes and formats, one browser for all, and one line for whatever is missing."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import shutil
import struct
import subprocess
import time
import zlib
from pathlib import Path
from typing import Any

import kaleido
import pytest

from datamap_cli.config import PlotConfig
from datamap_cli.errors import DatamapError
from datamap_cli.plot import draw, image, images, missing_fonts
from tests.maps import CURVES, drawn, summarized

no_browser = pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")


def refused(**settings: Any) -> str:
    """The line that says why there is no picture."""
    with pytest.raises(DatamapError) as caught:
        list(images([drawn(summarized(CURVES)).figure], PlotConfig(**settings)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.mark.parametrize(
    ("browser", "says"),
    [
        ("/nonexistent", "pictures need Chromium or Chrome, and there is none at BROWSER_PATH=/nonexistent: "),
        (shutil.which("false"), "pictures need Chromium or Chrome, and that at BROWSER_PATH="),
    ],
)
def test_without_a_working_browser_one_line_tells_the_remedy(
    browser: str, says: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("BROWSER_PATH", browser)
    line = refused()
    assert line.startswith(says)
    assert "`apt-get install chromium`" in line
    assert ("", "") == tuple(capfd.readouterr())


def test_a_browser_that_starts_and_says_nothing_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BROWSER_PATH", str(script(tmp_path / "chromium", "exec sleep 60")))
    monkeypatch.setattr(image, "_STARTING_SECONDS", 1)
    monkeypatch.setattr(image, "_CLOSING_SECONDS", 1)
    start = time.monotonic()
    assert refused().startswith("pictures need Chromium or Chrome, and that at BROWSER_PATH=")
    assert time.monotonic() - start < 20


@pytest.mark.browser
@no_browser
def test_a_picture_that_takes_too_long_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image, "_SECONDS", 0.001)
    assert refused().startswith("no picture was drawn within 0.001 s")


def pixels(png: bytes) -> tuple[tuple[int, int], bytes]:
    """Width and height, and the bytes of the filtered lines."""
    assert b"\x89PNG\r\n\x1a\n" == png[:8]
    chunks, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at : at + 8])
        chunks += png[at + 8 : at + 8 + length] if kind == b"IDAT" else b""
        at += length + 12
    return struct.unpack(">II", png[16:24]), zlib.decompress(chunks)


@pytest.mark.browser
@no_browser
def test_one_browser_draws_every_map_in_every_format_at_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = []
    start = kaleido.Kaleido.open

    async def counted(browser: kaleido.Kaleido) -> None:
        opened.append(browser)
        await start(browser)

    monkeypatch.setattr(kaleido.Kaleido, "open", counted)
    maps = [drawn(summarized(CURVES, s_label=[2, 1, 0, 0, 0, 0])), drawn(summarized(CURVES[:2]))]
    settings = PlotConfig(formats=["png", "svg", "pdf"], width=700, height=500, scale=1.5)
    found = list(images([data_map.figure for data_map in maps], settings))
    assert [(m, format) for m in (0, 1) for format in ("png", "svg", "pdf")] == [found_as[:2] for found_as in found]
    size, lines = pixels(found[0][2])
    assert (1050, 750) == size
    assert len(set(lines)) > 100
    svg, pdf = found[1][2].decode(), found[2][2]
    assert 'width="700" height="500"' in svg
    assert "avg_probs" in svg
    assert pdf.startswith(b"%PDF-")
    (box,) = re.findall(rb"/MediaBox ?\[0 0 ([\d.]+) ([\d.]+)\]", pdf)
    assert [700 * 0.75, 500 * 0.75] == pytest.approx([float(side) for side in box], abs=1)
    assert 1 == len(opened)


@pytest.mark.browser
@no_browser
def test_the_browser_is_closed_when_no_more_pictures_are_wanted() -> None:
    browsers = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout
    pictures = images([drawn(summarized(CURVES)).figure], PlotConfig(formats=["svg", "png"], width=600, height=400))
    assert "svg" == next(pictures)[1]
    pictures.close()
    after = subprocess.run(["pgrep", "-P", str(os.getpid())], capture_output=True, text=True, check=False).stdout
    assert set(after.split()) <= set(browsers.split())


@pytest.mark.parametrize(
    ("title", "settings", "fonts", "remedy"),
    [
        ("数据地图", {}, b"", "`apt-get install fonts-noto-cjk`"),
        ("数据地图", {}, b"/usr/share/fonts/noto.ttc: Noto Sans CJK SC", None),
        ("a run – ≥ 3", {}, b"", None),
        ("a run", {"language": "zh"}, b"", "`apt-get install fonts-noto-cjk`"),
        ("a run", {"color_by": "label"}, b"", "`apt-get install fonts-noto-cjk`"),
    ],
)
def test_a_missing_chinese_font_is_told_where_one_is_needed(
    title: str, settings: dict[str, Any], fonts: bytes, remedy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(subprocess, "run", lambda *args, **_: subprocess.CompletedProcess(args, 0, stdout=fonts))
    told = missing_fonts(draw(summarized(CURVES), PlotConfig(**settings), title=title, classes=["否", "是"]).figure)
    assert (remedy is None) == (told is None)
    assert (remedy or "") in (told or "")


def test_drawing_a_picture_leaves_the_root_logger_and_the_loop_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    level = logging.getLogger().level
    monkeypatch.setenv("BROWSER_PATH", "/nonexistent")
    refused()
    assert level == logging.getLogger().level

    async def nothing() -> int:
        return 7

    assert 7 == asyncio.run(nothing())
