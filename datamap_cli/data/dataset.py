"""The data set: a file of the user's → examples and class names.

The file is foreign: every row is looked at, and what is wrong is said with its line.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from datamap_cli.config import DataConfig
from datamap_cli.data.tables import INTEGER, S_LABEL_ALIAS, Fault, Table, content_of, read
from datamap_cli.errors import DatamapError
from datamap_cli.text import counted, listed, shown


@dataclass(frozen=True)
class Dataset:
    """A training data set as the rest of the tool knows it."""

    examples: pl.DataFrame
    """id (Int64 or String), text_a, text_b (null: single texts), label (class index), s_label (null: there is none)."""
    classes: list[str]
    """Class names by index."""
    path: Path
    """Absolute."""
    sha256: str
    """Of the file's bytes."""
    notes: list[str] = field(default_factory=list)
    """What the user should know of how the file was read, a line each."""


def load(data: DataConfig) -> Dataset:
    """Reads `data.train`.

    Raises DatamapError for a file that is missing, not of a known format, not UTF-8 or without usable rows, for
    a column that is missing, for bad rows unless `data.on_bad_rows` is skip, and for ids that are not unique.
    """
    path, content = content_of(data)
    frame, notes = usable(path, content, data)
    label, classes = _classes(frame["label"])
    if len(classes) < 2:
        raise DatamapError(f"{path}: every label is {classes[0]!r}; two classes or more are needed")
    return Dataset(
        examples=frame.select("id", "text_a", "text_b", label, "s_label"),
        classes=classes,
        path=path.resolve(),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=notes,
    )


def load_dev(data: DataConfig, train: Dataset) -> Dataset | None:
    """Reads `data.dev`, with the classes of the training set; None where there is none.

    Raises DatamapError as `load` does, for the file of `data.train` itself, for labels that are no class of the
    training set, and for pairs where that has single texts, or the other way round.
    """
    if data.dev is None:
        return None
    own = data.model_copy(update={"train": data.dev, "dev": None})
    if not data.dev.is_file():
        raise DatamapError(f"data.dev: {data.dev}: no such file (looked in {Path.cwd()})")
    path, content = content_of(own)
    if path.resolve() == train.path:
        raise DatamapError(f"data.dev: {path}: that is the training data itself; expected examples held back from it")
    frame, notes = usable(path, content, own)
    unknown = frame.filter(~pl.col("label").is_in(train.classes))
    if unknown.height:
        rows = unknown.select("row", "line", pl.col("label").map_elements(_no_class, pl.String)).rows()
        known = listed(train.classes, most=12)
        raise DatamapError(f"data.dev: {path}: {_listed(rows)}; the training data has {known}")
    kinds = [["pairs", "single texts"][texts["text_b"].null_count() > 0] for texts in (frame, train.examples)]
    if kinds[0] != kinds[1]:
        raise DatamapError(f"data.dev: {path}: {kinds[0]}, but the training data has {kinds[1]}; expected the same")
    label = frame["label"].replace_strict(train.classes, range(len(train.classes)), return_dtype=pl.Int64)
    return Dataset(
        examples=frame.select("id", "text_a", "text_b", label, "s_label"),
        classes=train.classes,
        path=path.resolve(),
        sha256=hashlib.sha256(content).hexdigest(),
        notes=[f"dev set: {text}" for text in notes],
    )


def _no_class(label: str) -> str:
    return f"the label {shown(label)} is no class of the training data"


def with_classes(data: Dataset, classes: list[str]) -> Dataset:
    """The same examples with labels as indices into `classes`, which has all of theirs."""
    index = [classes.index(name) for name in data.classes]
    label = pl.col("label").replace_strict([*range(len(index))], index, return_dtype=pl.Int64)
    return replace(data, examples=data.examples.with_columns(label), classes=classes)


def load_texts(data: DataConfig) -> pl.DataFrame:
    """id, text_a and text_b of `data.train`, for examples whose labels are known otherwise.

    Raises DatamapError as `load` does.
    """
    # no label is needed: the text, which every row has, stands in for it
    frame, _ = usable(*content_of(data), data.model_copy(update={"label": data.text_a}))
    return frame.select("id", "text_a", "text_b")


@dataclass(frozen=True)
class Rows:
    """All that can be said of a file's rows: those that are examples, and what is wrong with the others."""

    frame: pl.DataFrame
    """row and line (null: the format has none) in the file, id, text_a, text_b, label as text, s_label."""
    bad: list[Fault]
    """0-based row, line, and what is wrong, of every row that is refused."""
    path: Path
    sha256: str


def rows(data: DataConfig) -> Rows:
    """The rows of `data.train`, the bad ones beside the others whatever `data.on_bad_rows` says.

    Raises DatamapError where the file as a whole cannot be read, as `load` does.
    """
    path, content = content_of(data)
    table = read(path, content, data)
    frame, faults = _examine(table, data)
    faults = sorted([*table.faults, *faults], key=lambda fault: fault[0])
    frame = frame.filter(~pl.col("row").is_in([row for row, _, _ in faults]))
    if not frame.height:
        raise DatamapError(f"{path}: no usable rows" + (f": {_listed(faults)}" if faults else ""))
    _refuse_doubled(path, frame["id"])
    return Rows(frame, faults, path, hashlib.sha256(content).hexdigest())


