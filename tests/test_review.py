"""Reviewing in a terminal: what keys do, what is shown, and that nothing decided is ever lost."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text

from datamap_cli import text as words
from datamap_cli.analysis import verdicts
from datamap_cli.analysis.verdicts import Verdict
from datamap_cli.commands import audits
from datamap_cli.review.state import Item, Review
from datamap_cli.review.view import View, clean, marked, sparkline, wrapped
from datamap_cli.run import Run
from tests.terminals import Session
from tests.test_selection import make_run

Cli = Callable[..., tuple[int, str, str]]
AT = "2026-11-24T09:00:00+01:00"
CLASSES = ["no", "yes", "perhaps not"]


def make_view(count: int = 3, classes: list[str] = CLASSES, **item: Any) -> View:
    values: dict[str, Any] = {
        "label": "no",
        "texts": ("a", "b"),
        "suggested": "yes",
        "probs": (0.2, 0.7, 0.1),
        "why": "never learnt",
    }
    items = [Item(k, **(values | item)) for k in range(count)]
    return View(Review(items, reviewer="ann", run="r1"), classes, "Suspects")


def pressed(view: View, keys: str) -> list[tuple[int | str, str, str | None]]:
    """What the keys decided."""
    named = {"<": "left", ">": "right", "\r": "enter", "\x1b": "escape", "\b": "backspace"}
    found = [view.press(named.get(key, key), AT) for key in keys]
    return [(verdict.id, verdict.verdict, verdict.new_label) for verdict in found if verdict is not None]


# ----------------------------------------------------------------------------------------------- keys


@pytest.mark.parametrize(
    ("decided", "keys"),
    [
        ([(0, "keep", None), (1, "relabel", "yes"), (2, "drop", None)], "ksd"),
        ([(0, "unsure", None)], "u"),
        ([(0, "relabel", "yes"), (1, "keep", None), (2, "relabel", "perhaps not")], "213"),  # the label it has is kept
        ([(0, "relabel", "perhaps not")], "cPERH\r"),
        ([(0, "relabel", "perhaps not")], "/perhapx\bs\r"),
        ([(0, "keep", None)], "cno\r"),  # the whole name comes before one that holds it
        ([], "cxyz\r\x1b"),
        ([(2, "keep", None), (0, "drop", None)], ">>k<<d"),
        ([(0, "keep", None), (1, "keep", None), (1, "undo", None), (0, "undo", None)], "kkzzz"),
        ([(0, "keep", None), (0, "drop", None), (0, "keep", None)], "k<dz"),  # what was decided before stands again
        ([], "<<<456789 ?"),
    ],
)
def test_keys_decide(decided: list[tuple[int, str, str | None]], keys: str) -> None:
    assert decided == pressed(make_view(), keys)


def test_a_note_goes_with_the_verdict_that_follows_or_is_there() -> None:
    view = make_view()
    assert [] == pressed(view, "nfirst\r")
    kept = view.press("k", AT)
    assert (kept, "first") == (view.review.decided[0], kept.note if kept else None)
    assert [(0, "keep", None)] == pressed(view, "<n\b\b\b\b\bsecond\r")
    assert "second" == view.review.decided[0].note
    assert [(0, "drop", None)] == pressed(view, "d")
    assert ("second", None) == (view.review.decided[0].note, view.note)


def test_there_is_no_suggestion_to_take_where_none_is_shown() -> None:
    for suggested in (None, "no"):
        view = make_view(suggested=suggested)
        assert [] == pressed(view, "s")
        assert "there is no suggestion of another label here" == view.message


def test_digits_stand_for_the_most_probable_of_many_classes() -> None:
    names = [f"class {k}" for k in range(77)]
    probs = tuple(np.linspace(0, 1, 77).tolist())
    view = make_view(classes=names, label="class 0", suggested="class 76", probs=probs)
    assert [f"class {k}" for k in range(76, 67, -1)] == view.choices()
    blind = make_view(classes=names, label="class 0", suggested=None, probs=())
    assert names[:9] == blind.choices()


def test_after_the_last_the_first_that_is_open_comes() -> None:
    view = make_view()
    pressed(view, ">kk")
    assert (0, False) == (view.review.place, view.review.finished)
    pressed(view, "k")
    assert view.review.finished
    assert "all decided: q ends, z takes back" in view.draw(80, 24)[-3].plain or view.message


def test_progress_counts_what_is_wrong_in_all_and_among_the_last_twenty() -> None:
    view = make_view(40)
    pressed(view, "s" * 15 + "k" * 10 + "ud" + "u" * 3)
    progress = view.review.progress()
    assert (30, 40, 16, 20, 6) == (
        progress.decided,
        progress.total,
        progress.wrong,
        progress.recent,
        progress.recent_wrong,
    )
    view.forecast = "next 50: about 3"
    head = view.draw(100, 24)[0].plain
    assert "Suspects  30 of 40 · 16 wrong (53%) · last 20: 30% · next 50: about 3" == head


@given(keys=st.text("kskdu<>z2", max_size=40))
def test_a_review_begun_again_is_where_it_was(keys: str) -> None:
    view = make_view(5)
    lines = [verdict for key in keys if (verdict := view.press({"<": "left", ">": "right"}.get(key, key), AT))]
    again = Review(view.review.items, reviewer="ann", run="r1", earlier=lines)
    assert view.review.decided == again.decided
    assert {v.id: v for v in verdicts.current([lines])} == again.decided
    assert again.finished or again.item.id not in again.decided


# ---------------------------------------------------------------------------------------------- drawing


@given(
    texts=st.lists(st.text("ab 中文é\u0301\n\t\x1b[31m🙂", max_size=300), min_size=1, max_size=2),
    columns=st.integers(20, 120), rows=st.integers(6, 40), keys=st.text("k>cn x", max_size=4),
)  # fmt: skip
def test_a_screen_is_never_larger_than_the_terminal(texts: list[str], columns: int, rows: int, keys: str) -> None:
    view = make_view(texts=tuple(texts), label="招商银行" * 30, why="w" * 200)
    pressed(view, keys)
    lines = view.draw(columns, rows)
    assert rows >= len(lines)
    assert all(words.width(line.plain) <= columns for line in lines)
    assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202e]", "".join(line.plain for line in lines))


@given(text=st.text("ab 中🙂", max_size=200), columns=st.integers(2, 40))
def test_wrapping_loses_nothing_but_spaces(text: str, columns: int) -> None:
    lines = wrapped(Text(text), columns)
    assert text.replace(" ", "") == "".join(line.plain for line in lines).replace(" ", "")
    assert all(words.width(line.plain) <= columns for line in lines)


def test_a_long_text_is_read_on_with_the_arrows() -> None:
    view = make_view(texts=("\n".join(f"line {k}" for k in range(60)),))
    first = [line.plain for line in view.draw(80, 24)]
    assert "  line 0" in first
    assert "↑↓ read on" in "".join(first)
    for _ in range(80):
        view.press("pagedown", AT)
        last = [line.plain for line in view.draw(80, 24)]
    assert "  line 58" in last
    assert any("suggested" in line for line in last)
    pressed(view, "k")
    assert "  line 0" in [line.plain for line in view.draw(80, 24)]


def test_control_characters_are_shown_as_symbols() -> None:
    assert "␛[2J⇥x\n␀\n" == clean("\x1b[2J\tx\r\n\x00\n")


@pytest.mark.parametrize(
    ("expected", "texts"),
    [
        ((["转账手续费是多少"], ["如何办", "的卡"]), ("招商银行转账手续费是多少", "如何办招商银行的卡")),
        ((["dog"], ["cats"]), ("a dog runs", "a cats runs")),  # whole words
        (([], []), ("same", "same")),
        (([" now"], []), ("same now", "same")),
    ],
)
def test_what_differs_in_a_pair_is_marked(expected: tuple[list[str], list[str]], texts: tuple[str, str]) -> None:
    found = [[text.plain[span.start : span.end] for span in text.spans] for text in marked(texts)]
    assert list(expected) == found


def test_marks_can_be_switched_off_and_need_no_colour() -> None:
    view = make_view(texts=("ab", "b c"))
    assert any("underline" in str(span.style) for line in view.draw(80, 24) for span in line.spans)
    pressed(view, "x")
    assert not any("underline" in str(span.style) for line in view.draw(80, 24) for span in line.spans)


def test_a_course_is_a_line_of_blocks() -> None:
    assert "▁▅█·█" == sparkline([0, 0.5, 0.99, float("nan"), 1])


# ----------------------------------------------------------------------------------------- the command


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of 60 pairs with its suspects; the worst has a text that would steer a terminal."""
    directory = tmp_path_factory.mktemp("demo")
    lines = [f"问题 {i}\t回答 {i}\t{'ab'[i % 2]}" for i in range(60)]
    lines = [line.replace("问题", "\x1b[31m\x1b]0;title\x07问题<script>") for line in lines]
    make_run(directory, "train.tsv", "\n".join(["text_a\ttext_b\tlabel", *lines]).encode())
    return directory


