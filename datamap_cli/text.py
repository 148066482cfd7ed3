"""Words for people: plurals, lists, shortening, foreign texts on one line, what an error says. Once, for everyone."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any, Protocol

from rich.cells import cell_len, chop_cells

# Controls, overrides of the direction of writing, which turn around what stands beside them, ends
# of lines that only some programs know, and surrogates, which no file and no terminal takes
_CONTROL = (*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_UNSHOWN = (*_CONTROL, *range(0xD800, 0xE000))
_VISIBLE = {
    **dict.fromkeys(_UNSHOWN, "\ufffd"),
    **{code: chr(0x2400 + code) for code in range(0x20)},  # Unicode's pictures of control characters
    **dict.fromkeys((0x0A, 0x2028, 0x2029), "↵"),
    0x09: "⇥",
}
_BLANK = dict.fromkeys(_UNSHOWN, " ")
_ANY = re.compile(f"[{re.escape(''.join(map(chr, _UNSHOWN)))}]")


class Values(Protocol):
    """Values in an order: a list, a Polars series, an array."""

    def __len__(self) -> int: ...

    def __getitem__(self, key: slice, /) -> Any: ...


def counted(count: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(text: str, length: int = 200) -> str:
    """The text in `length` characters at most, the last one an ellipsis where it has more."""
    return text if len(text) <= length else text[: length - 1] + "…"


def shown(value: object, length: int = 60) -> str:
    """A foreign value within a line: short, and quoted where something in it would break the line."""
    text = str(value)
    return short(text if text.isprintable() else repr(text), length)


def listed(values: Values, show: Callable[[Any], str] = shown, *, most: int = 3, separator: str = ", ") -> str:
    """The first three of the values, and an ellipsis where there are more: `1, 2, 3, …`."""
    return separator.join([*map(show, values[:most]), *(["…"] if len(values) > most else [])])


def listed_ids(values: Values) -> str:
    """The first three ids: `id 3, id 7, id 12, …`."""
    return listed(values, lambda value: f"id {shown(value)}")


def listed_all(values: Iterable[object]) -> str:
    """All the values, as far as they find room in a message."""
    return short(", ".join(map(shown, values)))


# ------------------------------------------------------------------------------------- foreign texts


def plain(text: str) -> str:
    """A foreign text on one line, without the control characters that could steer a terminal."""
    return text.translate(_BLANK) if _ANY.search(text) else text


def visible(text: str) -> str:
    """The text with control characters as symbols; it has one line and one direction."""
    return text.translate(_VISIBLE) if _ANY.search(text) else text


def width(text: str) -> int:
    """Columns the text takes: East Asian characters and emoji two, accents that stand above others none."""
    return cell_len(text)


def cut(text: str, columns: int) -> str:
    """The text, ending in an ellipsis where it takes more than `columns`."""
    return text if width(text) <= columns else chop_cells(text, columns - 1)[0] + "…"


# --------------------------------------------------------------------------------------- spreadsheets

# One rule for all tables: Polars and, in the page, JavaScript read these expressions alike
FORMULA = r"^[=+\-@\t\r\n＝＋－＠]"
"""How a text begins that a spreadsheet takes for a formula."""
NUMBER = r"^[+-]?[0-9]+(\.[0-9]+)?$"
"""Texts that begin so, and are none."""


# --------------------------------------------------------------------------------------------- errors


def first_line(error: BaseException) -> str:
    """The first line of what an error says, or its name where it says nothing."""
    return plain((str(error).strip() or type(error).__name__).splitlines()[0])


def reason(error: OSError) -> str:
    """The system's words; Polars gives them in its own form."""
    return error.strerror or re.sub(r" \(os error \d+\)", "", first_line(error))
