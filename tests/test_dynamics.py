"""Reading others' training dynamics: every format gives the same evaluations, and what is wrong is said in a line."""

from __future__ import annotations

import csv
import io
import json
import math
import random
import zipfile
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamap_cli import dynamics, signals
from datamap_cli.errors import DatamapError
from tests.support import shared

LN3 = math.log(3)
IN_TMP_PATH = [HealthCheck.function_scoped_fixture]


def write(directory: Path, content: str | bytes, name: str = "source.jsonl") -> Path:
    path = directory / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_lines(directory: Path, records: Sequence[Mapping[str, Any]], name: str = "source.jsonl") -> Path:
    return write(directory, "".join(json.dumps(record) + "\n" for record in records), name)


def write_csv(directory: Path, records: Sequence[Mapping[str, Any]], name: str = "source.csv") -> Path:
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(records[0]), delimiter="\t" if name.endswith(".tsv") else ",")
    writer.writeheader()
    writer.writerows(records)
    return write(directory, buffer.getvalue(), name)


def write_parquet(directory: Path, records: Sequence[Mapping[str, Any]], name: str = "source.parquet") -> Path:
    path = directory / name
    pl.DataFrame(records).write_parquet(path)
    return path


def write_arrays(directory: Path, **arrays: npt.ArrayLike) -> Path:
    path = directory / "source.npz"
    np.savez(path, **{name: np.asarray(array) for name, array in arrays.items()})
    return path


def write_epochs(directory: Path, epochs: Mapping[int, Sequence[tuple[Any, list[float], int]]]) -> Path:
    """A folder as allenai/cartography leaves it: epoch -> (guid, logits, gold)."""
    folder = directory / "epochs"
    folder.mkdir(exist_ok=True)
    for epoch, rows in epochs.items():
        records = [{"guid": guid, f"logits_epoch_{epoch}": logits, "gold": gold} for guid, logits, gold in rows]
        write_lines(folder, records, f"dynamics_epoch_{epoch}.jsonl")
    return folder


def refusal(source: Path, format: str | None = None) -> str:
    with pytest.raises(DatamapError) as error:
        dynamics.read(source, format)
    assert "\n" not in str(error.value)
    return str(error.value).removeprefix(str(source))


def ids(evaluation: dynamics.Evaluation) -> list[Any]:
    return evaluation.examples["id"].to_list()


def labels(evaluation: dynamics.Evaluation) -> list[int]:
    return evaluation.examples["label"].to_list()


# ----------------------------------------------------------------------------------------------- golden

TUTORIAL = """\
{'id': 0, 'label': 0, 'pred_label': 0, 'noisy_label': 0, 'correct': 'true', 'loss': 0.28, 'probs': [0.75, 0.25], 'label_probs': 0.75}
{'id': 1, 'label': 1, 'pred_label': 0, 'noisy_label': 2, 'correct': 'false', 'loss': 0.69, 'probs': [0.5, 0.5], 'label_probs': 0.5}
{'id': 0, 'label': 0, 'pred_label': 0, 'noisy_label': 0, 'correct': 'true', 'loss': 0.0, 'probs': [1.0, 0.0], 'label_probs': 1.0}
{'id': 1, 'label': 1, 'pred_label': 1, 'noisy_label': 2, 'correct': 'true', 'loss': 0.13, 'probs': [0.125, 0.875], 'label_probs': 0.875}
"""


@pytest.mark.parametrize(
    "content",
    [
        TUTORIAL,
        TUTORIAL.replace("'", '"'),
        TUTORIAL.replace("\n", "\r\n"),
        "\n" + TUTORIAL + "\n\n",
        "\ufeff" + TUTORIAL,
        TUTORIAL.replace("'true'", "True").replace("'false'", "False").replace("0.28", "nan").replace("0.0,", "inf,"),
        TUTORIAL.replace("'correct'", '"correct"'),
    ],
    ids=["dicts", "JSON", "Windows", "blank lines", "byte order mark", "Python's words", "mixed quotes"],
)
def test_the_tutorials_records_are_told_apart_by_how_often_an_id_came(tmp_path: Path, content: str) -> None:
    read = dynamics.read(write(tmp_path, content, "output_data.json"))
    assert "tutorial" == read.format
    assert ["0", "1"] == read.classes
    assert [0, 1] == [evaluation.step for evaluation in read.evaluations]
    first, second = read.evaluations
    assert {"id": [0, 1], "label": [0, 1], "s_label": [0, 2]} == first.examples.to_dict(as_series=False)
    assert [[0.75, 0.25], [0.5, 0.5]] == first.probs.tolist()
    assert {"id": [0, 1], "label": [0, 1], "s_label": [0, 2]} == second.examples.to_dict(as_series=False)
    assert [[1.0, 0.0], [0.125, 0.875]] == second.probs.tolist()
    assert ["no steps: the k-th record of an id is taken as evaluation k"] == read.notes


@pytest.mark.parametrize("inner", ["", "training_dynamics"])
def test_a_cartography_folder_has_an_evaluation_for_each_epoch(tmp_path: Path, inner: str) -> None:
    epochs = {
        10: [("b", [0.0, LN3], 1), ("a", [0.0, 0.0], 0)],
        2: [("a", [LN3, 0.0], 0), ("b", [1000.0, 1000.0], 1)],
    }
    folder = write_epochs(tmp_path, epochs)
    write(folder, "noise", "args.txt")
    if inner:
        folder = folder.rename(tmp_path / inner).parent
    read = dynamics.read(folder)
    assert "cartography" == read.format
    assert [2, 10] == [evaluation.step for evaluation in read.evaluations]
    assert [["a", "b"], ["a", "b"]] == [ids(evaluation) for evaluation in read.evaluations]
    assert [[0, 1], [0, 1]] == [labels(evaluation) for evaluation in read.evaluations]
    np.testing.assert_allclose(read.evaluations[0].probs, [[0.75, 0.25], [0.5, 0.5]], atol=1e-15)
    np.testing.assert_allclose(read.evaluations[1].probs, [[0.5, 0.5], [0.25, 0.75]], atol=1e-15)
    assert [None, None] == read.evaluations[0].examples["s_label"].to_list()
    assert [
        "no file for the epochs between 2 and 10",
        "left out, as it is no dynamics_epoch_N.jsonl: args.txt",
    ] == read.notes


