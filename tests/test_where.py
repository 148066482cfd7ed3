"""Conditions on the rows of a summary: what is understood, and what is refused in one line."""

from __future__ import annotations

import operator
from collections.abc import Callable

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli import where
from datamap_cli.errors import DatamapError

FRAME = pl.DataFrame(
    {
        "id": ["a", "b", "c", "7"],
        "label": [0, 1, 0, 1],
        "avg_probs": [0.1, 0.5, None, 0.9],
        "never_learnt": [True, False, True, None],
        "my signal": [1.0, 2.0, 3.0, 4.0],
        "损失": [4, 3, 2, 1],
        "select": [1, 2, 3, 4],
    }
)


@pytest.mark.parametrize(
    ("answers", "expression"),
    [
        ([True, False, False, False], "avg_probs < 0.3"),
        ([True, True, False, False], "avg_probs < 0.3 OR label = 1 and avg_probs <= .5"),
        ([True, False, True, False], "never_learnt"),
        ([False, True, False, False], "not never_learnt"),
        ([False, False, True, False], "avg_probs is null"),
        ([False, False, False, True], "avg_probs > avg(avg_probs)"),
        ([True, False, True, False], "id in ('a', 'c')"),
        ([False, True, True, False], '"my signal" between 2 and 3'),
        ([False, False, False, True], "损失 = 1"),
        ([False, False, False, True], "\"select\" = 4 and id != 'select -- ; '"),
        ([True, False, False, False], "avg_probs < 0.3 as low"),
        ([True, True, False, True], "case when avg_probs < 1 then true end"),
    ],
)
def test_a_row_is_kept_where_the_expression_is_true_and_null_is_not(answers: list[bool], expression: str) -> None:
    assert answers == where.rows(expression, FRAME).to_list()
    assert answers == FRAME.select(answer=where.parse(expression, FRAME.schema))["answer"].to_list()


def test_the_complement_of_null_is_true() -> None:
    assert [False, True, True, True] == FRAME.select(
        ~where.parse("avg_probs < 0.3", FRAME.schema)
    ).to_series().to_list()


@pytest.mark.parametrize(
    ("message", "expression"),
    [
        (
            "where: avg_prob < 1: no column avg_prob; did you mean avg_probs? known: "
            "id, label, avg_probs, never_learnt, my signal, 损失, select (texts stand in single quotes)",
            "avg_prob < 1",
        ),
        (
            'where: id = "a": no column a; known: '
            "id, label, avg_probs, never_learnt, my signal, 损失, select (texts stand in single quotes)",
            'id = "a"',
        ),
        (
            "where: 1 = 1: names no column; known: id, label, avg_probs, never_learnt, my signal, 损失, select",
            "1 = 1",
        ),
        (
            "where: avg_probs: expected true or false for a row, such as avg_probs < 0.3, not a number",
            "avg_probs",
        ),
        (
            "where: max(avg_probs) > 0: expected true or false for each row, not one answer for all",
            "max(avg_probs) > 0",
        ),
        ("where: label = 'x': cannot compare string with numeric type (i64)", "label = 'x'"),
    ],
)
def test_what_is_not_true_or_false_row_by_row_is_told_with_what_is_accepted(message: str, expression: str) -> None:
    with pytest.raises(DatamapError) as error:
        where.parse(expression, FRAME.schema)
    assert message == str(error.value)


