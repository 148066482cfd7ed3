"""Training dynamics that others collected: a foreign file or folder → evaluations in our form.

Every format is first read as one long table, a row per example and evaluation, then brought into evaluations of the
same examples in the same order; so each rule is checked in one place, whatever the file looked like.
"""

from __future__ import annotations

import ast
import csv
import json
import lzma
import os
import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain, islice, pairwise
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.errors import DatamapError

FORMATS = ("tutorial", "cartography", "table", "arrays")

# what a column may be called; the first name that is present counts
_ID = ("id", "guid", "index", "example_id")
_STEP = ("step", "epoch")
_LABEL = ("label", "gold")
_S_LABEL = ("s_label", "noisy_label")
_SCORES = ("probs", "logits")
_PER_CLASS = ("probs_", "prob_", "logits_", "logit_")

# follow from label and probs: never taken over from a source
_DERIVED = ("pred_label", "correct", "loss", "label_probs", "runner_up", "runner_up_probs")

# columns of which two or more make a table a summary, a row per example
_SUMMARY = {"confidence", "variability", "correctness", "avg_probs", "label_var", "correct_ratio"}

_ZIP, _PARQUET = b"PK\x03\x04", b"PAR1"
_EPOCH_FILE = re.compile(r"dynamics_epoch_(\d{1,18})\.jsonl?")
_TABLES = {".parquet": "Parquet", ".csv": "CSV", ".tsv": "CSV", ".jsonl": "JSON lines", ".json": "JSON lines"}

# how far a row of probs may be from summing to 1: dumps in float16 are
_SUM_TOLERANCE = 1e-3
# how far beyond 1 a single prob may be: softmax in float32 ends up at 1 + 1.2e-7
_ROUNDING = 1e-6

# integers that stay integers through every file; the data set room draws the same line
_INTEGER = r"^(0|-?[1-9]\d{0,17})$"


@dataclass(frozen=True)
class Evaluation:
    """What the model thought of every example at one time of the training."""

    step: int
    """Step or epoch as in the source, or the 0-based number of the evaluation where the source names neither."""
    examples: pl.DataFrame
    """id (Int64 or String), label (Int64 class index), s_label (Int64; null where the source has none), then the user's
    own columns: numbers, texts, booleans. The same ids in the same order in every evaluation."""
    probs: npt.NDArray[np.float64]
    """(N, C), rows of `examples`."""


@dataclass(frozen=True)
class Dynamics:
    """Training dynamics as read from a foreign source."""

    format: str
    """One of `FORMATS`."""
    classes: list[str]
    """Class names by index; "0" … where the source has no names."""
    evaluations: Sequence[Evaluation]
    """In the order of their steps, which strictly increase."""
    notes: list[str]
    """What the user should know of how the source was read, a line each."""


def read(source: Path, format: str | None = None, *, incomplete: Literal["error", "drop"] = "error") -> Dynamics:
    """Reads training dynamics in one of `FORMATS`, recognized by content where `format` does not name it.

    tutorial: TrustAI's output_data.json, evaluations one after the other without a step (JSON lines or Python dicts).
    cartography: a folder of dynamics_epoch_N.jsonl (Swayamdipta 2020). table: a long table in Parquet, CSV or JSON
    lines, or a folder of such, with id, step or epoch, label, and probs or logits. arrays: an .npz of probs or logits
    (T, N, C), labels (N,), optionally ids (N,), steps (T,), classes (C,), s_label (N,).

    Logits become probs by a softmax in float64; −∞ is taken, and makes a prob of 0, where another logit of the row
    is finite. Examples that are missing in some evaluations are an error, or left out if `incomplete` is drop.

    Raises DatamapError for whatever is not whole dynamics of the same examples.
    """
    if format is not None and format not in FORMATS:
        raise DatamapError(f"format {_shown(format)}: expected {', '.join(FORMATS)}")
    if not source.exists():
        raise DatamapError(f"{source}: no such file or folder")
    with _reading(source):
        kind = format or _recognize(source)
        match kind:
            case "arrays":
                table = _read_arrays(source)
            case "cartography":
                table = _read_cartography(source)
            case "tutorial":
                table = _read_tutorial(source)
            case _:
                table = _read_table(source)
    return _dynamics(source, kind, table, drop=incomplete == "drop")


@dataclass(frozen=True)
class _Table:
    """A long table as found: column names from `_ID`, `_LABEL` …, a row per example and evaluation."""

    frame: pl.DataFrame
    step: str
    """Name of the column with the step; also what messages call an evaluation."""
    notes: list[str]
    classes: list[str] | None = None


# ----------------------------------------------------------------------------------------- recognizing