ROWS: list[dict[str, Any]] = [
    {"id": "x2", "step": 20, "label": 1, "probs": [0.25, 0.75], "s_label": 2, "length": 7, "source": "web, 2"},
    {"id": "x1", "step": 10, "label": 0, "probs": [1.0, 0.0], "s_label": 0, "length": 5, "source": "book"},
    {"id": "x2", "step": 10, "label": 1, "probs": [0.5, 0.5], "s_label": 2, "length": 7, "source": "web, 2"},
    {"id": "x1", "step": 20, "label": 0, "probs": [0.875, 0.125], "s_label": 0, "length": 5, "source": "book"},
]


def per_class(rows: Sequence[Mapping[str, Any]], names: Sequence[Any] = (0, 1)) -> list[dict[str, Any]]:
    return [
        {key: value for key, value in row.items() if key != "probs"}
        | {f"probs_{name}": p for name, p in zip(names, row["probs"], strict=True)}
        for row in rows
    ]


@pytest.mark.parametrize(
    "write_table",
    [
        lambda directory: write_lines(directory, ROWS),
        lambda directory: write_lines(directory, per_class(ROWS)),
        lambda directory: write_csv(directory, ROWS),
        lambda directory: write_csv(directory, per_class(ROWS)),
        lambda directory: write_csv(directory, per_class(ROWS), "source.tsv"),
        lambda directory: write_parquet(directory, ROWS),
        lambda directory: write_parquet(directory, per_class(ROWS)),
        lambda directory: write_lines(directory, ROWS, "without a suffix"),
        lambda directory: (
            write_lines(directory, ROWS[:3], "parts/a.jsonl").parent
            if write_lines(directory, ROWS[3:], "parts/b.jsonl")
            else directory
        ),
    ],
    ids=["jsonl", "jsonl by class", "csv", "csv by class", "tsv", "parquet", "parquet by class", "no suffix", "folder"],
)
def test_a_table_is_brought_into_order_with_the_users_columns(
    tmp_path: Path, write_table: Callable[[Path], Path]
) -> None:
    read = dynamics.read(write_table(tmp_path))
    assert "table" == read.format
    assert ["0", "1"] == read.classes
    assert [10, 20] == [evaluation.step for evaluation in read.evaluations]
    for evaluation in read.evaluations:
        assert {
            "id": ["x1", "x2"],
            "label": [0, 1],
            "s_label": [0, 2],
            "length": [5, 7],
            "source": ["book", "web, 2"],
        } == evaluation.examples.to_dict(as_series=False)
    assert [[1.0, 0.0], [0.5, 0.5]] == read.evaluations[0].probs.tolist()
    assert [[0.875, 0.125], [0.25, 0.75]] == read.evaluations[1].probs.tolist()
    assert [] == read.notes


def test_arrays_are_an_axis_of_evaluations_of_examples_of_classes(tmp_path: Path) -> None:
    scores = [[[0.0, LN3], [LN3, 0.0], [0.0, 0.0]], [[0.0, -math.inf], [0.0, 0.0], [0.0, 0.0]]]
    path = write_arrays(
        tmp_path,
        logits=scores,
        labels=["yes", "no", "no"],
        ids=[7, 5, 6],
        steps=[100, 300],
        classes=["no", "yes"],
        s_label=[0, 1, 2],
    )
    read = dynamics.read(path)
    assert "arrays" == read.format
    assert ["no", "yes"] == read.classes
    assert [100, 300] == [evaluation.step for evaluation in read.evaluations]
    assert {"id": [7, 5, 6], "label": [1, 0, 0], "s_label": [0, 1, 2]} == read.evaluations[0].examples.to_dict(
        as_series=False
    )
    np.testing.assert_allclose(read.evaluations[0].probs, [[0.25, 0.75], [0.75, 0.25], [0.5, 0.5]], atol=1e-15)
    assert [[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]] == read.evaluations[1].probs.tolist()


def test_arrays_without_ids_and_steps_are_numbered(tmp_path: Path) -> None:
    path = write_arrays(tmp_path, probs=np.full((3, 2, 2), 0.5, dtype=np.float16), labels=[1, 0], more=[1])
    read = dynamics.read(path)
    assert [0, 1, 2] == [evaluation.step for evaluation in read.evaluations]
    assert [0, 1] == ids(read.evaluations[2])
    assert [1, 0] == labels(read.evaluations[2])
    assert np.float64 == read.evaluations[0].probs.dtype
    assert ["left out arrays: more"] == read.notes


# ------------------------------------------------------------------------------------------- round trip


