"""The page in a real browser: from a file, without a network, whatever its texts hold."""

from __future__ import annotations

import base64
import csv
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from playwright.sync_api import Browser, Dialog, Page, sync_playwright

from datamap_cli.config import PlotConfig
from datamap_cli.plot import Evidence, Trajectories, draw, page

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium"),
]

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(2)>",
    "</script><!--<b>b</b> &lt; %{x} ${y} \"double\" 'single'",
    "tab\there\nline\r\nline \u2028 \u2029",
    "NUL\x00 escape\x1b end",
    "right to left \u202eevil\u202c \u200fשלום",
    "👩\u200d🔬 emoji 🏳️\u200d🌈 𠀀",
    '=HYPERLINK("http://x","y")',
    "+1-cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(A1)",
    '"quoted"',
    "",
]
CLASSES = ["no <b>way</b>", "=yes"]
EVALUATIONS = 4


def summary_of(points: int) -> pl.DataFrame:
    """Points on a line from the lower right to the upper left; the first, the worst, stands alone below."""
    share = np.arange(points) / points
    right = np.where(share < 0.25, 1, np.where(share < 0.5, 3, 4))
    label = np.arange(points) % 2
    mean = np.where(np.arange(points) == 0, 0.1, 0.2 + 0.7 * share)
    variance = np.where(np.arange(points) == 0, 0.2, 0.15 * (1 - share))
    return pl.DataFrame(
        {
            "id": ["<i>&id", *(f"e{number}" for number in range(1, points))],
            "label": label,
            "s_label": [2, *[0] * (points - 1)],
            "correct_times": right,
            "correct_ratio": right / EVALUATIONS,
            "avg_probs": mean,
            "label_var": variance,
            "forgetting_times": np.arange(points) % 3,
            "variability": np.sqrt(variance),
            "avg_loss": -np.log(mean),
            "learnt_for_good": [None, *range(1, points)],
            "pred_label": 1 - label,
            "suggested_label": label,
        },
    )


def texts_of(points: int) -> pl.DataFrame:
    text = [HOSTILE[number] if number < len(HOSTILE) else f"第{number}个 question" for number in range(points)]
    return pl.DataFrame({"text_a": text, "text_b": [f"answer {number} {text[number]}" for number in range(points)]})


def document(points: int, evidence: Evidence | None = None, **settings: Any) -> tuple[str, pl.DataFrame]:
    """The page of so many points, and what stands at each of its positions."""
    plot = PlotConfig(**settings)
    summary = summary_of(points)
    data_map = draw(summary, plot, title=HOSTILE[0], evaluations=EVALUATIONS, classes=CLASSES)
    rows = data_map.points["row"]
    course = np.linspace(0, 1, EVALUATIONS, dtype=np.float32)[None, :].repeat(len(rows), 0)
    text = page(
        data_map,
        summary[rows],
        plot,
        examples=texts_of(points)[rows],
        classes=CLASSES,
        evaluations=EVALUATIONS,
        trajectories=Trajectories(range(EVALUATIONS), course, (1 - course) / 2),
        evidence=evidence,
    )
    return text, pl.concat([summary, texts_of(points)], how="horizontal")[rows]


# ------------------------------------------------------------------------------------------- the browser