def _recognize(source: Path) -> str:
    """The format by what is in the file; raises DatamapError for a summary and for what is none of `FORMATS`."""
    if source.is_dir():
        return "cartography" if _epoch_files(source) else "table"
    if _magic(source) == _ZIP:
        return "arrays"
    if _magic(source) == _PARQUET:
        return "table"
    columns = _first_columns(source)
    _refuse_summary(source, columns)
    epoch = next((name for name in columns if name.startswith("logits_epoch_")), None)
    if epoch is not None:
        raise DatamapError(f"{source}: one epoch only ({_shown(epoch)}); give the folder of dynamics_epoch_N.jsonl")
    if _present(columns, _STEP):
        return "table"
    if _is_json(source) and _present(columns, _SCORES):
        return "tutorial"
    if _present(columns, _ID):
        return "table"
    raise _unrecognized(source)


def _unrecognized(source: Path) -> DatamapError:
    return DatamapError(
        f"{source}: not recognized; looked for records of the tutorial (id, label, probs; JSON or Python dicts, one a "
        "line), a folder of dynamics_epoch_N.jsonl, a table with id, step or epoch, label, and probs or logits "
        "(Parquet, CSV, JSON lines), and an .npz with probs or logits and labels"
    )


def _refuse_summary(source: Path, columns: Sequence[str]) -> None:
    found = [name for name in columns if name in _SUMMARY]
    scores = _present(columns, _SCORES) or any(_class_columns(columns, prefix) for prefix in _PER_CLASS)
    if len(found) > 1 and not scores:
        raise DatamapError(
            f"{source}: a summary already ({', '.join(found)}), no training dynamics; "
            f"`datamap plot --summary {source}` draws it"
        )


def _magic(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4)


def _is_json(source: Path) -> bool:
    return _first_line(source)[1].startswith("{")


def _first_columns(source: Path) -> list[str]:
    """Field names of the first record, or of the header."""
    number, line = _first_line(source)
    if not line:
        raise DatamapError(f"{source}: empty")
    if line.startswith("{"):
        return list(_record(source, number, line))
    try:
        return next(csv.reader([line], delimiter=_separator(line)), [])
    except csv.Error:
        raise _unrecognized(source) from None


def _first_line(source: Path) -> tuple[int, str]:
    """Number and text of the first line that is not blank."""
    with source.open("rb") as file:
        for number, line in enumerate(iter(lambda: file.readline(2**24), b""), start=1):
            text = line.decode("utf-8-sig", "replace").strip()
            if text:
                return number, text
    return 1, ""


def _separator(header: str) -> str:
    return "\t" if "\t" in header else ","


# --------------------------------------------------------------------------------------------- formats


def _read_tutorial(source: Path) -> _Table:
    """Records without a step: the k-th one of an id is of evaluation k."""
    if not source.is_file() or not _is_json(source):
        raise DatamapError(f"{source}: the tutorial's records are a file of JSON objects or Python dicts, one a line")
    frame = _read_json_lines(source)
    ids = _ids(source, frame)
    frame = frame.with_columns(evaluation=pl.int_range(pl.len(), dtype=pl.Int64).over(ids))
    return _Table(frame, "evaluation", ["no steps: the k-th record of an id is taken as evaluation k"])


def _read_cartography(source: Path) -> _Table:
    files = _epoch_files(source) if source.is_dir() else {}
    if not files:
        raise DatamapError(f"{source}: no folder of dynamics_epoch_N.jsonl")
    frames = []
    for path, epoch in files.items():
        logits = f"logits_epoch_{epoch}"
        with _reading(path):
            frame = _read_json_lines(path)
        missing = [name for name in ("guid", logits, "gold") if name not in frame.columns]
        if missing:
            raise DatamapError(f"{path}: no field {', '.join(missing)}; every record needs guid, {logits}, gold")
        own = [name for name in frame.columns if name not in ("guid", logits, "gold", "logits", "epoch")]
        epochs = pl.lit(epoch, dtype=pl.Int64).alias("epoch")
        frames.append(frame.select("guid", "gold", pl.col(logits).alias("logits"), epochs, *own))
    gaps = [f"{a} and {b}" for a, b in pairwise(files.values()) if b - a > 1]
    notes = [f"no file for the epochs between {_first_three(gaps)}"] if gaps else []
    others = sorted(path.name for path in next(iter(files)).parent.iterdir() if path not in files)
    notes += [f"left out, as it is no dynamics_epoch_N.jsonl: {_first_three(others)}"] if others else []
    return _Table(pl.concat(frames, how="diagonal_relaxed"), "epoch", notes)


def _epoch_files(folder: Path) -> dict[Path, int]:
    """The files of dynamics in order of their epochs; in the model's folder they lie one folder deeper."""
    inner = folder / "training_dynamics"
    found = {
        path: int(match[1])
        for path in (inner if inner.is_dir() else folder).iterdir()
        if (match := _EPOCH_FILE.fullmatch(path.name)) and path.is_file()
    }
    return dict(sorted(found.items(), key=lambda item: item[1]))