def usable(path: Path, content: bytes, data: DataConfig) -> tuple[pl.DataFrame, list[str]]:
    """The rows that can be used, labels still as text, and notes; raises DatamapError for those that cannot."""
    table = read(path, content, data)
    notes = []
    frame, faults = _examine(table, data)
    faults = sorted([*table.faults, *faults], key=lambda fault: fault[0])
    if faults:
        if data.on_bad_rows == "error":
            raise DatamapError(f"{path}: {_listed(faults)}; `data.on_bad_rows: skip` leaves them out")
        frame = frame.filter(~pl.col("row").is_in([row for row, _, _ in faults]))
        notes.append(f"left out {_listed(faults)}")
    if not frame.height:
        raise DatamapError(f"{path}: no examples below the header" if not faults else f"{path}: no usable rows")
    if data.text_b is not None and data.text_b not in table.columns:
        notes.append(f"no column {data.text_b}: single texts")
    _refuse_doubled(path, frame["id"])
    return frame, notes


# ------------------------------------------------------------------------------------------- examining


def _examine(table: Table, data: DataConfig) -> tuple[pl.DataFrame, list[Fault]]:
    """The rows as examples, labels still as text, and what is wrong with single rows."""
    columns = table.columns
    height = len(table.rows)
    nothing = pl.Series([None] * height, dtype=pl.String)
    text_b = columns.get(data.text_b, nothing) if data.text_b is not None else nothing
    if not _blank(text_b).not_().any():
        text_b = nothing
    s_label = columns.get(data.s_label, columns.get(S_LABEL_ALIAS, nothing)).str.strip_chars()
    s_label = s_label.set(_blank(s_label), None)
    frame = pl.DataFrame(
        {
            "row": table.rows,
            "line": table.lines if table.lines is not None else [None] * height,
            "id": columns.get(data.id, nothing).str.strip_chars()
            if data.id is not None
            else table.rows.cast(pl.String),
            "text_a": columns.get(data.text_a, nothing),
            "text_b": text_b,
            "label": columns.get(data.label, nothing).str.strip_chars(),
            "s_label": s_label,
        },
        schema_overrides={"line": pl.Int64},
    )
    pairs = text_b.null_count() < height
    checks = [
        (_is_blank("id"), f"empty {data.id}"),
        (_is_blank("text_a"), f"empty {data.text_a}"),
        *([(_is_blank("text_b"), f"empty {data.text_b}")] if pairs else []),
        (_is_blank("label"), f"empty {data.label}"),
        (~pl.col("s_label").is_in(["0", "1", "2"]), f"{data.s_label}: expected 0, 1 or 2"),
    ]
    faults: dict[int, Fault] = {}
    for fails, what in checks:
        for row, line, identity in frame.filter(fails).select("row", "line", "id").rows():
            of = f" (id {identity})" if identity else ""
            faults.setdefault(row, (row, line, f"{what}{of}"))
    is_number = frame["id"].str.contains(INTEGER).fill_null(False).all()
    frame = frame.with_columns(
        pl.col("id").cast(pl.Int64) if is_number else pl.col("id"),
        pl.col("s_label").cast(pl.Int64, strict=False),
        # all rows or none: where some have it, an s_label that is missing means plain
    )
    if frame["s_label"].null_count() < frame.height:
        frame = frame.with_columns(pl.col("s_label").fill_null(0))
    return frame, list(faults.values())


def _blank(texts: pl.Series) -> pl.Series:
    return texts.is_null() | (texts.str.strip_chars() == "")


def _is_blank(column: str) -> pl.Expr:
    return pl.col(column).is_null() | (pl.col(column).str.strip_chars() == "")


def _refuse_doubled(path: Path, ids: pl.Series) -> None:
    doubled = ids.filter(ids.is_duplicated()).unique(maintain_order=True)
    if len(doubled):
        raise DatamapError(f"{path}: {counted(len(doubled), 'id')} more than once: {listed(doubled)}")


def _classes(label: pl.Series) -> tuple[pl.Series, list[str]]:
    """Class indices, and the class names in their order."""
    names = ordered(label.unique().to_list())
    index = label.replace_strict(names, list(range(len(names))), return_dtype=pl.Int64)
    return index.alias("label"), names


def ordered(names: Iterable[str]) -> list[str]:
    """Class names in their order: integers by value, names by the alphabet."""
    names = list(names)
    numbers = all(re.fullmatch(r"0|-?[1-9]\d*", name) for name in names)
    return sorted(names, key=int) if numbers else sorted(names)


# -------------------------------------------------------------------------------------------- messages


def _listed(faults: Sequence[Fault]) -> str:
    """The first faults in words, and how many there are."""
    shown = [f"{f'line {line}' if line is not None else f'row {row}'}: {what}" for row, line, what in faults[:3]]
    return f"{counted(len(faults), 'bad row')}: {'; '.join(shown)}{'; …' if len(faults) > 3 else ''}"
