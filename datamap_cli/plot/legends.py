"""What the legends on the right say."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import polars as pl

from datamap_cli.plot import layout, look
from datamap_cli.plot.categories import Groups, Selection
from datamap_cli.plot.hover import cut, escape, width
from datamap_cli.plot.words import Words

NAME = 28
"""Longest name in a legend, in columns."""


def legends(
    selection: Selection,
    groups: Groups,
    marked: pl.DataFrame,
    signal: str | None,
    words: Words,
    shares: Callable[[pl.Series], dict[str, str]],
) -> list[Legend]:
    """From the top: what a click hides, the shapes where they tell something of their own, no value, the rings.

    `signal` is that of the colour bar; `shares` says what share of rows of the summary lies in each region.
    """
    apart = selection.shape.categories != groups.categories
    found = [_group_legend(groups, selection.points.height, colored=selection.color is not None, shaped=not apart)]
    if apart:
        found.append(_shape_legend(selection))
    if selection.color is None and selection.points["value"].has_nulls():
        found.append(_valueless_legend(selection.points["value"], str(signal), words))
    if marked.height:
        found.append(_ring_legend(marked, words, shares))
    return found


@dataclass(frozen=True)
class Entry:
    name: str
    count: str
    marker: str
    color: str
    rank: int = 0
    group: str | None = None
    details: tuple[str, ...] = ()
    detail: str = ""
    """The details in one line, where there is no room for more."""


@dataclass(frozen=True)
class Legend:
    title: str
    entries: tuple[Entry, ...]
    clickable: bool

    @property
    def extent(self) -> layout.Legend:
        widths = [width(entry.name) + len(entry.count) for entry in self.entries]
        details = [width(line) - 2 for entry in self.entries for line in entry.details]
        lines = tuple(1 + len(entry.details) for entry in self.entries)
        return layout.Legend(escape(self.title), (width(self.title) - 3, *widths, *details), lines, self.clickable)

    @property
    def short(self) -> Legend:
        """The same on fewer lines."""
        entries = (replace(entry, details=(entry.detail,) if entry.detail else ()) for entry in self.entries)
        return replace(self, entries=tuple(entries))

    def traces(self, legend: str) -> Iterator[go.Scatter]:
        """A trace without points for each entry: those of the points themselves are as faint as the map needs them."""
        for entry in self.entries:
            muted = "<br>".join([f"   {entry.count}" if entry.count else "", *map(escape, entry.details)])
            yield go.Scatter(
                x=[None],
                y=[None],
                mode="markers",
                name=f"{escape(entry.name)}<span style='color:{look.MUTED}'>{muted}</span>",
                marker={"color": entry.color, "symbol": entry.marker, "size": 10, "line": {"width": 1.5}}
                if "open" in entry.marker
                else {"color": entry.color, "symbol": entry.marker, "size": 10},
                legend=legend,
                legendgroup=entry.group,
                legendrank=entry.rank,
                showlegend=True,
                hoverinfo="skip",
            )


def _group_legend(groups: Groups, passing: int, *, colored: bool, shaped: bool) -> Legend:
    entries: list[Entry] = []
    for i in (i for i in groups.scheme.listed if groups.counts[i]):
        category, number = groups.categories[i], int(groups.counts[i])
        entries.append(
            Entry(
                cut(category.name, NAME),
                f"{number:,} ({number / passing:.1%})",
                category.marker if shaped else "circle",
                category.color if colored else look.MUTED,
                rank=len(entries),
                group=groups.key(i),
            )
        )
    return Legend(cut(groups.scheme.signal, NAME), tuple(entries), clickable=True)


def _shape_legend(selection: Selection) -> Legend:
    scheme = selection.shape
    counts = np.bincount(selection.points["shape"].to_numpy(), minlength=len(scheme.categories))
    entries = [
        Entry(
            cut(scheme.categories[i].name, NAME),
            f"{counts[i]:,} ({counts[i] / selection.points.height:.1%})",
            scheme.categories[i].marker,
            look.MUTED,
            rank=rank,
        )
        for rank, i in enumerate(i for i in scheme.listed if counts[i])
    ]
    return Legend(cut(scheme.signal, NAME), tuple(entries), clickable=False)


def _valueless_legend(values: pl.Series, signal: str, words: Words) -> Legend:
    """What the colour bar has no place for."""
    number = values.null_count()
    entry = Entry(words("no value"), f"{number:,} ({number / len(values):.1%})", "circle", look.NO_VALUE[0])
    return Legend(cut(signal, NAME), (entry,), clickable=False)


def _ring_legend(marked: pl.DataFrame, words: Words, shares_of: Callable[[pl.Series], dict[str, str]]) -> Legend:
    """Hard and planted dirty examples: how many, and what share of them lies in each region."""
    entries = []
    for s_label, (marker, color) in look.RINGS.items():
        rows = marked.filter(pl.col("s_label") == s_label)["row"]
        if rows.is_empty():
            continue
        shares = shares_of(rows)
        entries.append(
            Entry(
                words(f"s_label {s_label}"),
                f"{len(rows):,}",
                marker,
                color,
                rank=s_label,
                details=tuple(f"{words(name)} {share}" for name, share in shares.items()),
                detail=words("comma").join(f"{words(f'{name}, short')} {share}" for name, share in shares.items()),
            )
        )
    return Legend("s_label", tuple(entries), clickable=False)