def _read_table(source: Path) -> _Table:
    files = [source]
    if source.is_dir():
        names = sorted(source.iterdir())
        files = [path for path in names if path.suffix.lower() in _TABLES and path.name[0] not in "._"]
        if not files:
            raise _unrecognized(source)
        kinds = sorted({_TABLES[path.suffix.lower()] for path in files})
        if len(kinds) > 1:
            raise DatamapError(f"{source}: files of several kinds ({', '.join(kinds)}); give a folder of one kind")
    frames = [_read_file(path) for path in files]
    for path, frame in zip(files, frames, strict=True):
        _refuse_summary(path, frame.columns)
        if set(frame.columns) != set(frames[0].columns):
            raise DatamapError(f"{path}: other columns than in {files[0].name}: {_first_three(frame.columns)}")
    frame = pl.concat([frame.select(frames[0].columns) for frame in frames], how="vertical_relaxed")
    step = _present(frame.columns, _STEP)
    if step is None:
        raise DatamapError(f"{source}: no column step or epoch; columns: {_names(frame.columns)}")
    return _Table(frame, step, [])


def _read_file(path: Path) -> pl.DataFrame:
    with _reading(path):
        if _magic(path) == _PARQUET:
            return _read_parquet(path)
        return _read_json_lines(path) if _is_json(path) else _read_csv(path)


def _read_parquet(path: Path) -> pl.DataFrame:
    try:
        frame = pl.read_parquet(path, glob=False, hive_partitioning=False)
    except pl.exceptions.PanicException:
        raise DatamapError(f"{path}: damaged: not a Parquet file that can be read") from None
    arrays = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.Array) and len(dtype.shape) == 1]
    # lists: arrays of several widths would not go into one column
    return frame.with_columns(pl.col(arrays).arr.to_list())


def _read_arrays(source: Path) -> _Table:
    """One array a name; never unpickles."""
    if not source.is_file() or _magic(source) != _ZIP:
        raise DatamapError(f"{source}: not an .npz file")
    try:
        # opened here, as numpy leaves a file open that it cannot read
        with source.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            if len(set(archive.files)) < len(archive.files):
                raise DatamapError(f"{source}: two arrays of one name")
            arrays = {name: archive[name] for name in archive.files if name in _ARRAYS}
            others = [name for name in archive.files if name not in _ARRAYS]
    except _NPZ_ERRORS as error:
        if "allow_pickle" in str(error):
            raise DatamapError(f"{source}: holds pickled objects, which are never loaded; save plain arrays") from None
        raise DatamapError(f"{source}: not an .npz file that can be read: {_line(error)}") from None

    name = _present(list(arrays), _SCORES)
    if name is None or "labels" not in arrays:
        raise DatamapError(
            f"{source}: expected arrays probs or logits (T, N, C) and labels (N,); found: "
            f"{_names([*arrays, *others]) or 'none'}"
        )
    scores = arrays.pop(name)
    if not isinstance(scores, np.ndarray) or scores.ndim != 3 or scores.dtype.kind not in "iuf":
        raise DatamapError(f"{source}: {name}: expected an array of numbers (T, N, C)")
    evaluations, count, n_classes = scores.shape
    if n_classes < 2:
        raise DatamapError(f"{source}: {name}: {n_classes} in the last axis; two classes or more are needed")
    lengths = {"labels": count, "ids": count, "s_label": count, "noisy_label": count, "steps": evaluations}
    columns: dict[str, pl.Series] = {}
    for key, array in arrays.items():
        length = lengths.get(key, n_classes)
        if not isinstance(array, np.ndarray) or array.shape != (length,) or array.dtype.kind not in "iufU":
            raise DatamapError(
                f"{source}: {key}: expected an array ({length},) of numbers or texts, to go with {name} {scores.shape}"
            )
        columns[key] = _series(source, key, array.tolist())
    tile, repeat = np.tile(np.arange(count), evaluations), np.repeat(np.arange(evaluations), count)
    step = "step" if "steps" in columns else "evaluation"
    data = {
        "id": columns.get("ids", pl.Series(range(count), dtype=pl.Int64)).gather(tile),
        step: columns.get("steps", pl.Series(range(evaluations), dtype=pl.Int64)).gather(repeat),
        "label": columns["labels"].gather(tile),
        **{key: columns[key].gather(tile) for key in _S_LABEL if key in columns},
        name: pl.Series(scores.reshape(-1, n_classes).astype(np.float64)).arr.to_list(),
    }
    notes = [f"left out arrays: {_first_three(others)}"] if others else []
    classes = _texts(columns["classes"]).to_list() if "classes" in columns else None
    if classes is not None and (None in classes or len(set(classes)) < len(classes)):
        raise DatamapError(f"{source}: classes: expected {n_classes} different names")
    return _Table(pl.DataFrame(data), step, notes, classes)