@dataclass
class Opened:
    page: Page
    file: Path
    rows: pl.DataFrame
    """What stands at each position."""
    requests: list[str] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def at(self, number: int) -> tuple[float, float]:
        """Where on the screen the example of this number in the summary is."""
        row = self.rows.filter(pl.col("text_b").str.starts_with(f"answer {number} "))
        x, y = self.page.evaluate(
            """([x, y]) => {
                const map = document.getElementById("map");
                const { left, top } = map.getBoundingClientRect();
                const { xaxis, yaxis } = map._fullLayout;
                return [left + xaxis._offset + xaxis.d2p(x), top + yaxis._offset + yaxis.d2p(y)];
            }""",
            [row["label_var"][0], row["avg_probs"][0]],
        )
        return x, y

    def drag(self, *path: tuple[float, float]) -> None:
        self.page.mouse.move(*path[0])
        self.page.mouse.down()
        for place in path[1:]:
            self.page.mouse.move(*place, steps=3)
        self.page.mouse.up()

    def wait_for(self, selector: str, text: str) -> None:
        """Until the element has exactly this text."""
        self.page.wait_for_function(
            "([selector, text]) => document.querySelector(selector)?.textContent === text",
            arg=[selector, text],
            timeout=10_000,
        )

    def download(self, button: str) -> str:
        with self.page.expect_download() as waiting:
            self.page.click(button)
        return Path(waiting.value.path()).read_bytes().decode()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--enable-unsafe-swiftshader"]
        )
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def open_page(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Opened]:
    """Opens a document from a file, with the network cut, and waits until it can be used."""

    def open_it(text: str, rows: pl.DataFrame, before: str = "") -> Opened:
        path = tmp_path_factory.mktemp("page") / "map.html"
        path.write_text(text, encoding="utf-8")
        context = browser.new_context(viewport={"width": 1280, "height": 720}, offline=True, accept_downloads=True)
        context.add_init_script(before)
        seen = Opened(context.new_page(), path, rows)

        def dismiss(dialog: Dialog) -> None:
            seen.troubles.append(dialog.message)
            dialog.dismiss()

        seen.page.on("request", lambda request: seen.requests.append(request.url))
        seen.page.on("pageerror", lambda error: seen.troubles.append(str(error)))
        seen.page.on("console", lambda message: seen.troubles.append(message.text) if message.type == "error" else None)
        seen.page.on("dialog", dismiss)
        seen.page.goto(path.as_uri())
        seen.page.wait_for_selector("body[data-ready]")
        return seen

    return open_it


@pytest.fixture(scope="module")
def shared(open_page: Callable[..., Opened]) -> Opened:
    return open_page(*document(300))


@pytest.fixture
def small(shared: Opened) -> Iterator[Opened]:
    """A page of 300 points as it was opened; after each test, that nothing went wrong and nothing was asked for."""
    shared.page.evaluate("document.activeElement.blur()")
    shared.page.mouse.move(5, 5)
    shared.page.click("#tool-zoom")
    shared.page.click("#reset")
    shared.wait_for("#shown", "300 points")
    yield shared
    assert [shared.file.as_uri()] == [url for url in shared.requests if not url.startswith("blob:")]
    assert [] == shared.troubles


@pytest.fixture(scope="module")
def large(open_page: Callable[..., Opened]) -> Opened:
    """A page drawn by WebGL."""
    return open_page(*document(6_000))


@pytest.fixture(scope="module")
def chinese(open_page: Callable[..., Opened]) -> Opened:
    """A page in Chinese whose tables are not made safe for spreadsheets."""
    return open_page(*document(40, language="zh", spreadsheet_safe=False))


def coloured_pixels(page: Page, red: int, green: int, blue: int) -> int:
    """Number of pixels of about this colour inside the axes, as the screen shows them."""
    box = page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
    assert box is not None
    shot = page.screenshot(clip=box)
    count = page.evaluate(
        """async ([png, wanted]) => {
            const bytes = Uint8Array.from(atob(png), (c) => c.charCodeAt(0));
            const bitmap = await createImageBitmap(new Blob([bytes], { type: "image/png" }));
            const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d");
            context.drawImage(bitmap, 0, 0);
            const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                if (wanted.every((value, k) => Math.abs(value - data[i + k]) < 50)) count++;
            return count;
        }""",
        [base64.b64encode(shot).decode(), [red, green, blue]],
    )
    return int(count)


BLUE = (0x25, 0x34, 0x94)


# ----------------------------------------------------------------------------------------------- the map


