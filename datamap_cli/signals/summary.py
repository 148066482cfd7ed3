"""Signal records → summary: a row per example, a column per signal, in one streaming pass."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp
from typing import Protocol, TypeVar

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.signals import alignment
from datamap_cli.signals.record import FIELDS, required
from datamap_cli.signals.registry import SIGNALS, Signal
from datamap_cli.signals.side_by_side import SideBySide, side_by_side
from datamap_cli.text import first_line

T = TypeVar("T")

# Records, of all evaluations together, that are summarized at a time: Polars reads many files far ahead of what it
# works on, so that memory would grow with the evaluations
BLOCK = 6_500_000


# no column of the user's has such a name
_WHOLE = "\N{NUL}whole"


class NotWholeError(Exception):
    """Records that are not whole or not beside those of the same example; `alignment.align` mends it or says why."""


@dataclass(frozen=True)
class Options:
    """What a summary is made with."""

    el2n_evaluations: int = 1
    incomplete: bool = False
    """Whether records may be null; then only what is there counts."""


class Blockwise(Protocol):
    """Summarizes the blocks of rows that begin at `starts`, each into its file of `files`."""

    def __call__(
        self, evaluations: Mapping[str, pl.LazyFrame], starts: range, files: Sequence[Path], options: Options
    ) -> None: ...


def write_summary(
    sink: Callable[[pl.LazyFrame], T],
    evaluations: Mapping[str, pl.LazyFrame],
    scratch: Path,
    *,
    el2n_evaluations: int = 1,
    incomplete: alignment.Incomplete = "error",
    blockwise: Blockwise | None = None,
    block: int | None = None,
) -> T:
    """Hands the summary of the evaluations to `sink`, which runs the lazy query, and returns what `sink` does.

    Evaluations whose examples do not stand in the same order are put in order first, in `scratch`. `blockwise` is who
    summarizes blocks of `block` rows, this process by default. Raises DatamapError for what cannot be summarized.
    """
    try:
        return sink(_summary(evaluations, scratch, Options(el2n_evaluations), blockwise, block))
    except (NotWholeError, pl.exceptions.PolarsError) as first:
        try:
            aligned = alignment.align(evaluations, scratch, incomplete)
            return sink(_summary(aligned, scratch, Options(el2n_evaluations, incomplete == "keep"), blockwise, block))
        except DatamapError as error:
            # what failed at first is why the records were put in order at all
            raise error from (error.__cause__ or first)
        except pl.exceptions.PolarsError as error:
            raise DatamapError(f"{next(iter(evaluations))}: cannot be summarized: {first_line(error)}") from error


def _summary(
    evaluations: Mapping[str, pl.LazyFrame],
    scratch: Path,
    options: Options,
    blockwise: Blockwise | None,
    block: int | None,
) -> pl.LazyFrame:
    """The summary as one query over all rows, or where these are too many for memory, over parts in `scratch`."""
    rows = max(evaluation.select(pl.len()).collect().item() for evaluation in evaluations.values())
    if block is None:
        block = max(BLOCK // len(evaluations), 1)
    if blockwise is None and rows <= 2 * block:
        return summarize(evaluations, options)
    parts = Path(mkdtemp(dir=scratch))
    starts = range(0, rows, block)
    files = [parts / f"{start:012d}.parquet" for start in starts]
    (blockwise or _here)(evaluations, starts, files, options)
    return pl.scan_parquet(files)


def _here(evaluations: Mapping[str, pl.LazyFrame], starts: range, files: Sequence[Path], options: Options) -> None:
    for start, file in zip(starts, files, strict=True):
        summarize_block(evaluations, start, starts.step, file, options)


def summarize_block(
    evaluations: Mapping[str, pl.LazyFrame], start: int, rows: int, file: Path, options: Options
) -> None:
    """Writes the summary of `rows` rows from `start` on to a Parquet file."""
    block = {name: evaluation.slice(start, rows) for name, evaluation in evaluations.items()}
    summarize(block, options).sink_parquet(file)


def summarize(evaluations: Mapping[str, pl.LazyFrame], options: Options | None = None) -> pl.LazyFrame:
    """A row per example, a column per signal, from T evaluations of the same N examples, in their order. Lazy.

    `evaluations` are lazy frames by the name that messages call them. Columns of the result: id, label, s_label (0
    where there is none), the signals of `SIGNALS`; then of the user's own columns the numeric ones as `avg_…` and
    `last_…`, the others as they are, with their last value. Signals that need all probabilities are null where the
    records have only the label's and the runner-up's, and those that do not come from evaluations throughout.

    Records that are not whole, or of other examples than those beside them, fail the query with NotWholeError
    or a PolarsError while it runs.
    """
    options = options or Options()
    incomplete = options.incomplete
    schemas = alignment.schemas(evaluations)
    n_classes = alignment.n_classes(evaluations)
    own = [name for name in schemas[0] if name not in FIELDS and all(name in schema for schema in schemas)]
    taken = [name for name in own if not schemas[0][name].is_numeric() and name in {s.name for s in SIGNALS}]
    if taken:
        raise DatamapError(f"{next(iter(evaluations))}: the column {taken[0]} has the name of a signal; rename it")
    given = [column for name in own for column in _own_names(name, schemas[0][name])]
    if doubled := [name for name in given if given.count(name) > 1]:
        raise DatamapError(f"{next(iter(evaluations))}: two columns that would both be {doubled[0]}; rename one")
    optional = ["s_label", *own] if "s_label" in schemas[0] else own
    wide, dynamics = side_by_side(
        [
            evaluation.with_columns(_arrays(schema, n_classes)).select(
                *required(all_probs=n_classes is not None), *(name for name in optional if name in schema)
            )
            for evaluation, schema in zip(evaluations.values(), schemas, strict=True)
        ],
        n_classes,
        complete=not incomplete,
        el2n_evaluations=options.el2n_evaluations,
    )
    each = range(len(schemas))

    def known(name: str) -> pl.Expr:
        return pl.coalesce(*(pl.col(f"{name}@{t}") for t in each)) if incomplete else pl.col(f"{name}@0")

    s_label = known("s_label").fill_null(0) if "s_label" in optional else pl.lit(0)
    query = wide.select(
        known("id").alias("id"),
        known("label").cast(pl.Int64).alias("label"),
        s_label.cast(pl.Int64).alias("s_label"),
        *(_signal(signal, dynamics, all_probs=n_classes is not None).alias(signal.name) for signal in SIGNALS),
        *(
            expression
            for name in own
            for expression in _own(name, schemas[0][name], [pl.col(f"{name}@{t}") for t in each], dynamics)
        ),
        pl.all_horizontal(*(_is_whole(t, n_classes, incomplete=incomplete) for t in each)).alias(_WHOLE),
    )
    schema = query.collect_schema()
    return query.map_batches(
        _refuse_unwhole, schema={name: kind for name, kind in schema.items() if name != _WHOLE}, streamable=True
    )


def _refuse_unwhole(summary: pl.DataFrame) -> pl.DataFrame:
    """Fails the query at the first block of rows that holds one that is not whole."""
    if not summary[_WHOLE].all():
        raise NotWholeError
    return summary.drop(_WHOLE)


def _signal(signal: Signal, dynamics: SideBySide, *, all_probs: bool) -> pl.Expr:
    if signal.expression is None or (signal.all_probs and not all_probs):
        return pl.lit(None, dtype=signal.dtype)
    return signal.expression(dynamics)


def _arrays(schema: pl.Schema, n_classes: int | None) -> list[pl.Expr]:
    """probs as arrays of one width, whose arithmetic runs over flat values."""
    if n_classes is None or not isinstance(schema["probs"], pl.List):
        return []
    return [pl.col("probs").list.to_array(n_classes)]


def _is_whole(t: int, n_classes: int | None, *, incomplete: bool) -> pl.Expr:
    """Whether a row's record of evaluation t is complete and of the same example as that of evaluation 0."""
    whole = pl.all_horizontal(
        pl.col(f"id@{t}").eq_missing(pl.col("id@0")),
        pl.col(f"label@{t}").eq_missing(pl.col("label@0")),
        *(pl.col(f"{name}@{t}").is_not_null() for name in required(all_probs=n_classes is not None)),
        pl.col(f"label_probs@{t}").is_between(0, 1),
        pl.col(f"label@{t}") >= 0,
        pl.col(f"runner_up_probs@{t}").is_between(0, 1) if n_classes is None else pl.col(f"label@{t}") < n_classes,
    ).fill_null(False)
    # rows that were put beside each other by id are whole or null
    return pl.lit(True) if incomplete else whole


def _own_names(name: str, dtype: pl.DataType) -> list[str]:
    """The columns of the summary that a column of the user's becomes."""
    return [f"avg_{name}", f"last_{name}"] if dtype.is_numeric() else [name]


def _own(name: str, dtype: pl.DataType, values: list[pl.Expr], dynamics: SideBySide) -> list[pl.Expr]:
    columns = [dynamics.mean(values), dynamics.last(values)] if dtype.is_numeric() else [dynamics.last(values)]
    return [column.alias(own) for column, own in zip(columns, _own_names(name, dtype), strict=True)]