_ARRAYS = (*_SCORES, "labels", "ids", "steps", "classes", *_S_LABEL)
# what numpy and zipfile raise for archives that are cut off, damaged or encrypted
_NPZ_ERRORS = (
    ValueError,
    TypeError,
    OverflowError,
    OSError,
    EOFError,
    RuntimeError,
    MemoryError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
)


# --------------------------------------------------------------------------------------------- reading


@contextmanager
def _reading(source: Path) -> Iterator[None]:
    """Turns what the system, Polars and decoders say of a file into a line for the user."""
    try:
        yield
    except UnicodeDecodeError:
        raise DatamapError(f"{source}: not UTF-8 text; save it as UTF-8") from None
    except OSError as error:
        raise DatamapError(f"{error.filename or source}: cannot be read: {error.strerror or _line(error)}") from None
    except pl.exceptions.PolarsError as error:
        raise DatamapError(f"{source}: cannot be read: {_line(error)}") from None


def _read_json_lines(path: Path) -> pl.DataFrame:
    """JSON objects or Python dicts, one a line; a field that a record lacks is null."""
    columns: dict[str, list[Any]] = {}
    count = 0
    with path.open(encoding="utf-8-sig", newline="\n") as file:
        for number, line in enumerate(file, start=1):
            if not line.strip():
                continue
            record = _record(path, number, line)
            if record.keys() != columns.keys():
                for name in record:
                    columns.setdefault(name, [None] * count)
                record = {name: record.get(name) for name in columns}
            for name, value in record.items():
                columns[name].append(value)
            count += 1
    return pl.DataFrame([_series(path, name, values) for name, values in columns.items()])


def _record(path: Path, number: int, line: str) -> dict[str, Any]:
    """The object in a line of JSON, or the dict in a line of Python; evaluates nothing."""
    line = line.strip()
    if '"' in line or "\\" in line:
        readers: tuple[Callable[[str], Any], ...] = (_DECODER.decode, _python_literal)
    else:
        # without double quotes and escapes every string is between two single quotes: JSON but for the quotes
        readers = (lambda text: _DECODER.decode(text.replace("'", '"')), _plain_dict, _python_literal)
    for reader in readers:
        try:
            record = reader(line)
        except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
            continue
        if isinstance(record, dict):
            return record
        break
    raise DatamapError(
        f"{path}, line {number}: expected a JSON object or a Python dict, every field once; found {_shown(line)}"
    )


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(pairs)
    if len(record) < len(pairs):
        raise ValueError("a field stands twice")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_unique)
_JSON_WORDS = {"True": "true", "False": "false", "None": "null", "nan": "NaN", "inf": "Infinity"}


def _plain_dict(line: str) -> Any:
    """A Python dict without double quotes and escapes, by way of JSON; far faster than Python's parser."""
    parts = line.split("'")
    # the even parts lie outside of strings
    parts[::2] = [re.sub(r"\b(True|False|None|nan|inf)\b", lambda m: _JSON_WORDS[m[0]], part) for part in parts[::2]]
    return _DECODER.decode('"'.join(parts))


def _python_literal(line: str) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of escapes that Python has deprecated
        tree = ast.parse(line, mode="eval")
    record = ast.literal_eval(tree)
    if isinstance(tree.body, ast.Dict) and (len(record) < len(tree.body.keys) or set(map(type, record)) != {str}):
        raise ValueError("a field stands twice, or its name is no text")
    return record


def _series(path: Path, name: str, values: Sequence[Any]) -> pl.Series:
    """Python values as a column: integers, numbers, booleans, lists of numbers; anything else as text."""
    types = set(map(type, values)) - {type(None)}
    if types == {int} and all(value is None or -(2**63) <= value < 2**63 for value in values):
        return pl.Series(name, values, dtype=pl.Int64)
    if types == {bool}:
        return pl.Series(name, values, dtype=pl.Boolean)
    try:
        if types in ({float}, {int, float}):
            return pl.Series(name, [None if value is None else float(value) for value in values], dtype=pl.Float64)
        if types in ({list}, {tuple}, {list, tuple}):
            elements = set(map(type, chain.from_iterable(value for value in values if value)))
            if elements <= {int, float, type(None)}:
                return _lists(name, values)
    except OverflowError:
        pass  # an integer beyond every float stays text
    try:
        return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String)
    except ValueError:
        raise DatamapError(f"{path}: {_shown(name)}: a value that is no valid text or number") from None


