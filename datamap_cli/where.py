"""What the user says of the rows of a summary, a condition or a value: SQL → a Polars expression."""

from __future__ import annotations

import difflib
import re

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.text import first_line, plain, short

_QUOTED = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"")
# what is more than an expression, or could hide it
_MORE = re.compile(r"\bselect\b|;|--|/\*|\$\$", re.IGNORECASE)
_ERRORS = (pl.exceptions.PolarsError, pl.exceptions.PanicException)
_SHOWN = 80
# Polars overflows its stack, and takes the process with it, on some tens of thousands
_LONGEST = 2000


def parse(expression: str, schema: pl.Schema) -> pl.Expr:
    """The SQL `expression` over the columns of `schema`, true or false for every row: where it is null, false.

    Raises DatamapError for what is no expression or more than one, for a column that is not in the schema, and for
    an expression that is not true or false row by row. Data can still contradict it (a text cast to a number):
    `rows` tells that too.
    """
    return _parsed("where", expression, schema, _CONDITION).fill_null(False)


def rows(expression: str, frame: pl.DataFrame) -> pl.Series:
    """For which rows of `frame` the SQL `expression` is true, (N,) Boolean without nulls.

    Raises DatamapError as `parse` does, and where a value of the frame cannot be computed with.
    """
    return _answers("where", expression, parse(expression, frame.schema), frame, _CONDITION)


def parse_value(option: str, expression: str, schema: pl.Schema) -> pl.Expr:
    """The column `expression`, or the SQL `expression`, that is a number for every row, Float64; null stays null.

    Raises DatamapError as `parse` does; its message begins with the `option` that the user wrote it for.
    """
    quoted = '"' + expression.replace('"', '""') + '"'
    return _parsed(option, quoted if expression in schema else expression, schema, _VALUE).cast(pl.Float64)


def values(option: str, expression: str, frame: pl.DataFrame) -> pl.Series:
    """That number for every row of `frame`, (N,) Float64; NaN is null.

    Raises DatamapError as `parse_value` does, and where a value of the frame cannot be computed with.
    """
    value = parse_value(option, expression, frame.schema).fill_nan(None)
    return _answers(option, expression, value, frame, _VALUE)


# what is expected of an expression, and an example of it
_CONDITION = ("true or false", "avg_probs < 0.3")
_VALUE = ("a number", "1 - avg_probs")


def _parsed(option: str, expression: str, schema: pl.Schema, expected: tuple[str, str]) -> pl.Expr:
    name = f"{option}: {_short(expression)}"
    if len(expression) > _LONGEST:
        raise DatamapError(f"{name}: {len(expression):,} characters; expected {_LONGEST:,} at most")
    more = _MORE.search(_QUOTED.sub("''", expression))
    if more is not None:
        raise DatamapError(f"{name}: expected an expression such as {expected[1]} and no more; found {more[0]}")
    try:
        parsed = pl.sql_expr(expression)
        named = list(dict.fromkeys(parsed.meta.root_names()))
    except _ERRORS as error:
        raise DatamapError(f"{name}: not an SQL expression such as {expected[1]}: {_reason(error)}") from None
    _refuse_unknown(name, named, schema)
    if not named:
        raise DatamapError(f"{name}: names no column; known: {', '.join(schema)}")
    parsed = parsed.meta.undo_aliases()
    # nulls are values enough: what is compared with what is decided by the types
    nothing = pl.DataFrame({column: [None] * 3 for column in schema}, schema=schema)
    _answers(option, expression, parsed, nothing, expected)
    return parsed


def _answers(
    option: str, expression: str, parsed: pl.Expr, frame: pl.DataFrame, expected: tuple[str, str]
) -> pl.Series:
    name = f"{option}: {_short(expression)}"
    try:
        answers = frame.select(parsed.alias("answer"))["answer"]
    except _ERRORS as error:
        raise DatamapError(f"{name}: {_reason(error)}") from None
    fits = answers.dtype == pl.Boolean or (expected is _VALUE and answers.dtype.is_numeric())
    if not fits:
        raise DatamapError(
            f"{name}: expected {expected[0]} for a row, such as {expected[1]}, not {_kind(answers.dtype)}"
        )
    if len(answers) != frame.height:
        raise DatamapError(f"{name}: expected {expected[0]} for each row, not one answer for all")
    return answers


def _kind(dtype: pl.DataType) -> str:
    return "a number" if dtype.is_numeric() else "a text" if dtype == pl.String else str(dtype)


def _refuse_unknown(name: str, named: list[str], schema: pl.Schema) -> None:
    unknown = [_short(column) for column in named if column not in schema]
    if not unknown:
        return
    if unknown[0].startswith("_POLARS_TMP_"):  # what Polars makes of a subquery
        raise DatamapError(f"{name}: expected an expression and no more; found a subquery")
    close = difflib.get_close_matches(unknown[0], list(schema), n=1, cutoff=0.6)
    guess = f"did you mean {close[0]}? " if close else ""
    raise DatamapError(
        f"{name}: no column {', '.join(unknown)}; {guess}known: {', '.join(schema)} (texts stand in single quotes)"
    )


def _short(expression: str) -> str:
    return short(plain(" ".join(expression.split())), _SHOWN)


def _reason(error: BaseException) -> str:
    return _short(first_line(error)).rstrip(":")
