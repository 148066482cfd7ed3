"""Words for people: counted, listed, shortened, made harmless."""

from __future__ import annotations

import errno

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli import text


@pytest.mark.parametrize(("said", "count"), [("0 rows", 0), ("1 row", 1), ("2 rows", 2), ("2,000 rows", 2000)])
def test_what_is_counted_is_one_or_several(said: str, count: int) -> None:
    assert said == text.counted(count, "row")


@pytest.mark.parametrize(("shown", "length"), [("abcd", 5), ("abcd", 4), ("ab…", 3), ("…", 1)])
def test_a_text_is_shortened_to_its_length_with_the_ellipsis(shown: str, length: int) -> None:
    assert shown == text.short("abcd", length)


@pytest.mark.parametrize(
    ("shown", "value"),
    [
        ("7", 7),
        ("数据", "数据"),
        (r"'a\nb'", "a\nb"),
        (r"'\x1b[2J'", "\x1b[2J"),
        ("x" * 59 + "…", "x" * 61),
        ("None", None),
    ],
)
def test_a_foreign_value_stays_within_its_line(shown: str, value: object) -> None:
    assert shown == text.shown(value)


def test_of_many_values_the_first_three_are_listed() -> None:
    assert "" == text.listed([])
    assert "1, 2, 3" == text.listed([1, 2, 3])
    assert "1, 2, 3, …" == text.listed((1, 2, 3, 4))
    assert "0, 1, …" == text.listed(np.arange(5), most=2)
    assert "line 1; line 2; line 3; …" == text.listed(range(1, 9), "line {}".format, separator="; ")
    assert r"id a, id 'b\n', id c, …" == text.listed_ids(pl.Series(["a", "b\n", "c", "d"]))


def test_all_names_are_listed_as_far_as_a_message_has_room() -> None:
    assert r"a, '\t', 3" == text.listed_all(["a", "\t", 3])
    assert 200 == len(text.listed_all(range(1000)))


# ------------------------------------------------------------------------------------- foreign texts


@pytest.mark.parametrize(
    ("plain", "visible", "foreign"),
    [
        ("a b c d", "a⇥b↵c␍d", "a\tb\nc\rd"),
        ("    ", "␀␛\ufffd\ufffd", "\x00\x1b\x7f\x85"),
        ("a b c", "a↵b↵c", "a\u2028b\u2029c"),
        (" abc ", "\ufffdabc\ufffd", "\u202eabc\u2066"),
        (" ", "\ufffd", "\ud800"),
        ("👩\u200d🔬 \u200fשלום", "👩\u200d🔬 \u200fשלום", "👩\u200d🔬 \u200fשלום"),
        ("plain 中文", "plain 中文", "plain 中文"),
    ],
)
def test_a_foreign_text_has_one_line_and_one_direction(plain: str, visible: str, foreign: str) -> None:
    assert plain == text.plain(foreign)
    assert visible == text.visible(foreign)


@given(st.text(st.characters(codec=None)))
def test_no_control_character_is_left(foreign: str) -> None:
    for made in (text.plain(foreign), text.visible(foreign)):
        assert made.splitlines() == ([made] if made else [])
        made.encode()  # no surrogate
        assert len(foreign) == len(made)


@pytest.mark.parametrize(("columns", "shown"), [(4, "data"), (10, "data 地图!"), (1, "e\u0301"), (2, "👩\u200d🔬")])
def test_a_column_is_what_a_terminal_gives_a_character(columns: int, shown: str) -> None:
    assert columns == text.width(shown)


@pytest.mark.parametrize(
    ("columns", "shown"), [(8, "a 数据图"), (7, "a 数据…"), (6, "a 数…"), (5, "a 数…"), (4, "a …")]
)
def test_a_long_text_ends_in_an_ellipsis_within_its_columns(columns: int, shown: str) -> None:
    assert shown == text.cut("a 数据图", columns)
    assert text.width(shown) <= columns


# --------------------------------------------------------------------------------------------- errors


def test_of_an_error_the_first_line_is_told_or_its_name() -> None:
    assert "bad" == text.first_line(ValueError("\nbad\nand more"))
    assert "a  b" == text.first_line(ValueError("a \x1bb"))
    assert "EOFError" == text.first_line(EOFError())


def test_of_a_failed_file_the_systems_words_are_told() -> None:
    assert "No space left on device" == text.reason(OSError(errno.ENOSPC, "No space left on device", "x"))
    assert "No such file: x" == text.reason(OSError("No such file (os error 2): x"))
