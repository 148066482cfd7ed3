"""Whether the evaluations of a run belong together: whole records of the same examples in the same order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import polars as pl

from datamap_cli.errors import DatamapError
from datamap_cli.signals.record import has_all_probs, required
from datamap_cli.text import counted, first_line, listed_ids


def schemas(evaluations: Mapping[str, pl.LazyFrame]) -> list[pl.Schema]:
    """The columns of every evaluation.

    Raises where one lacks a required column, has it in another type, or lacks the probabilities that others have.
    """
    found: list[pl.Schema] = []
    for name, evaluation in evaluations.items():
        try:
            schema = evaluation.collect_schema()
        except pl.exceptions.PolarsError as error:
            raise DatamapError(f"{name}: cannot be read as signal records: {first_line(error)}") from error
        needed = required(all_probs=has_all_probs(schema))
        missing = [column for column in needed if column not in schema]
        if missing:
            raise DatamapError(f"{name}: no field {', '.join(missing)}; every record needs {', '.join(needed)}")
        _refuse_types(name, schema, needed)
        found.append(schema)
        if schema["id"] != found[0]["id"]:
            raise DatamapError(f"{name}: ids of type {schema['id']}, but {found[0]['id']} in the first evaluation")
        if has_all_probs(schema) != has_all_probs(found[0]):
            here, there = ("", "no ") if has_all_probs(schema) else ("no ", "")
            raise DatamapError(
                f"{name}: records with {here}probs, but with {there}probs in the first evaluation; "
                "`signals.probs` must be the same throughout a run"
            )
    return found


def _refuse_types(name: str, schema: pl.Schema, needed: Sequence[str]) -> None:
    """Raises DatamapError for a field whose type nothing can be computed from."""
    for field in (*needed, *(["s_label"] if "s_label" in schema else [])):
        dtype = schema[field]
        match field:
            case "id":
                fits, expected = dtype.is_integer() or dtype == pl.String, "whole numbers or texts"
            case "correct":
                fits, expected = dtype == pl.Boolean, "true and false"
            case "probs":
                inner = dtype.inner if isinstance(dtype, (pl.List, pl.Array)) else pl.Null()
                fits, expected = inner.is_numeric(), "lists of numbers"
            case "label_probs" | "runner_up_probs":
                fits, expected = dtype.is_numeric(), "numbers"
            case _:
                fits, expected = dtype.is_integer() or (field == "s_label" and dtype == pl.Null), "whole numbers"
        if not fits:
            raise DatamapError(f"{name}: {field} of type {dtype}, expected {expected}")


def n_classes(evaluations: Mapping[str, pl.LazyFrame]) -> int | None:
    """C, from the first record there is; None where records have the label's probability and the runner-up's only."""
    if not has_all_probs(next(iter(evaluations.values())).collect_schema()):
        return None
    for name, evaluation in evaluations.items():
        try:
            head = evaluation.select("probs").drop_nulls().head(1).collect()
        except pl.exceptions.PolarsError as error:
            raise DatamapError(f"{name}: cannot be read as signal records: {first_line(error)}") from error
        if not head.is_empty():
            width = len(head["probs"][0])
            if width < 2:
                raise DatamapError(f"{name}: a record with {width} probs; two classes or more are needed")
            return width
    raise DatamapError(f"{', '.join(evaluations)}: no record has probs")


Incomplete = Literal["error", "drop", "keep"]

# rows that are put in order at a time
BLOCK = 500_000


def align(
    evaluations: Mapping[str, pl.LazyFrame], scratch: Path, incomplete: Incomplete = "error", *, block: int = BLOCK
) -> dict[str, pl.LazyFrame]:
    """The same evaluations with the examples in one order: that of the first evaluation they stand in.

    What is put in order goes to Parquet files in `scratch`, `block` rows at a time; in memory are the ids and labels
    of all examples. Examples that are missing in some evaluations are refused, dropped, or kept with null records,
    as `incomplete` says.

    Raises DatamapError for records that are not whole, ids that are doubled, labels that change, and what is refused.
    """
    classes = n_classes(evaluations)
    ids = {name: _examined(name, evaluation, classes) for name, evaluation in evaluations.items()}
    examples = (
        pl.concat(ids.values())
        .group_by("id", maintain_order=True)
        .agg(pl.col("label").first(), labels=pl.col("label").n_unique(), evaluations=pl.len())
    )
    _refuse_relabelled(examples, ids)
    everywhere = pl.col("evaluations") == len(evaluations)
    if incomplete == "error":
        _refuse_incomplete(examples.filter(~everywhere)["id"], ids)
    if incomplete == "drop":
        examples = examples.filter(everywhere)
        if examples.is_empty():
            raise DatamapError("no example stands in every evaluation: nothing is left to summarize")
    places = examples.select("id").with_row_index("place").lazy()
    return {
        name: _in_order(places, evaluation, scratch / str(t), examples.height, block)
        for t, (name, evaluation) in enumerate(evaluations.items())
    }


def _in_order(places: pl.LazyFrame, evaluation: pl.LazyFrame, directory: Path, rows: int, block: int) -> pl.LazyFrame:
    """The records of one evaluation at their places, null where there is none; each block is sorted by itself."""
    placed = places.join(evaluation.with_columns(found="id"), on="id", how="left").with_columns(
        id="found", block=pl.col("place") // block
    )
    placed.drop("found").sink_parquet(
        pl.PartitionBy(directory / "placed", key="block", include_key=False), mkdir=True, engine="streaming"
    )
    files = []
    for number in range(-(-rows // block)):
        file = directory / f"{number:06d}.parquet"
        records = pl.read_parquet(directory / "placed" / f"block={number}" / "*.parquet")
        records.sort("place").drop("place").write_parquet(file, row_group_size=16_384)
        files.append(file)
    return pl.scan_parquet(files)


# ------------------------------------------------------------------------------------------ diagnosis


def _examined(name: str, evaluation: pl.LazyFrame, classes: int | None) -> pl.DataFrame:
    """id and label of every record; raises DatamapError for records that are not whole and ids that are doubled."""
    needed = required(all_probs=classes is not None)
    faults = {
        "without a value": pl.any_horizontal(pl.col(column).is_null() for column in needed),
        "with label_probs outside 0 to 1": ~pl.col("label_probs").is_between(0, 1),
    }
    if classes is None:
        faults["with runner_up_probs outside 0 to 1"] = ~pl.col("runner_up_probs").is_between(0, 1)
        faults["with a label below 0"] = pl.col("label") < 0
    else:
        probs = pl.col("probs")
        width = probs.list.len() if isinstance(evaluation.collect_schema()["probs"], pl.List) else probs.arr.len()
        faults[f"with a label outside 0 to {classes - 1}"] = ~pl.col("label").is_between(0, classes - 1)
        faults[f"without {classes} probs"] = width != classes
    try:
        frame = evaluation.select(
            "id", "label", *(fault.fill_null(False).alias(what) for what, fault in faults.items())
        ).collect(engine="streaming")
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{name}: cannot be read as signal records: {first_line(error)}") from error
    for what in faults:
        faulty = frame.filter(what)["id"]
        if len(faulty):
            raise DatamapError(f"{name}: {counted(len(faulty), 'record')} {what}: {listed_ids(faulty)}")
    doubled = frame["id"].filter(frame["id"].is_duplicated()).unique(maintain_order=True)
    if len(doubled):
        raise DatamapError(f"{name}: ids that stand more than once: {listed_ids(doubled)}")
    return frame.select("id", "label")


def _refuse_relabelled(examples: pl.DataFrame, ids: Mapping[str, pl.DataFrame]) -> None:
    relabelled = examples.filter(pl.col("labels") > 1)
    if relabelled.is_empty():
        return
    for name, frame in ids.items():
        other = relabelled.join(frame, on="id").filter(pl.col("label") != pl.col("label_right"))["id"]
        if len(other):
            raise DatamapError(f"{name}: another label than in the evaluations before for: {listed_ids(other)}")


def _refuse_incomplete(missing: pl.Series, ids: Mapping[str, pl.DataFrame]) -> None:
    """Raises DatamapError naming the first evaluation that lacks examples others have."""
    if missing.is_empty():
        return
    if len(ids) > 1 and all(frame["id"].is_in(missing.implode()).all() for frame in ids.values()):
        counts = pl.concat(frame.select("id") for frame in ids.values())["id"].is_unique()
        if counts.all():
            raise DatamapError("no id stands in two evaluations: these are not evaluations of the same examples")
    for name, frame in ids.items():
        lacking = _without(missing, frame["id"])
        if len(lacking):
            also = sum(len(_without(missing, other["id"])) > 0 for other in ids.values())
            where = f"{name}: " if also == 1 else f"{name} and {also - 1} more evaluations: "
            raise DatamapError(
                f"{where}no record of {counted(len(lacking), 'example')} that other evaluations have: "
                f"{listed_ids(lacking)}; `summarize.incomplete: drop` leaves them out, `keep` counts what is there"
            )


def _without(ids: pl.Series, others: pl.Series) -> pl.Series:
    return ids.filter(~ids.is_in(others.implode()))