@settings(max_examples=30, suppress_health_check=IN_TMP_PATH)
@given(
    st.integers(1, 4),
    st.integers(1, 6),
    st.integers(2, 5),
    st.sampled_from([int, str]),
    st.integers(0, 2**32 - 1),
)
def test_the_same_dynamics_in_every_format_give_equal_probs(
    tmp_path: Path, evaluations: int, count: int, n_classes: int, kind: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    probs = rng.dirichlet(np.ones(n_classes), (evaluations, count))
    given_labels = rng.integers(0, n_classes, count)
    names = [f"n{i}" if kind is str else int(i) for i in rng.permutation(1000)[:count]]
    steps = np.sort(rng.permutation(10_000)[:evaluations])
    rows = [
        {"id": names[i], "step": int(steps[t]), "label": int(given_labels[i]), "probs": probs[t, i].tolist()}
        for t in range(evaluations)
        for i in range(count)
    ]
    # only the first evaluation fixes the order
    shuffled = rows[:count] + random.Random(seed).sample(rows[count:], len(rows) - count)
    stepless = [{key: value for key, value in row.items() if key != "step"} for row in rows]
    with_logits = [{**row, "logits": np.log(row.pop("probs")).tolist()} for row in map(dict, rows)]
    sources = {
        "arrays": write_arrays(tmp_path, probs=probs, labels=given_labels, ids=names, steps=steps),
        "tutorial": write(tmp_path, "".join(f"{row}\n" for row in stepless), "output_data.json"),
        "jsonl": write_lines(tmp_path, shuffled),
        "csv": write_csv(tmp_path, shuffled),
        "csv by class": write_csv(tmp_path, per_class(shuffled, range(n_classes)), "by_class.csv"),
        "parquet": write_parquet(tmp_path, shuffled),
        "logits": write_lines(tmp_path, with_logits, "logits.jsonl"),
    }
    for path in (tmp_path / "epochs").glob("*"):
        path.unlink()
    epochs: dict[int, Any] = {int(step): [] for step in steps}
    for row in with_logits:
        epochs[row["step"]].append((row["id"], row["logits"], row["label"]))
    sources["cartography"] = write_epochs(tmp_path, epochs)
    for name, source in sources.items():
        read = dynamics.read(source)
        exact = name not in ("logits", "cartography")
        assert names == ids(read.evaluations[0]), name
        assert evaluations == len(read.evaluations)
        for t, evaluation in enumerate(read.evaluations):
            assert names == ids(evaluation)
            assert given_labels.tolist() == labels(evaluation)
            assert (t if name == "tutorial" else steps[t]) == evaluation.step
            np.testing.assert_allclose(evaluation.probs, probs[t], rtol=0 if exact else 1e-12)


@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1).map(lambda name: f"own {name}"),
        st.text(st.characters(codec="utf-8")) | st.sampled_from(["it's", '"', "\\", "True", ": nan,", "', 'id': 5"]),
        max_size=3,
    )
)
@settings(max_examples=80, suppress_health_check=IN_TMP_PATH)
def test_texts_in_python_dicts_and_in_json_come_back_as_they_were(tmp_path: Path, own: dict[str, str]) -> None:
    record: dict[str, Any] = {**own, "id": 3, "label": 0, "probs": [0.5, 0.5]}
    for text in (f"{record}\n", json.dumps(record) + "\n", json.dumps(record, ensure_ascii=False) + "\n"):
        examples = dynamics.read(write(tmp_path, text)).evaluations[0].examples
        assert list(own) == examples.columns[3:]
        assert list(own.values()) == list(examples.row(0)[3:])


# --------------------------------------------------------------------------------- cartography's metrics


def cartography_metrics(logits: Sequence[Sequence[float]], gold: int) -> dict[str, float]:
    """Confidence, variability, correctness, forgetfulness and threshold closeness by the paper's definitions."""
    gold_probs, right = [], []
    for row in logits:
        weights = [math.exp(value - max(row)) for value in row]
        gold_probs.append(weights[gold] / sum(weights))
        right.append(row.index(max(row)) == gold)
    confidence = sum(gold_probs) / len(gold_probs)
    variance = sum((p - confidence) ** 2 for p in gold_probs) / len(gold_probs)
    return {
        "avg_probs": confidence,
        "variability": math.sqrt(variance),
        "correct_times": sum(right),
        # 1000 there, for examples that are never right, is never_learnt here
        "forgetting_times": sum(before and not after for before, after in pairwise(right)),
        "never_learnt": not any(right),
        "threshold_closeness": confidence * (1 - confidence),
    }


