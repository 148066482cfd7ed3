"""The page of 238,766 pairs of LCQMC's lengths: its making, its size, and its painting in Chromium.

    python -m tests.benchmarks.page [EXAMPLES] [RUNS]

Making is `draw` and `page`, with the courses of five evaluations, in one process, Polars and Plotly loaded. In the
browser, headless and without a GPU: the time from opening the file to the points on the screen against an empty Plotly
page opened the same way, in turn; the time from Plotly's hover event to the card; a lasso and a search. Medians.
"""

from __future__ import annotations

import random
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import polars as pl
from playwright.sync_api import Browser, Page, sync_playwright
from plotly.offline import get_plotlyjs

from datamap_cli import signals
from datamap_cli.config import PlotConfig
from datamap_cli.plot import Trajectories, draw, page
from tests.support import evaluation_frames, examples_frame, shared, summarize

EXAMPLES, EVALUATIONS, RUNS = 238_766, 5, 5
LENGTHS = (4, 7, 8, 9, 9, 10, 10, 11, 12, 13, 15, 21)
"""Characters of a text: quantiles of LCQMC's."""

EMPTY = """<!doctype html><meta charset="utf-8"><div id="map" style="width:100vw;height:100vh"></div><script>{plotly}</script>
<script>Plotly.newPlot("map", [{{ x: [], y: [] }}]).then(() => {{ document.body.dataset.drawn = ""; }});</script>"""

# from the start of the navigation until the frame after the drawing is on the screen
PAINTED = """() => new Promise((resolve) => {
    const wait = () => "drawn" in document.body.dataset
        ? requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())))
        : setTimeout(wait, 5);
    wait();
})"""

# from Plotly's event, which the page's own listener hears first, until the card stands and is laid out
HOVERED = """() => new Promise((resolve) => {
    const card = document.getElementById("hover");
    card.hidden = true;
    document.getElementById("map").once("plotly_hover", () => {
        const start = performance.now();
        new MutationObserver((_, observer) => {
            observer.disconnect();
            card.getBoundingClientRect();
            resolve(performance.now() - start);
        }).observe(card, { childList: true });
    });
})"""


def corpus() -> str:
    files = ("pawsx_zh/train.tsv", "pawsx_zh/dev.tsv")
    return "".join(c for name in files for c in shared(name).read_text(encoding="utf-8") if c >= "\u3000")


def texts(count: int, seed: int) -> pl.Series:
    """Stretches of real Chinese text."""
    source, rng = corpus(), random.Random(seed)
    lengths = rng.choices(LENGTHS, k=count)
    starts = (rng.randrange(len(source) - length) for length in lengths)
    return pl.Series([source[start : start + length] for start, length in zip(starts, lengths, strict=True)])


def evaluations_of(examples: pl.DataFrame) -> dict[str, pl.LazyFrame]:
    """Examples that are learnt sooner or later, by their difficulty."""
    rng = np.random.default_rng(0)
    count, label = examples.height, examples["label"].to_numpy()
    difficulty = rng.beta(0.6, 2.2, count)
    probs = np.empty((EVALUATIONS, count, 2))
    for t in range(EVALUATIONS):
        noise = rng.normal(size=count) * (0.3 + 3.2 * difficulty * (1 - difficulty))
        given = 1 / (1 + np.exp(6 * difficulty - 2.2 - (1 - 1.2 * difficulty) * t - noise))
        probs[t, np.arange(count), label], probs[t, np.arange(count), 1 - label] = given, 1 - given
    return evaluation_frames(examples, probs)


def make(
    summary: pl.DataFrame, examples: pl.DataFrame, evaluations: dict[str, pl.LazyFrame]
) -> tuple[str, dict[str, float]]:
    settings, classes = PlotConfig(), ["不同", "相同"]
    marks = [time.perf_counter()]
    data_map = draw(summary, settings, title="LCQMC", evaluations=EVALUATIONS, classes=classes)
    marks.append(time.perf_counter())
    rows = data_map.points["row"]
    courses = Trajectories(range(EVALUATIONS), *signals.trajectories(evaluations.values(), summary["id"][rows]))
    marks.append(time.perf_counter())
    text = page(
        data_map,
        summary[rows],
        settings,
        examples=examples.select("text_a", "text_b")[rows],
        classes=classes,
        evaluations=EVALUATIONS,
        trajectories=courses,
    )
    marks.append(time.perf_counter())
    names = ("draw", "courses", "page")
    return text, {name: end - start for name, start, end in zip(names, marks, marks[1:], strict=False)}


