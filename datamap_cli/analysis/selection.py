"""Which rows of a summary a rule selects: filters first, then the ends of a ranking, then the complement."""

from __future__ import annotations

import re
from dataclasses import dataclass

import polars as pl

from datamap_cli import where
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted


@dataclass(frozen=True)
class Rule:
    """What is to be selected. All filters must hold; of what they leave, both ends of the ranking are taken."""

    region: str | None = None
    """Name of the region of the map."""
    where: str | None = None
    """SQL expression over the summary's columns."""
    by: str | None = None
    """Column, or SQL expression, that is ranked by; rows without a value are in neither end."""
    top: int | float | None = None
    """Of the highest values: so many rows, or as a float the fraction of the rows that pass the filters."""
    bottom: int | float | None = None
    """The same of the lowest values."""
    balance: str | None = None
    """Column within each of whose values the ends are taken."""
    drop: bool = False
    """Whether the rows of the run that are not selected are meant instead."""

    def __post_init__(self) -> None:
        ends = self.top is not None or self.bottom is not None
        if not ends and self.region is None and self.where is None:
            raise DatamapError("nothing to select by; give --region, --where, or --top or --bottom with --by SIGNAL")
        if ends and self.by is None:
            raise DatamapError("--top and --bottom need to know of what; give --by SIGNAL, such as --by label_var")
        if self.by is not None and not ends:
            raise DatamapError("--by ranks for --top and --bottom; give one of them, or both")
        if self.balance is not None and not ends:
            raise DatamapError("--balance is for --top and --bottom; give one of them with --by SIGNAL")

    def __str__(self) -> str:
        """The rule in words."""
        filters = [f"region {self.region}"] if self.region is not None else []
        filters += [self.where] if self.where is not None else []
        ends = [
            f"the {_said(amount)} with the {which} {self.by}"
            for amount, which in ((self.top, "highest"), (self.bottom, "lowest"))
            if amount is not None
        ]
        within = f" within each {self.balance}" if self.balance is not None else ""
        words = "; then ".join(
            [*([" and ".join(filters)] if filters else []), *([" and ".join(ends) + within] if ends else [])]
        )
        return f"all but: {words}" if self.drop else words


def amount(option: str, text: str) -> int | float:
    """A number of rows, `100`, or a fraction of them, `0.1` or `10%`; `1` is one row, `1.0` all of them."""
    if re.fullmatch(r"[0-9]+", text) and int(text) > 0:
        return int(text)
    number = re.fullmatch(r"([0-9]*\.?[0-9]+|[0-9]+\.)(%?)", text)
    fraction = float(number[1]) / (100 if number[2] else 1) if number else 0
    if not 0 < fraction <= 1:
        raise DatamapError(f"{option}: {text}: expected a fraction such as 0.1, or a number of rows such as 100")
    return fraction


def number(amount: int | float, rows: int) -> int:
    """How many of the `rows` an amount is: of a fraction the floor, but one row at least."""
    # 0.29 · 100 is 28.999…
    return amount if isinstance(amount, int) else max(1, int(rows * amount + 1e-9))


def columns(rule: Rule, schema: pl.Schema, region: pl.Expr) -> list[str]:
    """The columns of the summary that `select` needs. Raises DatamapError for what the rule names and is not there."""
    named = ["id", *(region.meta.root_names() if rule.region is not None else [])]
    if rule.where is not None:
        named += where.parse(rule.where, schema).meta.root_names()
    if rule.by is not None:
        named += where.parse_value("--by", rule.by, schema).meta.root_names()
    if rule.balance is not None:
        if rule.balance not in schema:
            raise DatamapError(f"--balance: no column {rule.balance}; known: {', '.join(schema)}")
        named.append(rule.balance)
    return list(dict.fromkeys(named))


def select(summary: pl.DataFrame, rule: Rule, region: pl.Expr) -> pl.Series:
    """Whether each row of `summary` is selected, (N,) Boolean; `region` gives the name of a row's region.

    Ties are broken by id. A fraction of n rows is its floor, but one row at least. Raises DatamapError for what the
    rule names and is not there, and where no row is selected.
    """
    passes = pl.repeat(True, summary.height, eager=True)
    if rule.region is not None:
        passes &= summary.select(region.eq(rule.region))[:, 0]
    if rule.where is not None:
        passes &= where.rows(rule.where, summary)
    selected = passes
    if rule.by is not None:
        value = where.values("--by", rule.by, summary)
        if value.null_count() == len(value):
            raise DatamapError(f"--by: {rule.by}: empty in every row")
        selected = _ends(summary, rule, passes, value)
    if rule.drop:
        selected = ~selected
    if not selected.any():
        raise DatamapError(f"no row is selected, of {summary.height:,}: {rule}")
    return selected.alias("selected")


def _ends(summary: pl.DataFrame, rule: Rule, passes: pl.Series, value: pl.Series) -> pl.Series:
    group = summary[rule.balance] if rule.balance is not None else pl.repeat(0, summary.height, eager=True)
    ranked = pl.DataFrame({"id": summary["id"], "value": value, "group": group}).with_row_index("row").filter(passes)
    # a fraction is one of all rows that pass, also of those that have no value to be ranked by
    ranked = ranked.with_columns(size=pl.len().over("group")).drop_nulls("value")
    taken: list[pl.Series] = []
    for quantity, descending in ((rule.top, True), (rule.bottom, False)):
        if quantity is None:
            continue
        sizes = ranked["size"].unique().to_list()
        numbers = pl.col("size").replace_strict(
            sizes, [number(quantity, size) for size in sizes], return_dtype=pl.Int64
        )
        order = ranked.sort("value", "id", descending=[descending, False])
        taken.append(order.filter(pl.int_range(pl.len()).over("group") < numbers)["row"])
    return pl.int_range(summary.height, eager=True).is_in(pl.concat(taken).implode())


def _said(quantity: int | float) -> str:
    if isinstance(quantity, int):
        return counted(quantity, "row")
    return f"{round(quantity * 100, 10):g} %"


def counts(selected: pl.Series, label: pl.Series) -> dict[int, int]:
    """How many of the selected rows have each label, by class index."""
    return dict(label.filter(selected).value_counts().sort(label.name).iter_rows())
