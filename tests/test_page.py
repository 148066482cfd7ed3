"""The page in a real browser: from a file, without a network, whatever its texts hold."""

from __future__ import annotations

import base64
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl
import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from datamap_cli.config import PlotConfig
from datamap_cli.plot import draw, page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
]

EVIL = "<script>alert(1)</script> <img src=x onerror=alert(2)> <b>b</b> &lt; %{x} \"' </script> \u202e\x00\u2028"
LITERAL = "<script>alert(1)</script><imgsrc=xonerror=alert(2)><b>b</b>&lt;%{x}\"'</script>\ufffd␀↵"


def document(points: int) -> str:
    """A page of so many points on a line; the first, alone on top, has the worst texts."""
    row = pl.int_range(points, eager=True)
    summary = pl.DataFrame(
        {
            "id": [EVIL] + [str(number) for number in range(1, points)],
            "label": 0,
            "s_label": [2, *[0] * (points - 1)],
            "correct_times": [0, *[5] * (points - 1)],
            "avg_probs": [0.1, *(0.9 + 0.1 * row[1:] / points)],
            "label_var": [0.2, *(0.1 * row[1:] / points)],
            "forgetting_times": 0,
            "learnt_times": 0,
            "pred_label": 1,
            "suggested_label": 1,
        }
    )
    examples = pl.DataFrame({"text_a": [EVIL, *["好"] * (points - 1)], "text_b": [EVIL, *["坏"] * (points - 1)]})
    return page(
        draw(
            summary,
            PlotConfig(),
            title=EVIL,
            evaluations=5,
            examples=examples,
            classes=[EVIL, f"other {EVIL}"],
        )
    )


@dataclass
class Opened:
    page: Page
    requests: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield chromium
        chromium.close()


def opened(browser: Browser, text: str, path: Path) -> Opened:
    path.write_text(text, encoding="utf-8")
    context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True)
    seen = Opened(context.new_page())

    def dismiss(dialog: Dialog) -> None:
        seen.troubles.append(dialog.message)
        dialog.dismiss()

    seen.page.on("request", lambda request: seen.requests.append(request.url))
    seen.page.on("pageerror", lambda error: seen.troubles.append(str(error)))
    seen.page.on("console", lambda message: seen.troubles.append(message.text) if message.type == "error" else None)
    seen.page.on("dialog", dismiss)
    seen.page.goto(path.as_uri())
    seen.page.wait_for_function("document.querySelector('#map .legendtext')")
    return seen


def coloured_pixels(page: Page, red: int, green: int, blue: int) -> int:
    """Number of pixels of about this colour on the map, as the screen shows it."""
    shot = page.screenshot(clip={"x": 70, "y": 190, "width": 840, "height": 460})
    count = page.evaluate(
        """async ([png, wanted]) => {
            const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
            const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
            const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
            context.drawImage(bitmap, 0, 0);
            const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (wanted.every((value, k) => Math.abs(value - data[i + k]) < 60)) count++;
            return count;
        }""",
        [base64.b64encode(shot).decode(), [red, green, blue]],
    )
    return int(count)


@pytest.mark.parametrize("points", [300, 6_000], ids=["svg", "webgl"])
def test_the_page_draws_and_stays_literal_without_a_network(points: int, browser: Browser, tmp_path: Path) -> None:
    seen = opened(browser, document(points), tmp_path / "map.html")
    assert EVIL.replace("\x00", "␀").replace("\u202e", "\ufffd").replace("\u2028", "↵") == seen.page.title()
    assert coloured_pixels(seen.page, 0x25, 0x34, 0x94) > 500

    x, y = seen.page.evaluate(
        """() => {
            const { xaxis, yaxis } = document.getElementById("map")._fullLayout;
            return [xaxis._offset + xaxis.d2p(0.2), yaxis._offset + yaxis.d2p(0.1)];
        }"""
    )
    seen.page.mouse.move(x - 40, y - 40)
    seen.page.mouse.move(x, y)
    seen.page.wait_for_selector(".hoverlayer .hovertext")
    lines = seen.page.locator(".hoverlayer .hovertext tspan.line").all_text_contents()
    shown = "".join(lines).replace(" ", "").replace("\u00a0", "")
    assert f"text_a{LITERAL}text_b{LITERAL}label" in shown
    assert 0 == seen.page.locator("#map img, #map script").count()

    assert [(tmp_path / "map.html").as_uri()] == seen.requests
    assert [] == seen.troubles