@settings(max_examples=30, suppress_health_check=IN_TMP_PATH)
@given(st.integers(1, 6), st.integers(1, 8), st.integers(2, 4), st.integers(0, 2**32 - 1))
def test_the_summary_of_cartography_files_has_cartographys_metrics(
    tmp_path: Path, count: int, epochs: int, n_classes: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    logits = rng.normal(scale=2, size=(epochs, count, n_classes)).round(10)
    gold = rng.integers(0, n_classes, count)
    for path in (tmp_path / "epochs").glob("*"):
        path.unlink()
    folder = write_epochs(
        tmp_path,
        {t: [(i, logits[t, i].tolist(), int(gold[i])) for i in rng.permutation(count).tolist()] for t in range(epochs)},
    )
    records = {
        str(evaluation.step): signals.records(evaluation.examples, evaluation.probs, np.zeros(count)).lazy()
        for evaluation in dynamics.read(folder).evaluations
    }
    summary = signals.summarize(records).lazy().collect()
    for row in summary.to_dicts():
        expected = cartography_metrics(logits[:, row["id"]].tolist(), int(gold[row["id"]]))
        assert expected == pytest.approx({name: row[name] for name in expected}, abs=1e-12)


# ---------------------------------------------------------------------------------------- class names


@pytest.mark.parametrize(
    ("names", "given_labels", "expected", "noted"),
    [
        (["pos", "neg"], ["neg", "pos"], [1, 0], False),
        (["pos", "neg"], [1, 0], [1, 0], True),
        (["2", "1"], [1, 2], [0, 1], False),
        (["1", "0"], [1, 0], [1, 0], False),
        (["10", "9"], ["9", "10"], [0, 1], False),
    ],
)
def test_columns_name_the_classes_and_labels_may_be_the_names(
    tmp_path: Path, names: list[str], given_labels: list[Any], expected: list[int], noted: bool
) -> None:
    records = [
        {"id": i, "step": t, "gold": label, f"prob_{names[0]}": 0.25, f"prob_{names[1]}": 0.75}
        for t in range(2)
        for i, label in enumerate(given_labels)
    ]
    for source in (write_csv(tmp_path, records), write_lines(tmp_path, records)):
        read = dynamics.read(source)
        in_order = sorted(names, key=int) if names[0].isdigit() else names
        assert in_order == read.classes
        assert expected == labels(read.evaluations[0])
        of_first = 0.25 if in_order == names else 0.75
        assert [of_first, of_first] == read.evaluations[1].probs[:, 0].tolist()
        note = ["labels are taken as indices of the classes pos, neg, in this order"] if noted else []
        assert note == read.notes


def test_labels_that_are_names_without_an_order_of_classes_are_refused(tmp_path: Path) -> None:
    path = write_lines(tmp_path, [{**row, "label": "pos"} for row in ROWS])
    assert (
        ": step 20, id x2: label pos: expected a class index from 0 to 1; "
        "where labels are names, give a column for each class (probs_NAME)"
    ) == refusal(path)


# ------------------------------------------------------------------------------------------- own columns


def test_own_columns_keep_their_types_and_nested_ones_are_left_out(tmp_path: Path) -> None:
    own: list[dict[str, Any]] = [
        {"number": 1, "mixed": 1, "text": "007", "flag": True, "empty": None, "huge": 10**400},
        {"number": 2.5, "mixed": "a", "text": "8", "flag": None, "empty": None, "huge": 1},
    ]
    records = [{"id": i, "epoch": 0, "label": 0, "probs": [0.5, 0.5], **row} for i, row in enumerate(own)]
    examples = dynamics.read(write_lines(tmp_path, records)).evaluations[0].examples.drop("id", "label", "s_label")
    assert {
        "number": [1.0, 2.5],
        "mixed": ["1", "a"],
        "text": ["007", "8"],
        "flag": [True, None],
        "empty": [None, None],
        "huge": [str(10**400), "1"],
    } == examples.to_dict(as_series=False)

    read = dynamics.read(write_parquet(tmp_path, [{**row, "vector": [1, 2]} for row in ROWS]))
    assert ["id", "label", "s_label", "length", "source"] == read.evaluations[0].examples.columns
    assert ["left out, neither numbers nor texts: vector"] == read.notes


def test_own_columns_of_parquets_further_types_become_numbers_and_texts_or_are_left_out(tmp_path: Path) -> None:
    frame = pl.DataFrame(ROWS).select(
        "id",
        "step",
        "label",
        pl.col("probs").list.to_array(2),
        pl.lit("1.5").cast(pl.Decimal(4, 2)).alias("decimal"),
        pl.lit("web").cast(pl.Categorical).alias("category"),
        pl.date(2024, 2, 29).alias("date"),
        pl.duration(days=1).alias("duration"),
        pl.lit(b"\xff").alias("bytes"),
    )
    frame.write_parquet(tmp_path / "source.parquet")
    read = dynamics.read(tmp_path / "source.parquet")
    own = {"decimal": 1.5, "category": "web", "date": "2024-02-29"}
    assert own == read.evaluations[0].examples.drop("id", "label", "s_label").to_dicts()[0]
    assert ["left out, neither numbers nor texts: duration, bytes"] == read.notes


def test_what_follows_from_label_and_probs_is_not_taken_over(tmp_path: Path) -> None:
    derived = {"pred_label": 7, "correct": False, "loss": -1.0, "label_probs": 0.875}
    read = dynamics.read(write_lines(tmp_path, [{**row, **derived} for row in ROWS]))
    assert ["id", "label", "s_label", "length", "source"] == read.evaluations[0].examples.columns
    assert ["3 records with label_probs that probs does not have at the label; probs count"] == read.notes


def test_ids_are_integers_where_all_are_and_texts_otherwise(tmp_path: Path) -> None:
    for written, expected in (
        (["1", "20"], [1, 20]),
        ([1.0, 2.0], [1, 2]),
        (["1", "x"], ["1", "x"]),
        (["01", "2"], ["01", "2"]),
        ([10**18, 5], ["1000000000000000000", "5"]),
        ([10**30, 5], ["1" + "0" * 30, "5"]),
    ):
        records = [{"guid": value, "step": 0, "label": 0, "probs": [0.5, 0.5]} for value in written]
        assert expected == ids(dynamics.read(write_lines(tmp_path, records)).evaluations[0])


def test_step_counts_before_epoch_and_id_before_guid(tmp_path: Path) -> None:
    records = [{"guid": "g", "id": 1, "epoch": 9, "step": t, "label": 0, "probs": [0.5, 0.5]} for t in (4, 2)]
    read = dynamics.read(write_lines(tmp_path, records))
    assert [2, 4] == [evaluation.step for evaluation in read.evaluations]
    assert {"id": [1], "label": [0], "s_label": [None], "guid": ["g"]} == read.evaluations[0].examples.to_dict(
        as_series=False
    )


def test_an_s_label_that_some_records_lack_is_plain(tmp_path: Path) -> None:
    records = [{k: v for k, v in row.items() if k != "s_label" or v == 2} for row in ROWS]
    assert [0, 2] == dynamics.read(write_lines(tmp_path, records)).evaluations[0].examples["s_label"].to_list()


# --------------------------------------------------------------------------------------------- refusals


def changed(row: int, **values: Any) -> list[dict[str, Any]]:
    rows = [dict(record) for record in ROWS]
    rows[row].update(values)
    return rows


def three(value: float) -> list[float]:
    return [value, 1 - value, 0.0]


REFUSED: dict[str, tuple[list[dict[str, Any]], str]] = {
    "a label out of range": (changed(0, label=2), ": step 20, id x2: label 2: expected a class index from 0 to 1"),
    "a negative label": (changed(0, label=-1), ": step 20, id x2: label -1: expected a class index from 0 to 1"),
    "half a label": (changed(0, label=0.5), ": step 20, id x2: label 0.5: expected a class index from 0 to 1"),
    "no label": (changed(0, label=None), ": step 20, id x2: label None: expected a class index from 0 to 1"),
    "a huge label": (changed(0, label=10**30), f": step 20, id x2: label 1{'0' * 30}: expected a class index"),
    "a label that changes": (
        changed(0, label=0),
        ": another label for 1 example than in the first evaluation: id x2; id x2 has 1 at step 10 and 0 at step 20",
    ),
    "an s_label that changes": (changed(0, s_label=1), ": another s_label for 1 example than in the first evaluation"),
    "an unknown s_label": (changed(0, s_label=3), ": step 20, id x2: s_label 3: expected 0, 1 or 2"),
    "another number of classes": (changed(0, probs=three(0.5)), ": step 20, id x2: 3 probs, but 2 elsewhere"),
    "no probs": (changed(0, probs=None), ": step 20, id x2: 0 probs, but 2 elsewhere"),
    "empty probs": (changed(0, probs=[]), ": step 20, id x2: 0 probs, but 2 elsewhere"),
    "one class": (
        [{**row, "probs": [1.0]} for row in ROWS],
        ": step 20, id x2: 1 probs; two classes or more are needed",
    ),
    "probs that miss 1": (changed(0, probs=[0.5, 0.4]), ": step 20, id x2: probs [0.5, 0.4] sum to 0.9: expected 1"),
    "a prob below 0": (changed(0, probs=[-0.1, 1.1]), ": step 20, id x2: probs [-0.1, 1.1]: expected numbers from 0"),
    "a NaN": (changed(0, probs=[math.nan, 1.0]), ": step 20, id x2: probs [nan, 1]: expected numbers from 0 to 1"),
    "an infinite prob": (
        changed(0, probs=[math.inf, 0.0]),
        ": step 20, id x2: probs [inf, 0]: expected numbers from 0",
    ),
    "a missing prob": (changed(0, probs=[None, 1.0]), ": step 20, id x2: probs [nan, 1]: expected numbers from 0 to 1"),
    "an id that stands twice": (changed(0, step=10), ": step 10: id x2 stands there more than once"),
    "half a step": (changed(0, step=0.5), ": step 0.5 of id x2: expected a whole number from 0"),
    "a step below 0": (changed(0, step=-1), ": step -1 of id x2: expected a whole number from 0"),
    "no step": (changed(0, step=None), ": step None of id x2: expected a whole number from 0"),
    "no id": (changed(0, id=None), ": record 1: id None: expected a whole number or a text"),
    "an id that is half a number": (
        [{**row, "id": 0.5} for row in ROWS],
        ": record 1: id 0.5: expected a whole number or a text",
    ),
    "an id that is a list": (
        changed(0, id=[1]),
        ": 2 of 3 ids are not in every evaluation: id [1], id x2; id [1] is missing in step 10",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_is_wrong_is_said_with_evaluation_and_id(tmp_path: Path, case: str) -> None:
    rows, expected = REFUSED[case]
    assert refusal(write_lines(tmp_path, rows)).startswith(expected)


@pytest.mark.parametrize(
    "probs", [["0.5", "0.5"], [True, False], "0.5", [[0.5], [0.5]], {"a": 0.5}, [10**400, 0.5]], ids=str
)
def test_probs_that_are_no_numbers_are_refused(tmp_path: Path, probs: Any) -> None:
    expected = ": step 20, id x2: probs: expected a list of numbers"
    assert refusal(write_lines(tmp_path, [{**row, "probs": probs} for row in ROWS])).startswith(expected)
    assert refusal(write_csv(tmp_path, [{**row, "probs": json.dumps(probs)} for row in ROWS])).startswith(expected)


@pytest.mark.parametrize(
    ("logits", "accepted"),
    [
        ([-math.inf, 0.0], True),
        ([-1e308, 1e308], True),
        ([-math.inf, -math.inf], False),
        ([math.inf, 0.0], False),
        ([math.nan, 0.0], False),
    ],
    ids=str,
)
def test_a_logit_may_be_minus_infinity_beside_a_finite_one(tmp_path: Path, logits: list[float], accepted: bool) -> None:
    source = write_lines(tmp_path, [{"id": 4, "epoch": 3, "label": 1, "logits": logits}])
    if accepted:
        assert [[0.0, 1.0]] == dynamics.read(source).evaluations[0].probs.tolist()
    else:
        shown = ", ".join(f"{value:g}" for value in logits)
        assert f": epoch 3, id 4: logits [{shown}]: expected finite numbers" == refusal(source)


def test_probs_within_a_thousandth_of_1_are_taken_as_they_are(tmp_path: Path) -> None:
    for probs in ([0.3, 0.6995], [0.3, 0.7005]):
        read = dynamics.read(write_lines(tmp_path, [{"id": 4, "epoch": 3, "label": 1, "probs": probs}]))
        assert [probs] == read.evaluations[0].probs.tolist()
    rounded = dynamics.read(write_lines(tmp_path, [{"id": 4, "epoch": 3, "label": 1, "probs": [1.0000001, 0.0]}]))
    assert [[1.0, 0.0]] == rounded.evaluations[0].probs.tolist()


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": empty"),
        (" \n\r\n", ": empty"),
        ("a,b\n1,2\n", ": not recognized; looked for"),
        ("{}\n", ": not recognized; looked for"),
        ("[1, 2]\n", ": not recognized; looked for"),
        ("PAR1", ": not a Parquet file that can be read"),
        ("PK\x03\x04", ": not an .npz file that can be read: File is not a zip file"),
        ("id,step,label,probs_0,probs_1\n", ": no records"),
        ("id,step,label,probs_0\n1,0,0,1\n", ": no column probs or logits, nor one for each class (probs_0, probs_1, …)"),
        ("id,step,probs_0,probs_1\n1,0,0,1\n", ": no column label or gold; columns: id, step, probs_0, probs_1"),
        ("step,label,probs_0,probs_1\n0,0,0,1\n", ": no column id, guid, index, example_id; columns: step"),
        ("id,label,probs_0,probs_1\n1,0,0,1\n", ": no column step or epoch; columns: id, label, probs_0, probs_1"),
        ("id,step,id\n1,0,0\n", ": the header names a column twice: id, step, id"),
        ("id,step,label,probs_0,probs_1\n1,0,0,0\n", ", line 2: 4 fields, expected 5"),
        ("id,step,label,probs_0,probs_1\n1,0,0,0,1,\n", ", line 2: 6 fields, expected 5"),
        ("id,step,label,probs_0,probs_1\n1,0,0,0,1", ": the last line has no end: cut off?"),
        ('id,step,label,probs_0,probs_1\n"1,0,0,0,1\n', ", line 2: unexpected end of data"),
        ("id,step,label,probs_0,probs_1\n1,0,0,x,1\n", ": step 0, id 1: probs_0 x: expected a number"),
        ("id,step,label,probs_0,probs_1\n1,0,0,,1\n", ": step 0, id 1: probs_0 None: expected a number"),
        ("id,step,label,probs_0,probs_1\n1,0,0,nan,1\n", ": step 0, id 1: probs [nan, 1]: expected numbers from 0 to 1"),
        ('{"id": 1, "id": 2}\n', ", line 1: expected a JSON object or a Python dict, every field once"),
        ("{'id': 1, 'id': 2}\n", ", line 1: expected a JSON object or a Python dict, every field once"),
        ("{'id': 1, \"id\": 2}\n", ", line 1: expected a JSON object or a Python dict, every field once"),
        ("{'id': 1, 2: \"'\"}\n", ", line 1: expected a JSON object or a Python dict, every field once"),
        ("{'id': exit()}\n", ", line 1: expected a JSON object or a Python dict, every field once; found {'id': exit()}"),
        (TUTORIAL + "{'id': 0", ", line 5: expected a JSON object or a Python dict"),
        (TUTORIAL + "null\n", ", line 5: expected a JSON object or a Python dict"),
        ("{" * 100_000, ", line 1: expected a JSON object or a Python dict"),
        ('{"a":' * 100_000, ", line 1: expected a JSON object or a Python dict"),
        ("{'a': " + "-" * 100_000 + "1}", ", line 1: expected a JSON object or a Python dict"),
        (f"{{'id': 0x{'f' * 9000}, 'label': 0, 'probs': [0, 1]}}", ": id: a value that is no valid text or number"),
        ('{"id": "\\ud800", "label": 0, "probs": [0, 1]}', ": id: a value that is no valid text or number"),
        ('{"guid": 1, "logits_epoch_3": [1, 0], "gold": 0}\n', ": one epoch only (logits_epoch_3); give the folder"),
        ('{"guid": 1, "confidence": 0.5, "variability": 0}\n', ": a summary already (confidence, variability)"),
        ("id\tlabel\tavg_probs\tlabel_var\n0\t1\t0.5\t0\n", ": a summary already (avg_probs, label_var)"),
    ],
)  # fmt: skip
def test_content_that_is_no_dynamics_is_refused_with_a_line(tmp_path: Path, content: str, expected: str) -> None:
    assert refusal(write(tmp_path, content)).startswith(expected)


