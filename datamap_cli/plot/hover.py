"""What stands in the box beside a point: texts of others, made harmless and wrapped."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from datamap_cli.plot.look import MUTED

COLUMNS = 40
"""Width of a line; East Asian characters count two."""
CHARACTERS = 300
"""Longest text shown."""

_MAIN_SIGNALS = ("avg_probs", "label_var", "correct_times", "forgetting_times", "learnt_times")

_VISIBLE = {
    **{code: chr(0x2400 + code) for code in range(0x20)},  # Unicode's pictures of control characters
    **dict.fromkeys((0x0A, 0x2028, 0x2029), "↵"),
    0x09: "⇥",
    # other controls, overrides of the direction of writing, which turn around what stands beside them, and
    # surrogates, which no file takes
    **dict.fromkeys((*range(0x7F, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)), "\ufffd"),
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}
_INVISIBLE = re.compile(f"[{re.escape(''.join(map(chr, _VISIBLE)))}]")
# Plotly reads tags, entities and %{templates}; each is decoded once
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;"})

_SPECIAL = re.compile(f"[&<>%{re.escape(''.join(map(chr, _VISIBLE)))}]")

_WIDE = (
    "\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6"
    "\U0001f300-\U0001faff\U00020000-\U0003ffff"
)
_AFTER_WIDE = re.compile(f"(?<=[{_WIDE}])")
# no line begins with one of these
_CLOSING = "，。、；：！？）】》〉」』…”’,.;:!?)"


def visible(text: str) -> str:
    """The text with control characters as symbols; it has one line and one direction."""
    return text.translate(_VISIBLE) if _INVISIBLE.search(text) else text


def escape(text: str) -> str:
    """The text so that Plotly's pseudo-HTML shows it as it stands, control characters as symbols."""
    return visible(text).translate(_MARKUP) if _SPECIAL.search(text) else text


def width(text: str) -> int:
    """Columns the text takes: East Asian characters and emoji two, all others one."""
    return len(_spread(text))


def cut(text: str, columns: int = COLUMNS) -> str:
    """The text, ending in an ellipsis where it takes more than `columns`."""
    spread = _spread(text)
    if len(spread) <= columns:
        return text
    return re.sub(rf"[{_WIDE}]\Z", "", spread[: columns - 1]).replace("\0", "") + "…"


def wrap(text: str, columns: int = COLUMNS) -> list[str]:
    """Lines of at most `columns`: broken at blanks and around East Asian characters, else anywhere.

    The text has no control characters, as `visible` leaves it. Blanks at a break are dropped.
    """
    return [line.replace("\0", "").rstrip(" ") for line in _line(columns).findall(_spread(text))]


def _spread(text: str) -> str:
    """A filler after each wide character: a column is a character then."""
    return text if text.isascii() else _AFTER_WIDE.sub("\0", text)


@cache
def _line(columns: int) -> re.Pattern[str]:
    some = f".{{1,{columns}}}"
    may_break = rf"(?: |\Z|(?<=\0)(?![{_CLOSING}])|(?![{_CLOSING}])[{_WIDE}])"
    # where there is no break to be had, anywhere but between a wide character and its filler
    return re.compile(rf" *(?! )({some}(?={may_break})|{some}(?<![{_WIDE}]))", re.DOTALL)


def paragraph(text: str) -> str:
    """A foreign text as lines of pseudo-HTML, cut at CHARACTERS."""
    if len(text) > CHARACTERS:
        text = text[:CHARACTERS] + "…"
    text = visible(text)
    lines = [text] if 2 * len(text) <= COLUMNS else wrap(text)
    return "<br>".join(escape(line) for line in lines)


def fields(summary: pl.DataFrame, examples: pl.DataFrame | None, classes: Sequence[str], axes: Sequence[str]) -> Any:
    """Array of strings in pseudo-HTML, (N, fields), what `template` refers to, for these rows of both."""
    names = [escape(cut(name)) for name in classes]
    columns = [
        [escape(cut(identifier)) for identifier in summary["id"].cast(pl.String)],
        *([] if examples is None else [map(paragraph, examples[text]) for text in _texts(examples)]),
        *([[names[label] for label in summary["label"]], _verdicts(summary, names)] if _has_labels(summary) else []),
        *(_numbers(summary[signal]) for signal in _signals(summary, axes)),
    ]
    return np.array([list(column) for column in columns], dtype=object).T


def template(summary: pl.DataFrame, examples: pl.DataFrame | None, evaluations: int | None, axes: Sequence[str]) -> str:
    """Plotly's hover template over the `fields`."""
    names = [
        "id",
        *([] if examples is None else _texts(examples)),
        *(["label", "predicted"] if _has_labels(summary) else []),
        *(escape(cut(signal)) for signal in _signals(summary, axes)),
    ]
    lines = []
    for number, name in enumerate(names):
        value = f"%{{customdata[{number}]}}"
        if name == "correct_times" and evaluations is not None:
            value += f" / {evaluations}"
        # a text begins its own line, and is told from the next by its name
        between = "<br>" if name.startswith("text_") else "  "
        lines.append(f"<span style='color:{MUTED}'>{name}</span>{between}{value}")
    return "<br>".join(lines) + "<extra></extra>"


def _has_labels(summary: pl.DataFrame) -> bool:
    return {"label", "pred_label", "suggested_label"} <= set(summary.columns)


def _texts(examples: pl.DataFrame) -> list[str]:
    return ["text_a"] if examples["text_b"].is_null().all() else ["text_a", "text_b"]


def _signals(summary: pl.DataFrame, axes: Sequence[str]) -> list[str]:
    return list(dict.fromkeys([*(name for name in _MAIN_SIGNALS if name in summary.columns), *axes]))


def _verdicts(summary: pl.DataFrame, names: Sequence[str]) -> list[str]:
    """The class last predicted, and on a line of its own the suggested one where it is not the label."""
    suggestion = [f"<br><span style='color:{MUTED}'>suggested</span>  {name}" for name in names]
    rows = summary.select("label", "pred_label", "suggested_label").iter_rows()
    return [
        names[predicted] + (suggestion[suggested] if suggested != label else "") for label, predicted, suggested in rows
    ]


def _numbers(values: pl.Series) -> list[str]:
    if values.dtype.is_float():
        values = values.round_sig_figs(4)
    return values.cast(pl.String).fill_null("–").to_list()
