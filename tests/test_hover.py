"""Texts of others on the figure: made harmless, measured, cut."""

from __future__ import annotations

import pytest

from datamap_cli.plot import hover


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("</script>", "&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("%{x}", "&#37;{x}"),
        ("a\tb\nc\rd", "a⇥b↵c␍d"),
        ("\x00\x1b\x7f\x85", "␀␛\ufffd\ufffd"),
        ("a\u2028b\u2029c", "a↵b↵c"),
        ("\u202eabc\u2066", "\ufffdabc\ufffd"),
        ("\ud800", "\ufffd"),
        ("\"quoted\" 'too'", "\"quoted\" 'too'"),
        ("👩\u200d🔬 \u200fשלום", "👩\u200d🔬 \u200fשלום"),
        ("plain 中文", "plain 中文"),
    ],
)
def test_foreign_text_is_shown_as_it_stands(foreign: str, shown: str) -> None:
    assert shown == hover.escape(foreign)


def test_east_asian_characters_are_two_columns_wide() -> None:
    assert 10 == hover.width("data 地图!")


@pytest.mark.parametrize(
    ("columns", "shown"), [(8, "a 数据图"), (7, "a 数据…"), (6, "a 数…"), (5, "a 数…"), (4, "a …")]
)
def test_a_long_text_ends_in_an_ellipsis_within_its_columns(columns: int, shown: str) -> None:
    assert shown == hover.cut("a 数据图", columns)
    assert hover.width(shown) <= columns
