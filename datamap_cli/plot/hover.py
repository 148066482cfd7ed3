"""Texts of others on the figure: made harmless, measured, cut."""

from __future__ import annotations

import re

COLUMNS = 40
"""Width of a name on the figure; East Asian characters count two."""

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


def _spread(text: str) -> str:
    """A filler after each wide character: a column is a character then."""
    return text if text.isascii() else _AFTER_WIDE.sub("\0", text)