def _lists(name: str, values: Sequence[Sequence[float | None] | None]) -> pl.Series:
    """Lists of numbers as a column."""
    widths = {len(value) if value else 0 for value in values}
    if len(widths) == 1 and 0 not in widths:
        # through numpy, many times as fast; of None it makes NaN
        flat = np.array(list(chain.from_iterable(value for value in values if value)), dtype=np.float64)
        return pl.Series(name, flat.reshape(len(values), -1)).arr.to_list()
    floats = [None if value is None else [None if v is None else float(v) for v in value] for value in values]
    return pl.Series(name, floats, dtype=pl.List(pl.Float64))


def _read_csv(path: Path) -> pl.DataFrame:
    """Comma or tab separated, with a header; what the columns with names of our own mean is left to `_dynamics`."""
    with path.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 1))
        if file.read(1) not in b"\r\n":
            raise DatamapError(f"{path}: the last line has no end: cut off? if it is whole, add a line break")
    separator = _separator(_first_line(path)[1])
    with path.open(encoding="utf-8-sig", newline="") as text:
        reader = csv.reader(text, delimiter=separator, strict=True)
        try:
            header = [name.strip() for name in next((row for row in reader if row), [])]
            if len(set(header)) < len(header):
                raise DatamapError(f"{path}: the header names a column twice: {_names(header)}")
            rows = _whole_rows(path, reader, len(header))
            blocks = [pl.DataFrame({name: [] for name in header}, schema=dict.fromkeys(header, pl.String))]
            # in blocks: a file of millions of lines as Python strings would not fit
            while block := list(islice(rows, 100_000)):
                columns = zip(header, zip(*block, strict=True), strict=True)
                blocks.append(pl.DataFrame([pl.Series(name, values, dtype=pl.String) for name, values in columns]))
        except csv.Error as error:
            raise DatamapError(f"{path}, line {reader.line_num}: {_line(error)}") from None
    frame = pl.concat(blocks)
    ours = [_present(header, names) for names in (_ID, _STEP, _LABEL, _S_LABEL, _SCORES)]
    return frame.with_columns(_inferred(frame[name]) for name in header if name not in ours)


def _whole_rows(path: Path, reader: Any, width: int) -> Iterator[list[str]]:
    for row in reader:
        if len(row) == width:
            yield row
        elif row:
            raise DatamapError(f"{path}, line {reader.line_num}: {_counted(len(row), 'field')}, expected {width}")


def _inferred(texts: pl.Series) -> pl.Series:
    """Integers or numbers where every text that is not empty is one."""
    texts = texts.set(texts.str.strip_chars() == "", None)
    if texts.null_count() == len(texts):
        return texts
    if texts.str.contains(_INTEGER).all():
        return texts.cast(pl.Int64)
    numbers = texts.str.strip_chars().cast(pl.Float64, strict=False)
    return numbers if numbers.null_count() == texts.null_count() else texts


# ------------------------------------------------------------------------------------------ evaluations


def _dynamics(source: Path, format: str, table: _Table, *, drop: bool) -> Dynamics:
    """The evaluations in a long table; raises DatamapError where they are not of the same examples."""
    frame, notes = table.frame, list(table.notes)
    if not frame.height:
        raise DatamapError(f"{source}: no records")
    ids = _ids(source, frame)
    steps = _integers(frame[table.step]).fill_null(-1)
    if (row := _first(steps < 0)) is not None:
        value = _shown(frame[table.step][row])
        raise DatamapError(f"{source}: {table.step} {value} of {_id(ids[row])}: expected a whole number from 0")

    def at(row: int) -> str:
        return f"{source}: {table.step} {steps[row]}, {_id(ids[row])}"

    # before the values: whoever gives the wrong file should hear of that first
    rows, numbers = _aligned(source, table.step, ids, steps, notes, drop=drop)
    values, scores, names = _scores(source, frame, at)
    names = names if table.classes is None else table.classes
    probs = _softmax(values, at) if "logit" in scores[0] else _checked(values, at)
    labels, label = _labels(source, frame, probs.shape[1], names, notes, at)
    examples = pl.DataFrame([ids, labels, _s_label(frame, at)])
    for column in (examples["label"], examples["s_label"].fill_null(0)):
        _refuse_changing(source, table.step, column, ids, rows, numbers)
    _compare(frame, labels, probs, notes)
    examples = examples.with_columns(_own(frame, [*scores, label, table.step], notes))
    return Dynamics(
        format=format,
        classes=names if names is not None else [str(k) for k in range(probs.shape[1])],
        evaluations=[Evaluation(step, examples[row], probs[row]) for step, row in zip(numbers, rows, strict=True)],
        notes=notes,
    )