def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, TUTORIAL.encode() + "{'id': 'é'}\n".encode("latin-1"))
    assert ": not UTF-8 text; save the file as UTF-8" == refusal(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert ": no such file or folder" == refusal(tmp_path / "absent")


def test_a_format_that_is_forced_is_held_to(tmp_path: Path) -> None:
    table = write_lines(tmp_path, ROWS)
    assert [0, 1] == [evaluation.step for evaluation in dynamics.read(table, "tutorial").evaluations]
    assert ": not an .npz file" == refusal(table, "arrays")
    assert ": no folder of dynamics_epoch_N.jsonl" == refusal(table, "cartography")
    assert ": no column step or epoch; columns: id, label, pred_label" in refusal(write(tmp_path, TUTORIAL), "table")
    assert ": the tutorial's records are a file of" in refusal(write_csv(tmp_path, ROWS), "tutorial")
    assert "format csv: expected tutorial, cartography, table, arrays" == refusal(table, "csv")


@pytest.mark.parametrize(
    ("arrays", "expected"),
    [
        ({"probs": [[[0.5, 0.5]]]}, ": expected arrays probs or logits (T, N, C) and labels (N,); found: probs"),
        ({"labels": [0]}, ": expected arrays probs or logits (T, N, C) and labels (N,); found: labels"),
        ({"probs": [[0.5, 0.5]], "labels": [0]}, ": probs: expected an array of numbers (T, N, C)"),
        ({"probs": [[["0.5", "0.5"]]], "labels": [0]}, ": probs: expected an array of numbers (T, N, C)"),
        ({"probs": [[[0.5, 0.5]]], "labels": [0, 1]}, ": labels: expected an array (1,) of numbers or texts"),
        ({"probs": [[[0.5, 0.5]]], "labels": [[0]]}, ": labels: expected an array (1,) of numbers or texts"),
        ({"probs": [[[0.5, 0.5]]], "labels": [0], "steps": [1, 2]}, ": steps: expected an array (1,) of numbers"),
        ({"probs": [[[0.5, 0.5]]], "labels": [0], "classes": ["a", "a"]}, ": classes: expected 2 different names"),
        ({"probs": [[[1.0]]], "labels": [0]}, ": probs: 1 in the last axis; two classes or more are needed"),
        ({"probs": np.zeros((0, 1, 2)), "labels": [0]}, ": no records"),
        ({"probs": np.full((2, 1, 2), 0.5), "labels": [0], "steps": [1, 1]}, ": step 1: id 0 stands there more than"),
        ({"probs": np.full((1, 2, 2), 0.5), "labels": [0, 1], "ids": [1, 1]}, ": evaluation 0: id 1 stands there more"),
        ({"probs": [[[0.5, 0.5]]], "labels": ["x"], "classes": ["a", "b"]}, ": evaluation 0, id 0: label x: expected one"),
    ],
)  # fmt: skip
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, Any], expected: str) -> None:
    assert refusal(write_arrays(tmp_path, **arrays)).startswith(expected)


