"""Texts of others on the figure: made harmless, cut to the room there is."""

from __future__ import annotations

from datamap_cli import text as words
from datamap_cli.text import visible, width

__all__ = ["COLUMNS", "cut", "escape", "visible", "width"]

COLUMNS = 40
"""Width of a name on the figure; East Asian characters count two."""

# Plotly reads tags, entities and %{templates}; each is decoded once
_MARKUP = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;", "%": "&#37;"})


def escape(text: str) -> str:
    """The text so that Plotly's pseudo-HTML shows it as it stands, control characters as symbols."""
    return visible(text).translate(_MARKUP)


def cut(text: str, columns: int = COLUMNS) -> str:
    """The text, ending in an ellipsis where it takes more than `columns`."""
    return words.cut(text, columns)