def test_points_are_drawn_and_the_title_is_text(small: Opened) -> None:
    assert coloured_pixels(small.page, *BLUE) > 500
    assert HOSTILE[0] == small.page.title() == small.page.inner_text("#title")
    assert "300 examples, all drawn; 4 evaluations" == small.page.inner_text("#subtitle")
    assert 0 == small.page.locator("#map img, #map script, .modebar").count()


def test_many_points_are_drawn_by_webgl(large: Opened) -> None:
    assert 0 < large.page.locator("#map canvas").count()
    assert coloured_pixels(large.page, *BLUE) > 500
    assert [] == large.troubles


def test_without_webgl_the_points_are_drawn_as_svg(open_page: Callable[..., Opened]) -> None:
    none = """const known = HTMLCanvasElement.prototype.getContext;
        HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
            return kind.includes("webgl") ? null : known.call(this, kind, ...more);
        };"""
    opened = open_page(*document(6_000), before=none)
    assert coloured_pixels(opened.page, *BLUE) > 500
    assert 0 == opened.page.locator("#map canvas").count()
    assert "No WebGL in this browser: points are drawn as SVG, which is slow." == opened.page.inner_text("#notes")
    assert [] == opened.troubles


def test_a_click_in_the_legend_hides_a_category_from_map_and_selection(small: Opened) -> None:
    before = coloured_pixels(small.page, *BLUE)
    small.page.locator("#map .legendtoggle").first.click()
    small.page.wait_for_function("document.querySelector('#map').data[0].visible === 'legendonly'")
    assert before - coloured_pixels(small.page, *BLUE) > 250  # the name of a region is blue too
    box = small.page.locator("#map .nsewdrag[data-subplot=xy]").bounding_box()
    assert box is not None
    small.page.click("#tool-select")
    corners = (box["x"] + 2, box["y"] + 2), (box["x"] + box["width"] - 2, box["y"] + box["height"] - 2)
    small.drag(*corners)
    small.wait_for("#count", "150 chosen")
    small.page.click("#filters-toggle")
    small.page.select_option("#add-filter", "avg_loss")
    small.page.keyboard.press("Escape")
    small.wait_for("#shown", "300 points")
    assert "legendonly" == small.page.evaluate("document.querySelector('#map').data[0].visible")
    small.page.click("#reset")
    small.page.wait_for_function("document.querySelector('#map').data[0].visible !== 'legendonly'")
    small.drag(*corners)
    small.wait_for("#count", "300 chosen")


# ----------------------------------------------------------------------------------------------- examples


@pytest.mark.parametrize("which", ["small", "large"])
def test_hover_tells_id_texts_names_and_signals(which: str, request: pytest.FixtureRequest) -> None:
    opened: Opened = request.getfixturevalue(which)
    x, y = opened.at(0)
    opened.page.mouse.move(x - 40, y - 40)
    opened.page.mouse.move(x, y)
    opened.page.wait_for_selector("#hover:not([hidden])")
    assert "id <i>&id" == opened.page.inner_text("#hover .id")
    assert [HOSTILE[0], f"answer 0 {HOSTILE[0]}"] == opened.page.locator("#hover .text").all_text_contents()
    assert "no <b>way</b>" == opened.page.inner_text("#hover .label")
    assert ["predicted =yes", "suggested no <b>way</b>"] == opened.page.locator(
        "#hover .verdict span"
    ).all_text_contents()
    names = opened.page.locator("#hover dt").all_text_contents()
    values = opened.page.locator("#hover dd").all_text_contents()
    assert {
        "correct_times": "1 / 4",
        "avg_probs": "0.1",
        "label_var": "0.2",
        "forgetting_times": "0",
    } == dict(zip(names, values, strict=True))


def test_hostile_texts_are_shown_as_they_stand(small: Opened) -> None:
    for number, text in enumerate(HOSTILE):
        identifier = small.rows.filter(pl.col("text_b").str.starts_with(f"answer {number} "))["id"][0]
        small.page.fill("#search", identifier)
        small.wait_for("#list .row .id", identifier)
        small.page.click("#list .row")
        small.wait_for("#pinned .id", f"id {identifier}")
        shown = small.page.locator("#pinned .text").first.text_content()
        seen = re.sub("[\u202a-\u202e]", "\ufffd", text).replace("\x00", "␀").replace("\x1b", "␛").replace("\r", "␍")
        assert seen == shown