def test_pickled_arrays_are_never_loaded(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return (Path.touch, (tmp_path / "sprung",))  # type: ignore[return-value]

    np.savez(tmp_path / "source.npz", probs=np.array([Trap()], dtype=object), labels=np.array([0]))
    assert ": holds pickled objects, which are never loaded; save plain arrays" == refusal(tmp_path / "source.npz")
    assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    "shape", ["(10000000000000, 2, 2)", "(9" + "9" * 30 + ",)", "(-1, 2, 2)", "(True, 2, 2)", "[[["]
)
def test_arrays_with_an_impossible_shape_are_refused(tmp_path: Path, shape: str) -> None:
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}}}\n".encode()
    with zipfile.ZipFile(tmp_path / "source.npz", "w") as archive:
        for name in ("probs.npy", "labels.npy"):
            archive.writestr(name, b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    assert refusal(tmp_path / "source.npz").startswith(": not an .npz file that can be read: ")


def test_parquet_that_makes_polars_panic_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def panic(*_: object, **__: object) -> None:
        raise pl.exceptions.PanicException("index out of bounds")

    path = write_parquet(tmp_path, ROWS)
    monkeypatch.setattr(pl, "read_parquet", panic)
    assert ": not a Parquet file that can be read: index out of bounds" == refusal(path)


def test_folders_of_other_things_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    assert ": not recognized; looked for" in refusal(tmp_path / "empty")

    folder = write_lines(tmp_path, ROWS[:2], "mixed/a.jsonl").parent
    write_parquet(folder, ROWS[2:], "b.parquet")
    assert ": files of several kinds (JSON lines, Parquet); give a folder of one kind" == refusal(folder)

    folder = write_lines(tmp_path, ROWS[:2], "differing/a.jsonl").parent
    write_lines(folder, per_class(ROWS[2:]), "b.jsonl")
    assert "/b.jsonl: other columns than in a.jsonl: id, step, label, …" == refusal(folder)

    folder = write_epochs(tmp_path, {0: [(1, [0.0, 1.0], 0)]})
    write_lines(folder, [{"guid": 1, "logits_epoch_0": [0.0, 1.0], "gold": 0}], "dynamics_epoch_1.jsonl")
    assert "/dynamics_epoch_1.jsonl: no field logits_epoch_1; every record needs guid, logits_epoch_1, gold" == refusal(
        folder
    )


def test_a_cartography_file_that_is_cut_off_is_named(tmp_path: Path) -> None:
    folder = write_epochs(tmp_path, {t: [(1, [0.0, 1.0], 0)] for t in (0, 1)})
    write(folder, '{"guid": 1, "logi', "dynamics_epoch_1.jsonl")
    assert refusal(folder).startswith("/dynamics_epoch_1.jsonl, line 1: expected a JSON object or a Python dict")


# --------------------------------------------------------------------------------------- incomplete ids


def test_ids_missing_in_some_evaluations_are_an_error_or_left_out(tmp_path: Path) -> None:
    rows = [
        {"id": i, "epoch": t, "label": 0, "probs": [0.5, 0.5]}
        for t in range(3)
        for i in range(6)
        if not (t == 1 and i >= 2) and not (t == 0 and i == 5)
    ]
    source = write_lines(tmp_path, rows)
    what = "4 of 6 ids are not in every evaluation: id 2, id 3, id 4, …; id 2 is missing in epoch 1"
    assert f": {what}" == refusal(source)
    read = dynamics.read(source, incomplete="drop")
    assert [[0, 1], [0, 1], [0, 1]] == [ids(evaluation) for evaluation in read.evaluations]
    assert [f"left out: {what}"] == read.notes


def test_no_id_in_every_evaluation_leaves_nothing_even_when_dropping(tmp_path: Path) -> None:
    rows = [{"id": i, "epoch": t, "label": 0, "probs": [0.5, 0.5]} for t, i in [(0, 1), (1, 1), (1, 2), (2, 2), (2, 3)]]
    with pytest.raises(DatamapError, match="no id stands in every evaluation; 3 of 3 ids are not in every evaluation"):
        dynamics.read(write_lines(tmp_path, rows), incomplete="drop")


def test_the_real_cartography_files_share_no_id_and_are_refused_for_that() -> None:
    assert (
        ": no id stands in two evaluations (epoch 0, 1, 2, …), so nothing can be followed over the training; "
        "were different examples collected each time?"
    ) == refusal(shared("cartography"))


def test_the_real_coordinates_are_a_summary_and_say_what_draws_them() -> None:
    path = shared("cartography/winogrande_coordinates.jsonl")
    assert (
        f": a summary already (confidence, variability, correctness), no training dynamics; "
        f"`datamap plot --summary {path}` draws it"
    ) == refusal(path)


# ------------------------------------------------------------------------------------ damaged, at random


def assert_whole(read: dynamics.Dynamics) -> None:
    """What every result promises, however strange the source."""
    steps = [evaluation.step for evaluation in read.evaluations]
    assert steps == sorted(set(steps))
    assert steps
    for evaluation in read.evaluations:
        count = evaluation.examples.height
        assert ids(read.evaluations[0]) == ids(evaluation)
        assert labels(read.evaluations[0]) == labels(evaluation)
        assert count == len(set(ids(evaluation)))
        assert (count, len(read.classes)) == evaluation.probs.shape
        assert ((evaluation.probs >= 0) & (evaluation.probs <= 1)).all()
        assert (np.abs(evaluation.probs.sum(axis=1) - 1) < 1.001e-3).all()
        assert set(labels(evaluation)) <= set(range(len(read.classes)))


def read_or_line(source: Path, format: str | None = None) -> dynamics.Dynamics | None:
    try:
        read = dynamics.read(source, format)
    except DatamapError as error:
        assert "\n" not in str(error)
        return None
    assert_whole(read)
    return read


SUFFIXES = [".json", ".jsonl", ".csv", ".tsv", ".parquet", ".npz", "/dynamics_epoch_0.jsonl", "/part.csv"]
STARTS = [
    b"",
    b"{",
    b"PAR1",
    b"PK\x03\x04",
    b"id,step,label,probs_0,probs_1\n",
    b"{'id': 1, 'label': 0, 'probs': [",
    TUTORIAL.encode(),
]


@settings(max_examples=150, suppress_health_check=IN_TMP_PATH)
@given(
    st.binary(max_size=200),
    st.sampled_from(SUFFIXES),
    st.sampled_from(STARTS),
    st.sampled_from([None, *dynamics.FORMATS]),
)
def test_arbitrary_bytes_give_a_line_and_no_traceback(
    tmp_path: Path, content: bytes, suffix: str, start: bytes, format: str | None
) -> None:
    path = write(tmp_path, start + content, f"source{suffix}")
    read_or_line(path.parent if "/" in suffix else path, format)


values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3) | st.just(10**30)
cells = values | st.lists(st.floats(0, 1) | values, max_size=3) | st.just([0.5, 0.5]) | st.integers(0, 1)


