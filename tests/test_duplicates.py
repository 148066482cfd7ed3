"""Texts that are the same, or nearly, are found however they are written, and others are not."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.analysis import duplicates, ngrams

LONG = "how long does it take until the transfer to my account has arrived"


def series(*texts: str | None) -> pl.Series:
    return pl.Series(texts, dtype=pl.String)


@pytest.mark.parametrize(
    ("other", "same"),
    [
        ("Hello  World", True),
        ("\thello\nworld ", True),
        ("ｈｅｌｌｏ　ｗｏｒｌｄ", True),
        ("hello world!", False),
        ("helloworld", False),
    ],
)
def test_texts_are_the_same_but_for_case_width_and_blanks(other: str, same: bool) -> None:
    assert [0, 0 if same else 1] == duplicates.groups(series("hello world", other), None).tolist()


def test_a_pair_is_the_same_in_either_order() -> None:
    assert [0, 0, 2] == duplicates.groups(series("a", "B", "a"), series("b", "A", "a")).tolist()


def test_a_second_text_is_not_a_part_of_the_first() -> None:
    assert [0, 1] == duplicates.groups(series("ab", "a"), series("", "b")).tolist()


@given(st.lists(st.tuples(st.text("aA b", max_size=3), st.text("aB", max_size=2)), min_size=1, max_size=8))
def test_groups_are_those_of_the_slow_way(pairs: list[tuple[str, str]]) -> None:
    keys = [tuple(sorted(" ".join(text.lower().split()) for text in pair)) for pair in pairs]
    a, b = zip(*pairs, strict=True)
    assert [keys.index(key) for key in keys] == duplicates.groups(series(*a), series(*b)).tolist()


@pytest.mark.parametrize("other", [LONG + "?", LONG.replace("arrived", "arived"), LONG.upper() + " ...", LONG + " yet"])
def test_a_text_with_a_small_change_is_near(other: str) -> None:
    assert [0, 1, 0] == duplicates.near(series(LONG, "something else altogether", other), None).tolist()


@pytest.mark.parametrize("other", ["how long does it take to get a new card to my address", "", "?!", None])
def test_another_text_is_not_near(other: str | None) -> None:
    assert [0, 1] == duplicates.near(series(LONG, other), None).tolist()


def test_short_texts_are_near_only_where_letters_and_digits_agree() -> None:
    assert [0, 0, 2] == duplicates.near(series("room 12", "Room-12!", "room 13"), None).tolist()


def test_near_pairs_need_both_texts() -> None:
    near = duplicates.near(
        series(LONG, LONG, LONG + "?"), series("yes it is", "a completely other answer", "yes it is")
    )
    assert [0, 1, 0] == near.tolist()


@given(st.lists(st.text("ab中", max_size=6), min_size=1, max_size=6))
def test_trigrams_are_those_of_the_slow_way_text_by_text(rows: list[str]) -> None:
    text, key = ngrams.trigrams(series(*rows))
    found = [
        (int(t), "".join(chr(int(k) >> 21 * i & (1 << 21) - 1) for i in range(3)))
        for t, k in zip(text, key, strict=True)
    ]
    assert [(t, row[i : i + 3]) for t, row in enumerate(rows) for i in range(len(row) - 2)] == found