@pytest.fixture
def run(demo: Path, run_cli: Cli) -> Run:
    assert 0 == run_cli("suspects", "--run-dir", demo / "run", "--top", "30")[0]
    for name in ("verdicts.jsonl", "audit.json"):
        (demo / "run" / name).unlink(missing_ok=True)
    return Run.open(demo / "run")


def session(run: Run, *options: object, **more: Any) -> Session:
    return Session(["review", "--run-dir", run.directory, "--reviewer", "ann", *options], cwd=run.directory, **more)


def kept(run: Run) -> list[Verdict]:
    return verdicts.load(run.verdicts).verdicts


def test_verdicts_are_kept_at_once_and_a_review_goes_on_after_a_kill(run: Run) -> None:
    order = pl.read_csv(run.directory / "suspects.tsv", separator="\t")["id"].to_list()
    with session(run) as first:
        first.until("0 of 30")
        for count, key in enumerate("kdu", start=1):
            first.press(key)
            first.until(f"{count} of 30")
            assert count == len(kept(run))
        first.kill()
    assert [("keep", order[0]), ("drop", order[1]), ("unsure", order[2])] == [(v.verdict, v.id) for v in kept(run)]
    with run.verdicts.open("ab") as file:
        file.write(b'{"id": 3, "verd')  # what a full disk or a power cut leaves
    with session(run, size=(100, 30)) as second:
        screen = second.until("3 of 30 · 1 wrong (33%)")
        assert any(f"id {order[3]} " in line for line in screen)
        second.press("z")
        second.until("2 of 30")
        second.press("q")
        code, output = second.end()
    assert 0 == code
    assert "line 4: cut off in the middle, and left out" in output
    assert "2 of 30 decided, 1 wrong" in output
    assert ["keep", "drop", "unsure", "undo"] == [verdict.verdict for verdict in kept(run)]
    assert {("ann", run.info.run_id, None)} == {(v.reviewer, v.run, v.sample) for v in kept(run)}


