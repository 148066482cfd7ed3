"""Words for people: plurals, shortening, what an error says. Once, for everyone."""

from __future__ import annotations

import re


def counted(count: int, noun: str) -> str:
    """`1 row`, `2,000 rows`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def short(text: str, length: int = 200) -> str:
    """The text, ending in an ellipsis where it has more than `length` characters."""
    return text if len(text) <= length else text[:length] + " …"


def reason(error: OSError) -> str:
    """The system's words; Polars gives them in its own form."""
    return error.strerror or re.sub(r" \(os error \d+\)", "", str(error)).splitlines()[0]