@pytest.mark.parametrize(
    ("found", "expression"),
    [
        ("found SELECT", "SELECT * from summary"),
        ("found select", "avg_probs in (select 1)"),
        ("found a subquery", "avg_probs in (values (1))"),
        ("found ;", "avg_probs < 1; drop table x"),
        ("found --", "avg_probs < 1 -- low"),
        ("found /*", "avg_probs /* y */ < 1"),
        ("found $$", "id = $$select$$"),
        ("found select", r"E'\' or avg_probs in (select a from b) or id = \''"),
        ("unsupported function 'read_csv'", "avg_probs < read_csv('/etc/passwd')"),
        ("unexpected token ','", "avg_probs < 1, label"),
        ("'limit' clause", "avg_probs < 1 limit 1"),
        ("not an SQL expression", ""),
        ("not an SQL expression", "  \n "),
        ("not an SQL expression", "*"),
        ("not an SQL expression", "avg_probs < .3 or"),
        ("not an SQL expression", "avg_probs < 1 \x00"),
        ("not an SQL expression", "(" * 900 + "avg_probs < 1" + ")" * 900),
        ("120,006 characters; expected 2,000 at most", "select" + " or id = '1'" * 10_000),
        ("not an SQL expression", "avg_probs < least()"),  # at this Polars panics
        ("names no column", "columns('.*') > 0"),
        ("regex", "id rlike '('"),
        ("no column " + "x" * 79 + "…", "x" * 900 + " > 1"),
    ],
)
def test_more_or_less_than_an_expression_is_refused_in_one_short_line(found: str, expression: str) -> None:
    with pytest.raises(DatamapError) as error:
        where.parse(expression, FRAME.schema)
    assert found in str(error.value)
    assert 400 > len(str(error.value))
    assert str(error.value).isprintable()


def test_a_value_that_cannot_be_reckoned_with_is_a_line() -> None:
    where.parse("id::int > 1", FRAME.schema)
    with pytest.raises(
        DatamapError, match=r"^where: id::int > 1: conversion from `str` to `i32` failed in column 'id'"
    ):
        where.rows("id::int > 1", FRAME)


@pytest.mark.parametrize(
    ("values", "expression"),
    [
        ([0.1, 0.5, None, 0.9], "avg_probs"),
        ([1.0, 2.0, 3.0, 4.0], "my signal"),
        ([1.0, 2.0, 3.0, 4.0], "select"),
        ([1.0, 0.0, 1.0, None], "never_learnt"),
        ([99.0, 1.0, 99.0, 1.0], "case when never_learnt then 99 else label end"),
        ([0.1, 0.5, None, 0.9], "avg_probs + 0 * label"),
        ([None] * 4, "label * 'NaN'::float"),
    ],
)
def test_a_value_is_a_column_or_an_expression(values: list[float | None], expression: str) -> None:
    assert values == where.values("--by", expression, FRAME).to_list()


@pytest.mark.parametrize(
    ("message", "expression"),
    [
        ("--by: id: expected a number for a row, such as 1 - avg_probs, not a text", "id"),
        ("--by: select 1: expected an expression such as 1 - avg_probs and no more; found select", "select 1"),
        ("--by: max(label): expected a number for each row, not one answer for all", "max(label)"),
        ("--by: avg: no column avg; known: id, label, avg_probs", "avg"),
        ("--by: cast(id as int): conversion from", "cast(id as int)"),
    ],
)
def test_what_is_no_number_is_refused_with_the_name_of_the_option(message: str, expression: str) -> None:
    with pytest.raises(DatamapError) as error:
        where.values("--by", expression, FRAME)
    assert str(error.value).replace('"', "").startswith(message)


NUMBERS = st.one_of(st.none(), st.integers(-5, 5))


@given(
    values=st.lists(st.tuples(NUMBERS, NUMBERS), min_size=1, max_size=12),
    comparison=st.sampled_from([("<", operator.lt), (">=", operator.ge), ("=", operator.eq), ("<>", operator.ne)]),
    bound=st.integers(-5, 5),
)
def test_comparisons_are_those_of_python_on_what_is_there(
    values: list[tuple[int | None, int | None]],
    comparison: tuple[str, Callable[[int, int], bool]],
    bound: int,
) -> None:
    symbol, compare = comparison
    frame = pl.DataFrame(values, schema={"a": pl.Int64, "b": pl.Int64}, orient="row")
    expected = [
        (a is not None and compare(a, bound)) or (a is not None and b is not None and compare(a, b)) for a, b in values
    ]
    assert expected == where.rows(f"a {symbol} {bound} or a {symbol} b", frame).to_list()