def opened(browser: Browser, path: Path) -> Page:
    opened_page = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True).new_page()
    opened_page.goto(path.as_uri(), wait_until="commit")
    return opened_page


def painted(browser: Browser, path: Path) -> float:
    """Milliseconds until the map is on the screen."""
    one = opened(browser, path)
    one.wait_for_selector("body", state="attached")
    milliseconds = float(one.evaluate(PAINTED))
    one.context.close()
    return milliseconds


def hovered(one: Page, runs: int) -> list[float]:
    """Milliseconds from event to card, at points in parts of the map of their own."""
    times = []
    for run in range(runs):
        one.mouse.move(5, 5)
        one.evaluate(f"window.hovering = ({HOVERED})(), 0")
        x, y = 90 + 7 * run, 260 + 9 * run
        one.mouse.move(x, y)
        one.mouse.move(x + 1, y)
        times.append(
            float(one.evaluate("Promise.race([window.hovering, new Promise((r) => setTimeout(r, 5000, NaN))])"))
        )
    return [value for value in times if value == value]


def used(one: Page) -> dict[str, float]:
    """Seconds of a lasso around a part of the map, of a search through all texts, and of saving a table."""
    seconds = {}
    one.click("#tool-lasso")
    one.mouse.move(80, 250)
    one.mouse.down()
    for place in ((260, 250), (260, 420), (80, 420)):
        one.mouse.move(*place, steps=8)
    start = time.perf_counter()
    one.mouse.up()
    one.wait_for_selector("#list .row")
    seconds["lasso"] = time.perf_counter() - start
    chosen = one.inner_text("#count")
    start = time.perf_counter()
    with one.expect_download(timeout=120_000) as waiting:
        one.click("#save-table")
    waiting.value.path()
    seconds[f"table of {chosen}"] = time.perf_counter() - start
    one.click("#reset")
    one.wait_for_selector("#hints:not([hidden])")
    start = time.perf_counter()
    one.fill("#search", "历史")
    one.wait_for_selector("#list .row")
    seconds["search"] = time.perf_counter() - start
    return seconds


def main(count: int, runs: int) -> None:
    examples = examples_frame(count, 2).with_columns(text_a=texts(count, 1), text_b=texts(count, 2))
    evaluations = evaluations_of(examples)
    summary = summarize(evaluations)
    made = [make(summary, examples, evaluations) for _ in range(runs)]
    text = made[0][0]
    parts = {name: statistics.median(seconds[name] for _, seconds in made) for name in made[0][1]}
    told = ", ".join(f"{name} {seconds:.2f} s" for name, seconds in parts.items())
    print(f"{count:,} points, median of {runs}: {told}; together {sum(parts.values()):.2f} s (at most 4)")
    print(f"page {len(text.encode()) / 1e6:.1f} MB (at most 25)")
    with tempfile.TemporaryDirectory() as name, sync_playwright() as playwright:
        ours, empty = Path(name) / "map.html", Path(name) / "empty.html"
        ours.write_text(text, encoding="utf-8")
        empty.write_text(EMPTY.format(plotly=get_plotlyjs()), encoding="utf-8")
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        painted(browser, empty)
        times = [(painted(browser, empty), painted(browser, ours)) for _ in range(runs)]
        bare, full = (statistics.median(column) / 1000 for column in zip(*times, strict=True))
        print(f"painted  {full:.2f} s; empty Plotly page {bare:.2f} s; ratio {full / bare:.2f} (at most 3)")
        one = opened(browser, ours)
        one.wait_for_selector("body[data-ready]", timeout=120_000)
        cards = hovered(one, 20)
        print(
            f"hover card  median {statistics.median(cards):.1f} ms, most {max(cards):.1f} ms of {len(cards)} (at most 30)"
        )
        print(", ".join(f"{what} {seconds:.2f} s" for what, seconds in used(one).items()))
        browser.close()


if __name__ == "__main__":
    main(*[int(argument) for argument in sys.argv[1:]] or [EXAMPLES, RUNS])