@settings(max_examples=150, suppress_health_check=IN_TMP_PATH)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"id": cells, "step": cells, "label": cells, "probs": cells},
            optional={"s_label": cells, "own": cells, "label_probs": cells},
        ),
        min_size=1,
        max_size=4,
    )
)
def test_wrong_types_give_a_line_and_no_traceback(tmp_path: Path, records: list[dict[str, Any]]) -> None:
    read_or_line(write_lines(tmp_path, records))
    read_or_line(write(tmp_path, "".join(f"{record}\n" for record in records)))
    same = [dict.fromkeys({name for other in records for name in other}) | record for record in records]
    read_or_line(write_csv(tmp_path, same))


SOURCES: dict[str, Callable[[Path], Path]] = {
    "tutorial": lambda directory: write(directory, TUTORIAL),
    "jsonl": lambda directory: write_lines(directory, sorted(ROWS, key=lambda row: int(row["step"]))),
    "csv": lambda directory: write_csv(directory, sorted(per_class(ROWS), key=lambda row: int(row["step"]))),
    "parquet": lambda directory: write_parquet(directory, ROWS),
    "arrays": lambda directory: write_arrays(directory, probs=[[[0.25, 0.75]], [[0.5, 0.5]]], labels=[1]),
}


@pytest.mark.parametrize("kind", SOURCES)
def test_a_file_cut_off_at_any_byte_is_refused_or_has_its_first_records_right(tmp_path: Path, kind: str) -> None:
    path = SOURCES[kind](tmp_path)
    content = path.read_bytes()
    whole = dynamics.read(path)
    lengths = set()
    for end in range(0, len(content), 7 if kind == "parquet" else 1):
        read = read_or_line(write(tmp_path, content[:end], f"cut{path.suffix}"))
        if read is None:
            continue
        lengths.add(len(read.evaluations))
        for ours, theirs in zip(whole.evaluations, read.evaluations, strict=False):
            # of a single evaluation nothing tells how many examples there were
            count = theirs.examples.height
            assert count == 2 or len(read.evaluations) == 1
            assert (ours.step, ours.probs[:count].tolist()) == (theirs.step, theirs.probs.tolist())
            assert ours.examples.head(count).equals(theirs.examples)
    # lines leave whole evaluations, what has its table of contents at the end leaves nothing
    assert lengths <= ({1, 2} if kind in ("tutorial", "jsonl", "csv") else set())


@pytest.mark.parametrize("kind", ["tutorial", "jsonl", "csv", "arrays"])
def test_a_file_with_altered_bytes_gives_a_line_or_whole_dynamics(tmp_path: Path, kind: str) -> None:
    path = SOURCES[kind](tmp_path)
    content = path.read_bytes()
    rng = random.Random(0)
    for _ in range(150):
        altered = bytearray(content)
        for _ in range(rng.choice([1, 1, 2, 5])):
            altered[rng.randrange(len(altered))] = rng.choice([rng.randrange(256), *b"\"'{}[],:\n\\0 -e"])
        read_or_line(write(tmp_path, bytes(altered), f"altered{path.suffix}"))