def _aligned(
    source: Path, unit: str, ids: pl.Series, steps: pl.Series, notes: list[str], *, drop: bool
) -> tuple[npt.NDArray[np.int64], list[int]]:
    """Where the evaluations stand in the table, rows (T, N) in the order of the first one; and their T steps."""
    numbers, evaluation = np.unique(steps.to_numpy(), return_inverse=True)
    if len(numbers) == 1:
        notes.append("one evaluation only: no signal over the training can tell anything")
    frame = pl.DataFrame({"id": ids, "evaluation": evaluation}).with_row_index("row")
    doubled = _first(frame.select("id", "evaluation").is_duplicated())
    if doubled is not None:
        raise DatamapError(f"{source}: {unit} {steps[doubled]}: {_id(ids[doubled])} stands there more than once")
    times = frame.group_by("id", maintain_order=True).agg(pl.len())
    if len(numbers) > 1 and (times["len"] == 1).all():
        raise DatamapError(
            f"{source}: no id stands in two evaluations ({unit} {_first_three(numbers)}), so nothing can be "
            "followed over the training; were different examples collected each time?"
        )
    some = times.filter(pl.col("len") < len(numbers))["id"]
    if len(some):
        there = evaluation[frame["id"].eq(some[0]).to_numpy()]
        lacking = numbers[np.setdiff1d(np.arange(len(numbers)), there)]
        what = f"{len(some):,} of {_counted(times.height, 'id')} are not in every evaluation: {_first_three(some, _id)}"
        what += f"; {_id(some[0])} is missing in {unit} {_first_three(lacking)}"
        if not drop:
            raise DatamapError(f"{source}: {what}")
        if len(some) == times.height:
            raise DatamapError(f"{source}: no id stands in every evaluation; {what}")
        notes.append(f"left out: {what}")
        frame = frame.filter(~pl.col("id").is_in(some.implode()))
    order = frame.filter(pl.col("evaluation") == 0).select("id").with_row_index("position")
    frame = frame.join(order, on="id", how="left").sort("evaluation", "position")
    return frame["row"].to_numpy().astype(np.int64).reshape(len(numbers), -1), numbers.tolist()


def _refuse_changing(
    source: Path,
    unit: str,
    column: pl.Series,
    ids: pl.Series,
    rows: npt.NDArray[np.int64],
    numbers: Sequence[int],
) -> None:
    """Raises DatamapError where what should be one value an example is not the same in all evaluations."""
    table = column.to_numpy()[rows]
    changed = np.flatnonzero((table != table[0]).any(axis=0))
    if not len(changed):
        return
    k = changed[0]
    t = int((table[:, k] != table[0, k]).argmax())
    raise DatamapError(
        f"{source}: another {column.name} for {_counted(len(changed), 'example')} than in the first evaluation: "
        f"{_first_three(ids[rows[0, changed]], _id)}; {_id(ids[int(rows[0, k])])} has {table[0, k]} at {unit} "
        f"{numbers[0]} and {table[t, k]} at {unit} {numbers[t]}"
    )


# ---------------------------------------------------------------------------------------------- columns


def _ids(source: Path, frame: pl.DataFrame) -> pl.Series:
    """The ids: integers where all are, of 18 digits at most, else texts."""
    name = _present(frame.columns, _ID)
    if name is None:
        raise DatamapError(f"{source}: no column {', '.join(_ID)}; columns: {_names(frame.columns)}")
    ids = _texts(frame[name]).alias("id")
    if (row := _first(ids.is_null())) is not None:
        value = _shown(frame[name][row])
        raise DatamapError(f"{source}: record {row + 1}: {name} {value}: expected a whole number or a text")
    return ids.cast(pl.Int64) if ids.str.contains(_INTEGER).all() else ids


def _texts(column: pl.Series) -> pl.Series:
    """Integers and texts as texts, stripped; null where a value is neither."""
    if column.dtype.is_float() or column.dtype.is_decimal():
        column = _integers(column)
    if column.dtype.is_integer() or isinstance(column.dtype, (pl.String, pl.Categorical, pl.Enum)):
        texts = column.cast(pl.String).str.strip_chars()
        return texts.set(texts == "", None)
    return pl.Series(column.name, [None] * len(column), dtype=pl.String)


def _integers(column: pl.Series) -> pl.Series:
    """Integers, whole floats and texts of integers as Int64; null where a value is none of these."""
    if column.dtype.is_decimal():
        column = column.cast(pl.Float64)
    if column.dtype.is_float():
        # beyond 2**53 a float no longer tells which integer it was
        column = column.set(((column != column.floor()) | (column.abs() > 2.0**53)).fill_null(True), None)
    elif isinstance(column.dtype, (pl.String, pl.Categorical, pl.Enum)):
        column = column.cast(pl.String).str.strip_chars()
        column = column.set(~column.str.contains(_INTEGER).fill_null(False), None)
    elif not column.dtype.is_integer():
        column = pl.Series(column.name, [None] * len(column))
    return column.cast(pl.Int64, strict=False)