def test_a_kill_at_any_moment_loses_nothing_that_was_shown_as_decided(run: Run) -> None:
    for pause in (0.0, 0.003, 0.01):
        run.verdicts.unlink(missing_ok=True)
        with session(run) as killed:
            killed.until("0 of 30")
            killed.press("kskdkskdks")
            killed.until("1 of 30")
            time.sleep(pause)
            killed.kill()
            shown = max(int(number) for number in re.findall(r"(\d+) of 30", killed.output.decode()))
        assert shown <= len(kept(run))
        assert b"\n" == run.verdicts.read_bytes()[-1:]


def test_a_terminal_is_left_as_it_was_and_no_text_steers_it(run: Run) -> None:
    with session(run) as shown:
        shown.until("q quit")
        shown.press("\x03")  # Ctrl-C
        code, output = shown.end()
    assert 0 == code
    assert "␛[31m␛]0;title␇问题<script>" in output
    assert "\x1b]" not in output
    assert "\x07" not in output
    assert (1, 1) == (output.count("\x1b[?1049h"), output.count("\x1b[?1049l"))


def test_a_screen_follows_the_window_and_needs_no_colour(run: Run) -> None:
    with session(run, size=(80, 24), NO_COLOR="1") as shown:
        assert 24 == len(shown.until("q quit"))
        assert not re.search(r"\x1b\[[0-9;]*3[0-7]m", shown.output.decode())
        assert any("\x1b[1;4m" in line for line in shown.styled())
        shown.resize((44, 12))
        deadline = time.monotonic() + 20
        while len(shown.screen()) != 12 and time.monotonic() < deadline:
            shown._read()
        assert all(words.width(line) <= 44 for line in shown.screen())
        assert any("given" in line for line in shown.screen())


def test_reviewers_do_not_see_each_others_verdicts(run: Run) -> None:
    first = pl.read_csv(run.directory / "suspects.tsv", separator="\t").row(0, named=True)
    run.verdicts.write_text(verdicts.serialize(Verdict(first["id"], "keep", first["label"], None, "bo", AT)))
    with session(run, "--top", "5") as shown:
        shown.until("0 of 5")
        shown.press("k" * 5)
        shown.until("5 of 5")
        shown.press("q")
        shown.end()
    assert ["bo", *["ann"] * 5] == [verdict.reviewer for verdict in kept(run)]