def test_a_click_pins_an_example_with_its_course(small: Opened) -> None:
    small.page.mouse.move(*small.at(0))
    small.page.wait_for_selector("#hover:not([hidden])")
    small.page.mouse.click(*small.at(0))
    small.page.wait_for_selector("#pinned:not([hidden])")
    assert "id <i>&id" == small.page.inner_text("#pinned .id")
    spoken = "0: 0.00, 0.50; 1: 0.33, 0.33; 2: 0.67, 0.17; 3: 1.00, 0.00"
    assert spoken == small.page.get_attribute("#pinned .course svg", "aria-label")
    assert small.page.locator("#pinned .course path").count() == 2
    names = small.page.locator("#pinned dt").all_text_contents()
    values = small.page.locator("#pinned dd").all_text_contents()
    table = dict(zip(names, values, strict=True))
    assert ("–", "0.4472") == (table["learnt_for_good"], table["variability"])
    ring = small.page.locator("#pin").bounding_box()
    assert ring is not None
    assert small.at(0) == pytest.approx((ring["x"] + ring["width"] / 2, ring["y"] + ring["height"] / 2), abs=1.5)
    small.page.keyboard.press("Escape")
    small.page.wait_for_selector("#pinned", state="hidden")


def suspect(number: int, marks: list[list[int]]) -> Evidence:
    """Evidence against the label of one example: two that are points, one that is none, and the same text again."""
    suspects = pl.DataFrame(
        {
            "id": [f"e{number}"],
            "joined_label": [1 - number % 2],
            "part_dynamics": [0.8],
            "part_linear": [2.13],
            "part_prior": [-0.4],
            "nearest": [["<i>&id", "e30", "gone"]],
            "similarity": [[0.876, 0.5, 0.25]],
            "contradiction": ["e31"],
            "marks_a": [marks],
            "marks_b": [[[0, 6]]],
        }
    )
    others = pl.DataFrame({"id": ["gone"], "label": [1], "text_a": [HOSTILE[1]], "text_b": [HOSTILE[2]]})
    return Evidence(suspects, others)


def test_a_pinned_suspect_shows_the_evidence_and_leads_to_the_nearest(open_page: Callable[..., Opened]) -> None:
    opened = open_page(*document(40, suspect(6, marks=[[2, 3], [5, 7]])))
    seen = opened.page
    seen.mouse.click(*opened.at(6))
    seen.wait_for_selector("#pinned .evidence")
    assert HOSTILE[6] == seen.locator("#pinned .text").first.text_content()
    # characters, not the halves of which JavaScript makes them
    assert [HOSTILE[6][2:3], HOSTILE[6][5:7], "answer"] == seen.locator("#pinned .text mark").all_text_contents()
    assert ["linear +2.1", "dynamics +0.8", "prior −0.4"] == seen.locator("#pinned .opinions li").all_text_contents()
    assert "=yes" == seen.text_content("#pinned .joined .differs")
    others = seen.locator("#pinned .neighbour")
    assert ["=yes", "no <b>way</b>", "no <b>way</b>", "=yes"] == others.locator("b").all_text_contents()
    assert ["0.88", "0.50", "0.25"] == others.locator(".like").all_text_contents()
    assert [*HOSTILE[1:3]] == others.last.locator(".quoted").all_text_contents()
    assert "DIV" == others.last.evaluate("made => made.tagName")  # it is no point: there is nowhere to go
    seen.locator("#pinned dd").last.scroll_into_view_if_needed()
    others.nth(1).evaluate("made => made.click()")
    opened.wait_for("#pinned .id", "id <i>&id")
    seen.wait_for_function("document.querySelector('#pinned').scrollTop === 0")
    assert HOSTILE[0] == seen.locator("#pinned .text").first.text_content()
    assert 0 == seen.locator("#pinned .evidence, #pinned mark").count()
    assert [] == opened.troubles