def _scores(
    source: Path, frame: pl.DataFrame, at: Callable[[int], str]
) -> tuple[npt.NDArray[np.float64], list[str], list[str] | None]:
    """Probs or logits as found (R, C), the columns they are in, and class names where column names tell them."""
    name = _present(frame.columns, _SCORES)
    if name is not None:
        return _from_lists(frame[name], at), [name], None
    for prefix in _PER_CLASS:
        names = _class_columns(frame.columns, prefix)
        if len(names) > 1:
            columns = [prefix + name for name in names]
            return np.column_stack([_floats(frame[name], at) for name in columns]), columns, names
    raise DatamapError(
        f"{source}: no column probs or logits, nor one for each class (probs_0, probs_1, …); "
        f"columns: {_names(frame.columns)}"
    )


def _class_columns(columns: Sequence[str], prefix: str) -> list[str]:
    """What follows the prefix: the classes, by number where all are numbers."""
    names = [name.removeprefix(prefix) for name in columns if name.startswith(prefix) and name != prefix]
    return sorted(names, key=int) if all(re.fullmatch(r"0|[1-9]\d{0,17}", name) for name in names) else names


def _from_lists(column: pl.Series, at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    if isinstance(column.dtype, pl.String):
        column = _parsed(column)
    if not isinstance(column.dtype, pl.List) or not column.dtype.inner.is_numeric():
        raise DatamapError(f"{at(0)}: {column.name}: expected a list of numbers, found {_shown(column[0])}")
    widths = column.list.len().fill_null(0)
    # the usual width, lest one odd record in front make all the others look wrong
    width: int = widths.mode().sort()[-1]
    if (row := _first(widths != width)) is not None:
        raise DatamapError(f"{at(row)}: {widths[row]} {column.name}, but {width} elsewhere")
    if width < 2:
        raise DatamapError(f"{at(0)}: {width} {column.name}; two classes or more are needed")
    # of a number that is missing NaN is made, which is refused where the values are looked at
    flat = column.explode().cast(pl.Float64).fill_null(float("nan"))
    return flat.to_numpy().reshape(len(column), -1)


def _parsed(column: pl.Series) -> pl.Series:
    """Lists of numbers that a CSV holds as text; stays as it is where a text is no such list."""
    try:
        values = [None if text is None else json.loads(text) for text in column]
    except (ValueError, RecursionError):
        return column
    return _series(Path(), column.name, values)


def _floats(column: pl.Series, at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    numbers = column
    if isinstance(column.dtype, pl.String):
        numbers = column.str.strip_chars().cast(pl.Float64, strict=False)
    row = 0 if not numbers.dtype.is_numeric() else _first(numbers.is_null())
    if row is not None:
        raise DatamapError(f"{at(row)}: {_shown(column.name)} {_shown(column[row])}: expected a number")
    return numbers.cast(pl.Float64).to_numpy()


def _softmax(logits: npt.NDArray[np.float64], at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """Probs (R, C) of logits. A logit of −∞ is a class that was masked out, unless all of the row are."""
    largest = logits.max(axis=1, keepdims=True)
    bad = np.flatnonzero(~np.isfinite(largest))
    if len(bad):
        raise DatamapError(f"{at(int(bad[0]))}: logits {_numbers(logits[bad[0]])}: expected finite numbers")
    with np.errstate(over="ignore"):  # a difference beyond all floats: exp(−∞) is the 0 it should be
        exponentials = np.exp(logits - largest)
    probs: npt.NDArray[np.float64] = exponentials / exponentials.sum(axis=1, keepdims=True)
    return probs


def _checked(probs: npt.NDArray[np.float64], at: Callable[[int], str]) -> npt.NDArray[np.float64]:
    """The probs (R, C) as they are, but for rounding beyond 1; raises where a row is no distribution."""
    outside = np.flatnonzero(~((probs >= 0) & (probs <= 1 + _ROUNDING)).all(axis=1))
    if len(outside):
        row = int(outside[0])
        raise DatamapError(f"{at(row)}: probs {_numbers(probs[row])}: expected numbers from 0 to 1")
    sums = probs.sum(axis=1)
    off = np.flatnonzero(np.abs(sums - 1) > _SUM_TOLERANCE)
    if len(off):
        row = int(off[0])
        raise DatamapError(f"{at(row)}: probs {_numbers(probs[row])} sum to {sums[row]:.6g}: expected 1")
    return probs.clip(max=1)


def _labels(
    source: Path,
    frame: pl.DataFrame,
    n_classes: int,
    names: list[str] | None,
    notes: list[str],
    at: Callable[[int], str],
) -> tuple[pl.Series, str]:
    """Class indices, and the column they come from; where the classes have names, labels may be these."""
    column = _present(frame.columns, _LABEL)
    if column is None:
        raise DatamapError(f"{source}: no column {' or '.join(_LABEL)}; columns: {_names(frame.columns)}")
    plain = [str(k) for k in range(n_classes)]
    if names is not None and names != plain:
        named = _texts(frame[column]).replace_strict(names, list(range(n_classes)), default=None, return_dtype=pl.Int64)
        if not named.null_count():
            return named.alias("label"), column
    index = _integers(frame[column])
    row = _first(~index.is_between(0, n_classes - 1).fill_null(False))
    if row is None:
        if names is not None and names != plain:
            notes.append(f"labels are taken as indices of the classes {_names(names)}, in this order")
        return index.alias("label"), column
    accepted = f"a class index from 0 to {n_classes - 1}"
    if names is None:
        accepted += "; where labels are names, give a column for each class (probs_NAME)"
    elif names != plain:
        accepted = f"one of {_names(names)}, or {accepted}"
    raise DatamapError(f"{at(row)}: {column} {_shown(frame[column][row])}: expected {accepted}")


def _s_label(frame: pl.DataFrame, at: Callable[[int], str]) -> pl.Series:
    """The s_label; null where no record has one, else 0 where a record lacks it, as in the data set room."""
    name = _present(frame.columns, _S_LABEL)
    given = frame[name] if name is not None else pl.Series([None] * frame.height)
    if isinstance(given.dtype, pl.String):
        given = given.set(given.str.strip_chars() == "", None)
    if given.null_count() == len(given):
        return pl.Series("s_label", [None] * len(given), dtype=pl.Int64)
    values = _integers(given)
    row = _first(given.is_not_null() & ~values.is_between(0, 2).fill_null(False))
    if row is not None:
        raise DatamapError(f"{at(row)}: {name} {_shown(given[row])}: expected 0, 1 or 2")
    return values.fill_null(0).alias("s_label")


def _compare(frame: pl.DataFrame, labels: pl.Series, probs: npt.NDArray[np.float64], notes: list[str]) -> None:
    """Notes where the source's own label_probs are others than probs has for the labels."""
    if "label_probs" not in frame.columns or not frame["label_probs"].dtype.is_numeric():
        return
    ours = probs[np.arange(len(labels)), labels.to_numpy()]
    theirs = frame["label_probs"].cast(pl.Float64).fill_null(float("nan")).to_numpy()
    other = int((np.abs(ours - theirs) > _SUM_TOLERANCE).sum())
    if other:
        notes.append(f"{_counted(other, 'record')} with label_probs that probs does not have at the label; probs count")


def _own(frame: pl.DataFrame, used: Sequence[str], notes: list[str]) -> list[pl.Series]:
    """The user's own columns: numbers, truth values and texts."""
    roles = [_present(frame.columns, names) for names in (_ID, _S_LABEL)]
    # the last two are the index that pandas writes, to CSV and to Parquet
    taken = {*used, *roles, *_DERIVED, *_STEP, *_SCORES, "id", "label", *_S_LABEL, "", "__index_level_0__"}
    own, left_out = [], []
    for column in frame:
        if column.name in taken:
            continue
        if column.dtype.is_decimal():
            own.append(column.cast(pl.Float64))
        elif column.dtype.is_numeric() or isinstance(column.dtype, (pl.String, pl.Boolean)):
            own.append(column)
        elif isinstance(column.dtype, (pl.Categorical, pl.Enum, pl.Date, pl.Datetime, pl.Time)):
            own.append(column.cast(pl.String))
        else:
            left_out.append(column.name)
    if left_out:
        notes.append(f"left out, neither numbers nor texts: {_first_three(left_out)}")
    return own


def _present(columns: Sequence[str], names: Sequence[str]) -> str | None:
    return next((name for name in names if name in columns), None)


# --------------------------------------------------------------------------------------------- messages


def _first(mask: pl.Series) -> int | None:
    """The first row where the mask is true."""
    return mask.arg_max() if mask.any() else None


def _id(value: Any) -> str:
    return f"id {_shown(value)}"


def _shown(value: Any, length: int = 60) -> str:
    """A foreign value within a line: short, and nothing in it that breaks the line."""
    text = str(value)
    return _short(text if text.isprintable() else repr(text), length)


def _numbers(row: npt.NDArray[np.float64]) -> str:
    return f"[{', '.join(f'{value:.6g}' for value in row[:3])}{', …' if len(row) > 3 else ''}]"


def _first_three(values: Sequence[Any] | pl.Series | npt.NDArray[Any], show: Callable[[Any], str] = _shown) -> str:
    return ", ".join(show(value) for value in values[:3]) + (", …" if len(values) > 3 else "")


def _names(names: Sequence[str]) -> str:
    return _short(", ".join(map(_shown, names)))


def _counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _short(text: str, length: int = 200) -> str:
    return text if len(text) <= length else text[:length] + " …"


def _line(error: object) -> str:
    return _shown((str(error).strip() or type(error).__name__).splitlines()[0], 200)