@pytest.mark.parametrize("kind", ["plain", "tsv", "where"])
def test_other_examples_are_reviewed_where_asked(run: Run, kind: str, tmp_path: Path) -> None:
    file = tmp_path / "ids"
    file.write_text("7\n\n 3 \n7\n" if kind == "plain" else "text\tid\nx\t7\ny\t3\n")
    options = ["--where", "id = 7 or id = 3"] if kind == "where" else ["--from", file]
    with session(run, *options) as shown:
        shown.until("0 of 2")
        shown.press("kk")
        shown.until("2 of 2")
        shown.press("q")
        shown.end()
    assert {7, 3} == {verdict.id for verdict in kept(run)}
    assert kind == "where" or [7, 3] == [verdict.id for verdict in kept(run)]


def test_an_audit_shows_nothing_that_leads_and_tells_how_many_are_wrong(run: Run, run_cli: Cli) -> None:
    with session(run, "--audit", "20") as shown:
        screen = "\n".join(shown.until("0 of 20"))
        assert not any(word in screen for word in ("suggested", "rank", "score", "course", "0."))
        shown.press("s")
        shown.until("there is no suggestion")
        for count in range(1, 21):
            shown.press("2")
            shown.until(f"{count} of 20")
        shown.press("q")
        code, output = shown.end()
    assert 0 == code
    sample = audits.drawn(run, 20, 1000)
    assert {sample.name} == {verdict.sample for verdict in kept(run)}
    assert sample.table["id"].to_list() == [verdict.id for verdict in kept(run)]
    wrong = sum(verdict.verdict == "relabel" for verdict in kept(run))
    assert f"told by a sample: {wrong} of 20 labels that a person looked at, of 20 drawn" in output
    found = audits.account(run)
    assert found is not None
    assert found.wrong is not None
    assert 0 < found.wrong.low <= wrong / 20 * 60 + 15
    _, out, _ = run_cli("suspects", "--run-dir", run.directory)
    assert f"about {found.wrong.value:.0f} of 60 labels are wrong" in out
    assert "cleanlab" not in out
    account = json.loads((run.directory / "suspects.json").read_text())
    assert (None, 20) == (account["estimate"], account["audit"]["decided"])
    with session(run, "--audit", "30") as refused:
        assert "the run has a sample of 20 already; go on with it by --audit 20, or remove" in refused.end()[1].replace(
            "\r\n", " "
        )


def test_verdicts_are_applied_as_they_were_decided(run: Run, run_cli: Cli) -> None:
    with session(run) as shown:
        shown.until("0 of 30")
        shown.press("12d")
        shown.until("3 of 30")
        shown.press("q")
        shown.end()
    output = run.directory / "out.tsv"
    code, _, err = run_cli("apply", run.verdicts, "--run-dir", run.directory, "--output", output, "--overwrite")
    relabelled = sum(verdict.verdict == "relabel" for verdict in kept(run))
    expected = f"{relabelled} relabelled, 1 dropped, {2 - relabelled} kept, of 60 examples"
    assert (0, True) == (code, expected in err)


def test_it_says_why_it_cannot_be_done(run: Run, run_cli: Cli, tmp_path: Path) -> None:
    assert (1, "datamap: review: standard input is not a terminal; run it in one\n") == run_cli(
        "review", "--run-dir", run.directory
    )[::2]
    for message, options, environment in (
        ("review: a terminal that can move the cursor is needed; TERM is dumb", [], {"TERM": "dumb"}),
        (
            "--from: nowhere: cannot be read: No such file or directory; expected suspects, or a file of ids",
            ["--from", "nowhere"],
            {},
        ),
        ("line 2: 99: no id of the run in", ["--from", tmp_path / "ids"], {}),
        ("review: nothing to review: where id < 0", ["--where", "id < 0"], {}),
        ("--from, --where and --audit each say what to review", ["--where", "id < 0", "--audit", "3"], {}),
    ):
        (tmp_path / "ids").write_text("3\n99\n")
        with session(run, *options, **environment) as refused:
            code, output = refused.end()
        assert (1, True) == (code, message in output.replace("\r\n", " ")), output
        assert not run.verdicts.exists()


def test_verdicts_of_other_labels_are_refused(run: Run) -> None:
    for message, line in (
        ("the verdict is of other labels", verdicts.serialize(Verdict(0, "keep", "b", None, "ann", AT))),
        (
            'line 1: verdict: "maybe": expected keep',
            '{"id":0,"verdict":"maybe","label":"a","reviewer":"x","at":"2026-11-24T09:00:00Z"}\n',
        ),
    ):
        run.verdicts.write_text(line)
        with session(run) as refused:
            code, output = refused.end()
        assert (1, True) == (code, message in output.replace("\r\n", " ")), output
        assert line == run.verdicts.read_text()