def test_the_evidence_speaks_chinese(open_page: Callable[..., Opened]) -> None:
    opened = open_page(*document(40, suspect(20, marks=[[0, 4], [900, 901]]), language="zh"))
    opened.page.mouse.click(*opened.at(20))
    opened.page.wait_for_selector("#pinned .evidence")
    assert ["第20个", "answer"] == opened.page.locator("#pinned .text mark").all_text_contents()
    assert ["线性模型 +2.1", "训练过程 +0.8", "类别先验 −0.4"] == opened.page.locator(
        "#pinned .opinions li"
    ).all_text_contents()
    titles = ["不支持该标签的依据", "综合各方意见的标签", "文本相同、标签不同", "最相近的样本"]
    assert titles == opened.page.locator("#pinned h3").all_text_contents()


# ------------------------------------------------------------------------------------- box, lasso, search


def test_a_box_lists_what_is_inside(small: Opened) -> None:
    small.page.click("#tool-select")
    x, y = small.at(0)  # alone
    small.drag((x - 30, y - 30), (x + 5, y + 5))
    small.wait_for("#count", "1 chosen")
    assert ["<i>&id"] == small.download("#save-ids").splitlines()
    (left, low), (right, high) = small.at(250), small.at(200)
    small.drag((left, low), (right, high))
    small.page.wait_for_selector("#list .row[aria-setsize]:nth-child(5)")
    saved = small.download("#save-ids").splitlines()
    # the mouse knows whole pixels only
    assert {f"e{number}" for number in range(202, 249)} <= set(saved) <= {f"e{number}" for number in range(198, 253)}
    assert small.page.locator(".outline path").get_attribute("d")


@pytest.mark.parametrize("which", ["small", "large"])
def test_a_lasso_lists_what_is_inside(which: str, request: pytest.FixtureRequest) -> None:
    opened: Opened = request.getfixturevalue(which)
    last = opened.rows.height - 1
    opened.page.click("#tool-lasso")
    # around the upper half of the line
    (x, y), (end_x, end_y) = opened.at(last // 2), opened.at(last)
    path = (x - 40, y + 2), (end_x - 12, end_y - 12), (end_x + 40, end_y - 12), (x + 40, y + 2)
    opened.drag(*path, path[0])
    opened.page.wait_for_selector("#list .row")
    ids = opened.download("#save-ids").splitlines()
    inside = opened.rows.filter(pl.col("avg_probs") >= opened.rows["avg_probs"].sort()[last // 2])["id"].to_list()
    assert len(set(ids) ^ set(inside)) <= opened.rows.height // 100  # those within two pixels of the edge
    opened.wait_for("#count", f"{len(ids):,} chosen")


def test_a_long_list_has_only_the_rows_in_sight(large: Opened) -> None:
    large.page.fill("#search", "answer")
    large.wait_for("#count", "6,000 chosen")
    assert large.page.locator("#list .row").count() < 40
    large.page.focus("#list")
    large.page.keyboard.press("End")
    large.page.wait_for_selector("#list .row[aria-posinset='6000'][aria-selected=true]")
    assert large.page.locator("#list .row").count() < 40


def test_search_finds_texts_in_any_case_and_whole_ids(small: Opened) -> None:
    small.page.keyboard.press("/")
    small.page.keyboard.type("ANSWER 29")
    small.wait_for("#count", "11 chosen")
    small.page.fill("#search", "e77")
    small.wait_for("#count", "1 chosen")
    assert ["e77"] == small.download("#save-ids").splitlines()
    small.page.fill("#search", "nowhere")
    small.page.wait_for_selector("#nothing:not([hidden])")
    small.page.keyboard.press("Escape")
    small.page.wait_for_selector("#hints:not([hidden])")
    assert "" == small.page.input_value("#search")


def test_arrow_keys_walk_through_the_list(small: Opened) -> None:
    small.page.fill("#search", "question")
    small.page.wait_for_selector("#list .row")
    small.page.focus("#list")
    for key, number in (("ArrowDown", 13), ("ArrowDown", 14), ("ArrowUp", 13), ("End", 299)):
        small.page.keyboard.press(key)
        small.page.wait_for_function(
            "text => document.querySelector('#pinned .id')?.textContent === text", arg=f"id e{number}"
        )
        assert f"e{number}" == small.page.inner_text("#list .row[aria-selected=true] .id")


def test_the_list_is_ordered_by_the_signal_that_is_asked_for(small: Opened) -> None:
    small.page.fill("#search", "answer 1")
    small.page.wait_for_selector("#list .row")
    small.page.select_option("#sort", "learnt_for_good")
    small.page.click("#direction")
    ids = small.download("#save-ids").splitlines()
    assert ["e199", "e198", "e197"] == ids[:3]
    assert "e1" == ids[-1]


def test_every_control_can_be_reached_by_tab(small: Opened) -> None:
    small.page.fill("#search", "question")
    small.page.wait_for_selector("#list .row")
    small.page.focus("#tool-zoom")
    reached = []
    for _ in range(22):
        reached.append(small.page.evaluate("document.activeElement.id"))
        small.page.keyboard.press("Tab")
    tools = [f"tool-{name}" for name in ("zoom", "pan", "select", "lasso", "home", "picture")]
    controls = [*tools, "search", "colour", "x", "y", "filters-toggle", "reset", "sort", "direction"]
    assert [*controls, "save-ids", "save-table", "clear", "list"] == [name for name in reached if name][:18]


# ------------------------------------------------------------------------------------- filters and menus


def test_a_filter_leaves_its_range_on_map_list_and_histograms(small: Opened) -> None:
    small.page.fill("#search", "answer")
    small.wait_for("#count", "300 chosen")
    small.page.click("#filters-toggle")
    small.page.select_option("#add-filter", "forgetting_times")
    slider = small.page.locator(".filter[data-signal=forgetting_times] input[type=range]").first
    slider.focus()
    small.page.keyboard.press("ArrowRight")
    small.wait_for("#shown", "200 of 300 points")
    small.wait_for("#count", "200 chosen")
    assert (200, 200) == points_and_counts(small.page)
    small.page.select_option("#add-filter", "avg_probs")
    field = small.page.locator(".filter[data-signal=avg_probs] input[type=number]").last
    field.fill("0.5")
    field.press("Enter")
    expected = small.rows.filter((pl.col("forgetting_times") >= 1) & (pl.col("avg_probs") <= 0.5)).height
    small.page.wait_for_function("n => document.querySelector('#shown').textContent.startsWith(`${n} `)", arg=expected)
    assert (expected, expected) == points_and_counts(small.page)
    small.page.click(".filter[data-signal=avg_probs] button")
    small.wait_for("#shown", "200 of 300 points")


def points_and_counts(page: Page) -> tuple[int, int]:
    """Points drawn, and the sum of the histogram above them."""
    points, counts = page.evaluate(
        """() => {
            const { data } = document.getElementById("map");
            const sum = (traces, length) => traces.reduce((all, trace) => all + length(trace), 0);
            const of = (axis, more) => data.filter((trace) => trace.xaxis === axis && more(trace));
            return [
                sum(of(undefined, (t) => t.hoverinfo === "none"), (t) => t.x.length),
                sum(of("x2", (t) => t.type === "bar"), (t) => t.y.reduce((a, b) => a + b, 0)),
            ];
        }"""
    )
    return points, counts


def test_menus_change_axes_and_colour_without_a_new_run(small: Opened) -> None:
    small.page.select_option("#x", "avg_loss")
    small.page.select_option("#colour", "label")
    small.page.wait_for_function("document.querySelector('#map')._fullLayout.xaxis.title.text === 'avg_loss'")
    small.page.wait_for_function("document.querySelector('#map .legend').textContent.includes('=yes')")
    assert (300, 300) == points_and_counts(small.page)
    drawn = small.page.evaluate(
        "document.querySelector('#map').data.slice(0, 2).flatMap(t => Array.from(t.x)).sort((a, b) => a - b)"
    )
    np.testing.assert_allclose(small.rows["avg_loss"].sort().to_numpy(), drawn, atol=2e-4)
    names = small.page.locator("#map .legendtext").all_text_contents()
    assert ["no <b>way</b>   150 (50.0%)", "=yes   150 (50.0%)"] == [re.sub("\u00a0", " ", name) for name in names[:2]]


def test_a_signal_of_many_values_colours_by_a_scale(small: Opened) -> None:
    small.page.select_option("#colour", "avg_loss")
    small.page.wait_for_selector("#map .colorbar")
    assert (
        "avg_loss"
        == small.page.locator("#map .colorbar .cbtitle text, #map .cbcoloraxis .cbtitle text").first.text_content()
    )
    assert (300, 300) == points_and_counts(small.page)


def test_reset_brings_back_the_map_as_it_was_drawn(small: Opened) -> None:
    first = small.page.evaluate(
        "JSON.stringify(document.querySelector('#map').data.map(t => [t.name, t.x && t.x.length]))"
    )
    small.page.select_option("#y", "avg_loss")
    small.page.wait_for_function("document.querySelector('#map')._fullLayout.yaxis.title.text === 'avg_loss'")
    small.page.click("#reset")
    small.page.wait_for_function("document.querySelector('#map')._fullLayout.yaxis.title.text === 'avg_probs'")
    again = small.page.evaluate(
        "JSON.stringify(document.querySelector('#map').data.map(t => [t.name, t.x && t.x.length]))"
    )
    assert first == again


# --------------------------------------------------------------------------------------------- the table


def test_the_table_is_read_back_by_standard_readers_with_every_byte(chinese: Opened, tmp_path: Path) -> None:
    chinese.page.fill("#search", "answer")
    chinese.wait_for("#count", "已选 40 个样本")
    text = chinese.download("#save-table")
    table = list(csv.DictReader(text.splitlines(keepends=True), delimiter="\t"))
    expected = chinese.rows.sort("avg_probs")
    assert expected["id"].to_list() == [row["id"] for row in table]
    assert expected["text_a"].to_list() == [row["text_a"] for row in table]
    assert expected["text_b"].to_list() == [row["text_b"] for row in table]
    (tmp_path / "table.tsv").write_text(text, encoding="utf-8", newline="")
    frame = pl.read_csv(tmp_path / "table.tsv", separator="\t")
    assert expected["text_b"].to_list() == frame["text_b"].to_list()
    assert [CLASSES[label] for label in expected["label"]] == frame["label"].to_list()
    for name in ("s_label", "correct_times", "learnt_for_good", "forgetting_times"):
        assert expected[name].to_list() == frame[name].to_list()
    for name in ("avg_probs", "label_var", "avg_loss", "variability"):
        np.testing.assert_allclose(expected[name].to_numpy(), frame[name].to_numpy(), atol=2e-4)
    assert [
        *expected.columns[:1],
        "text_a",
        "text_b",
        "label",
        "pred_label",
        "suggested_label",
        "s_label",
    ] == frame.columns[:7]


def test_no_cell_of_the_table_starts_a_formula(small: Opened) -> None:
    small.page.fill("#search", "answer")
    small.wait_for("#count", "300 chosen")
    table = list(csv.reader(small.download("#save-table").splitlines(keepends=True), delimiter="\t"))
    assert 301 == len(table)
    texts = {row[0]: row[1] for row in table}
    assert '\'=HYPERLINK("http://x","y")' == texts["e7"]
    assert "'-2+3" == texts["e9"]
    numbers = re.compile(r"-?\d+(\.\d+)?(e-?\d+)?")
    cells = [cell for row in table for cell in row if cell and not numbers.fullmatch(cell)]
    assert [] == [cell for cell in cells if cell[0] in "=+-@\t\r\n＝＋－＠"]


# ------------------------------------------------------------------------------------------ other settings


def test_the_interface_speaks_chinese(chinese: Opened) -> None:
    assert "zh-CN" == chinese.page.get_attribute("html", "lang")
    assert "搜索文本或 id" == chinese.page.get_attribute("#search", "placeholder")
    assert "40 个点" == chinese.page.inner_text("#shown")
    chinese.page.click("#reset")
    chinese.wait_for("#count", "未选择样本")
    chinese.page.fill("#search", "answer 3")
    chinese.wait_for("#count", "已选 11 个样本")
    assert "保存表格" == chinese.page.inner_text("#save-table")
    assert [] == chinese.troubles


def test_a_budget_cuts_texts_and_says_so(open_page: Callable[..., Opened]) -> None:
    opened = open_page(*document(2_000, text_budget_mb=0.015))
    note = opened.page.inner_text("#notes")
    found = re.match(r"Texts are cut to (\d+) characters each to keep the page small", note)
    assert found is not None
    opened.page.fill("#search", "e500")
    opened.page.wait_for_selector("#list .row")
    opened.page.click("#list .row")
    opened.page.wait_for_selector("#pinned:not([hidden])")
    assert (
        f"{'answer 500 第500个 question'[: int(found[1])]}…" == opened.page.locator("#pinned .text").last.text_content()
    )


def test_printed_the_page_is_the_map(small: Opened) -> None:
    small.page.emulate_media(media="print")
    assert not small.page.is_visible("#bar")
    assert small.page.is_visible("#map")
    small.page.emulate_media(media="screen")
    assert small.page.is_visible("#bar")


def test_a_map_without_points_texts_and_labels_opens_too(open_page: Callable[..., Opened]) -> None:
    summary = summary_of(20).drop("label", "pred_label", "suggested_label")
    for settings in (PlotConfig(), PlotConfig(where="avg_probs > 2")):
        data_map = draw(summary, settings, title="few")
        text = page(
            data_map,
            summary[data_map.points["row"]],
            settings,
            examples=None,
            classes=[],
            evaluations=None,
            trajectories=None,
        )
        opened = open_page(text, pl.DataFrame())
        assert f"{data_map.points.height} points" == opened.page.inner_text("#shown")
        assert [] == opened.troubles


def test_the_picture_is_saved_from_the_page(small: Opened) -> None:
    with small.page.expect_download() as waiting:
        small.page.click("#tool-picture")
    assert b"\x89PNG" == Path(waiting.value.path()).read_bytes()[:4]


def test_nothing_is_left_of_the_button_that_sends_the_map_away(small: Opened) -> None:
    assert not small.page.evaluate("document.querySelector('#map')._context.showSendToCloud")
    policy = small.page.get_attribute("meta[http-equiv]", "content")
    assert policy is not None
    assert {"default-src 'none'", "connect-src 'none'", "form-action 'none'"} <= set(policy.split("; "))


def test_where_points_stand_for_more_examples_the_page_says_what_it_counts(open_page: Callable[..., Opened]) -> None:
    opened = open_page(*document(2_000, max_points=500))
    shown = opened.rows.height
    opened.wait_for("#shown", f"{shown} points of 2,000 examples")
    assert not opened.page.is_visible("#scope")
    assert 1 == opened.page.locator("#map image").count()
    opened.page.select_option("#x", "avg_loss")
    opened.page.wait_for_selector("#scope:not([hidden])")
    assert "Here only the points are shown and counted, not all examples." == opened.page.inner_text("#scope")
    assert (shown, shown) == points_and_counts(opened.page)
    assert 0 == opened.page.locator("#map image").count()
    assert [] == opened.troubles
