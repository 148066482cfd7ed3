"""Reading a user's file: every format gives the same examples, and what is wrong is said with its line."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from datamap_cli.config import DataConfig
from datamap_cli.data import dataset, tables
from datamap_cli.data.rows import locate, write_rows
from datamap_cli.errors import DatamapError
from tests.support import shared


def load(path: Path, **options: Any) -> dataset.Dataset:
    return dataset.load(DataConfig(train=path, **options))


def write(directory: Path, content: str | bytes, name: str = "train.tsv") -> Path:
    path = directory / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(DatamapError) as error:
        load(path, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


PAIRS = "text_a\ttext_b\tlabel\n怎么做饭\t如何做饭\t1\n天气好吗\t几点了\t0\n"


# ---------------------------------------------------------------------------------------------- formats


def test_every_format_gives_the_same_examples(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text_a": "怎么做饭？", "text_b": 'a "quoted" text', "label": "same", "s_label": 0, "key": "x1"},
        {"text_a": "😀 <script>", "text_b": "b, c", "label": "different", "s_label": 2, "key": "x2"},
        {"text_a": "third", "text_b": "d", "label": "same", "s_label": 1, "key": "x3"},
    ]
    names = list(rows[0])
    tsv = "\n".join(
        "\t".join(str(value) for value in row.values()) for row in [dict(zip(names, names, strict=True)), *rows]
    )
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, names)
    writer.writeheader()
    writer.writerows(rows)
    pl.DataFrame(rows).write_parquet(tmp_path / "train.parquet")
    paths = [
        write(tmp_path, tsv),
        write(tmp_path, tsv.replace("\n", "\r\n"), "windows.tsv"),
        write(tmp_path, b"\xef\xbb\xbf" + tsv.encode(), "with_byte_order_mark.tsv"),
        write(tmp_path, buffer.getvalue(), "train.csv"),
        write(tmp_path, "".join(json.dumps(row) + "\n" for row in rows), "train.jsonl"),
        tmp_path / "train.parquet",
    ]
    expected = {
        "id": ["x1", "x2", "x3"],
        "text_a": ["怎么做饭？", "😀 <script>", "third"],
        "text_b": ['a "quoted" text', "b, c", "d"],
        "label": [1, 0, 1],
        "s_label": [0, 2, 1],
    }
    for path in paths:
        data = load(path, id="key")
        assert expected == data.examples.to_dict(as_series=False), path
        assert ["different", "same"] == data.classes


def test_csv_keeps_separators_and_line_breaks_inside_quotes(tmp_path: Path) -> None:
    path = write(tmp_path, 'text_a,text_b,label\n"a, ""b""\nc\td",e,1\nf,g,0\n', "train.csv")
    assert ['a, "b"\nc\td', "f"] == load(path).examples["text_a"].to_list()


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\r"), min_size=1).filter(lambda text: text.strip()),
        min_size=2,
        max_size=5,
    )
)
def test_any_text_survives_csv_and_jsonl(tmp_path: Path, texts: list[str]) -> None:
    rows = [{"text_a": text, "label": i % 2} for i, text in enumerate(texts)]
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, ["text_a", "label"])
    writer.writeheader()
    writer.writerows(rows)
    for name, content in (
        ("train.csv", buffer.getvalue()),
        ("train.jsonl", "".join(json.dumps(row) + "\n" for row in rows)),
    ):
        assert texts == load(write(tmp_path, content, name)).examples["text_a"].to_list()


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200), st.sampled_from([".tsv", ".csv", ".jsonl", ".parquet"]), st.booleans())
def test_arbitrary_bytes_give_a_line_and_no_traceback(
    tmp_path: Path, content: bytes, suffix: str, header: bool
) -> None:
    start = b"text_a,label\n" if suffix == ".csv" else b"text_a\tlabel\n"
    path = write(tmp_path, (start if header else b"") + content, f"train{suffix}")
    try:
        data = load(path)
    except DatamapError as error:
        assert "\n" not in str(error)
    else:
        assert data.examples.height >= 2
        assert data.examples["text_a"].null_count() == 0


# ------------------------------------------------------------------------------------ labels, ids, pairs


@pytest.mark.parametrize(
    ("labels", "classes", "indices"),
    [
        (["0", "1", "1"], ["0", "1"], [0, 1, 1]),
        (["10", "9", "-1"], ["-1", "9", "10"], [2, 1, 0]),
        (["是", "否", "是"], ["否", "是"], [1, 0, 1]),
        (["1", "b", "1"], ["1", "b"], [0, 1, 0]),
        ([" yes", "yes ", "no"], ["no", "yes"], [1, 1, 0]),
    ],
)
def test_labels_are_integers_or_names(
    tmp_path: Path, labels: list[str], classes: list[str], indices: list[int]
) -> None:
    path = write(tmp_path, "text_a\tlabel\n" + "".join(f"t{i}\t{label}\n" for i, label in enumerate(labels)))
    data = load(path)
    assert (classes, indices) == (data.classes, data.examples["label"].to_list())


def test_ids_are_the_rows_unless_a_column_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\tlabel\tkey\na\t0\t70\nb\t1\t7\n")
    assert [0, 1] == load(path).examples["id"].to_list()
    assert [70, 7] == load(path, id="key").examples["id"].to_list()


def test_ids_with_leading_zeros_are_text(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\tlabel\tkey\na\t0\t007\nb\t1\t7\n")
    assert ["007", "7"] == load(path, id="key").examples["id"].to_list()


@pytest.mark.parametrize("content", ["text_a\tlabel\na\t0\nb\t1\n", "text_a\ttext_b\tlabel\na\t\t0\nb\t \t1\n"])
def test_an_absent_or_empty_second_column_makes_single_texts(tmp_path: Path, content: str) -> None:
    assert [None, None] == load(write(tmp_path, content)).examples["text_b"].to_list()


def test_an_absent_second_column_is_told(tmp_path: Path) -> None:
    assert ["no column text_b: single texts"] == load(write(tmp_path, "text_a\tlabel\na\t0\nb\t1\n")).notes


def test_the_tutorials_noisy_label_is_read_as_s_label(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\tlabel\tnoisy_label\na\t0\t2\nb\t1\t\n")
    assert [2, 0] == load(path).examples["s_label"].to_list()


def test_integers_that_pandas_made_floats_are_integers(tmp_path: Path) -> None:
    pl.DataFrame({"text_a": ["a", "b"], "label": [1.0, 0.0]}).write_parquet(tmp_path / "t.parquet")
    assert ["0", "1"] == load(tmp_path / "t.parquet").classes


# --------------------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "train.tsv: empty"),
        ("\n\n", "train.tsv: empty"),
        ("\ufeff\n", "data.text_a: no column text_a"),
        ("text_a\ttext_b\tlabel\n", "no examples below the header"),
        ("text\ttext_b\tLabel\nx\ty\t0\n", "data.text_a: no column text_a; data.label: no column label; columns in the file: text, text_b, Label"),
        (PAIRS + "x\ty\nz\n", "2 bad rows: line 4: 2 fields, expected 3; line 5: 1 field, expected 3; `data.on_bad_rows: skip`"),
        (PAIRS + "x\ty\t0\t1\n", "1 bad row: line 4: 4 fields, expected 3"),
        (PAIRS.encode() + b"\xff\xfe\t\t0\n", "train.tsv, line 4: not UTF-8"),
        (PAIRS + " \tb\t0\n", "1 bad row: line 4: empty text_a (id 2)"),
        (PAIRS + "a\t\t0\n", "1 bad row: line 4: empty text_b (id 2)"),
        (PAIRS + "a\tb\t \n", "1 bad row: line 4: empty label (id 2)"),
        ("text_a\tlabel\na\t1\nb\t1\n", "every label is '1'; two classes or more are needed"),
        ("text_a\tlabel\ts_label\na\t1\t5\nb\t0\t0\n", "line 2: s_label: expected 0, 1 or 2 (id 0)"),
        ("text_a\tlabel\tlabel\na\t1\t1\nb\t0\t0\n", "the header names column label 2 times"),
        (PAIRS + "x\n" * 5, "5 bad rows: line 4: 1 field, expected 3; line 5: 1 field, expected 3; line 6: 1 field, expected 3; …"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_with_where_and_what(tmp_path: Path, content: str | bytes, message: str) -> None:
    assert message in refusal(write(tmp_path, content))


def test_a_missing_file_and_an_unknown_format(tmp_path: Path) -> None:
    assert "no such file" in refusal(tmp_path / "nowhere.tsv")
    assert "expected a file ending in .tsv, .txt, .csv, .jsonl, .parquet" in refusal(write(tmp_path, "x", "data.xlsx"))
    (tmp_path / "folder.tsv").mkdir()
    assert "cannot be read: Is a directory" in refusal(tmp_path / "folder.tsv")


def test_doubled_ids_are_named(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\tlabel\tkey\na\t0\tp\nb\t1\tp\nc\t1\tq\n")
    assert "1 id more than once: p" in refusal(path, id="key")
    assert "data.id: no column nokey" in refusal(path, id="nokey")


def test_an_open_quote_names_its_line(tmp_path: Path) -> None:
    path = write(tmp_path, 'text_a,label\na,0\n"b,1\nc,0\n', "train.csv")
    assert "train.csv, line 3: unexpected end of data; where quotes are part of the text" in refusal(path)
    assert ["a", '"b', "c"] == load(path, quoting="none").examples["text_a"].to_list()


def test_bad_json_names_its_line(tmp_path: Path) -> None:
    lines = [
        '{"text_a": "a", "label": 0}',
        '{"text_a": "b", "label"',
        "[1]",
        '{"text_a": ["b"], "label": 1}',
        '{"text_a": "b"}',
    ]
    message = refusal(write(tmp_path, "\n".join(lines), "train.jsonl"))
    assert "4 bad rows: line 2: not valid JSON; line 3: not a JSON object; line 4: a list where a text" in message


def test_a_table_with_another_ending_is_no_parquet(tmp_path: Path) -> None:
    assert "not a Parquet file that can be read" in refusal(write(tmp_path, PAIRS, "train.parquet"))


def test_skipping_bad_rows_never_shifts_ids(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\ttext_b\tlabel\na\tb\t0\nshort\nc\td\t1\ne\t\t1\nf\tg\t0\n")
    data = load(path, on_bad_rows="skip")
    assert [0, 2, 4] == data.examples["id"].to_list()
    assert ["a", "c", "f"] == data.examples["text_a"].to_list()
    assert ["left out 2 bad rows: line 3: 1 field, expected 3; line 5: empty text_b (id 3)"] == data.notes


def test_a_very_long_text_is_read_whole(tmp_path: Path) -> None:
    for name in ("train.tsv", "train.csv", "train.jsonl"):
        text = "长" * 200_000
        rows = [f"{text}\t0" if name.endswith("tsv") else f"{text},0", "b\t1" if name.endswith("tsv") else "b,1"]
        content = "\n".join(["text_a\tlabel" if name.endswith("tsv") else "text_a,label", *rows])
        if name.endswith("jsonl"):
            content = json.dumps({"text_a": text, "label": 0}) + '\n{"text_a": "b", "label": 1}\n'
        assert [200_000, 1] == load(write(tmp_path, content, name)).examples["text_a"].str.len_chars().to_list()


# -------------------------------------------------------------------------------------------- real data


def test_the_tutorials_sample() -> None:
    data = load(shared("lcqmc_sample/sample_100.tsv"), s_label="type")
    assert (100, ["0", "1"]) == (data.examples.height, data.classes)
    assert 64 == data.examples["label"].sum()
    assert [0] * 100 == data.examples["s_label"].to_list()


def test_named_classes_and_single_texts() -> None:
    data = load(shared("banking77/train.tsv"))
    assert (10003, 77) == (data.examples.height, len(data.classes))
    assert 10003 == data.examples["text_b"].null_count()


# ------------------------------------------------------------------------------------- the file's own rows


def written_rows(path: Path, rows: list[int], **settings: Any) -> bytes:
    destination = path.with_name(f"written{path.suffix}")
    count, _ = write_rows(DataConfig(train=path, **settings), pl.Series(rows, dtype=pl.Int64), destination)
    assert count <= len(rows)
    return destination.read_bytes()


@pytest.mark.parametrize(
    ("expected", "name", "content"),
    [
        (b"text_a\tlabel\r\nb\t1\r\nc\t0", "t.tsv", b"text_a\tlabel\r\na\t0\r\n\r\nb\t1\r\n\n\nc\t0"),
        (b"\xef\xbb\xbfh\n\t\nc", "t.txt", b"\xef\xbb\xbfh\na\n\t\nc"),
        (
            b'\xef\xbb\xbfh,i\n"b\r\n\n""x",1\r\n"",\n',
            "t.csv",
            b'\xef\xbb\xbf\n\rh,i\na,0\n\n"b\r\n\n""x",1\r\n\r\n"",\n',
        ),
        (b'{"a": "\xe2\x80\xa8"}\r\n [1]', "t.jsonl", b'\n{"x": 1}\n \t\n{"a": "\xe2\x80\xa8"}\r\n\xe3\x80\x80\n [1]'),
    ],
)
def test_rows_keep_their_bytes(tmp_path: Path, expected: bytes, name: str, content: bytes) -> None:
    assert expected == written_rows(write(tmp_path, content, name), [2, 1])


def test_rows_that_the_file_has_not_are_counted(tmp_path: Path) -> None:
    path = write(tmp_path, PAIRS)
    counted = write_rows(DataConfig(train=path), pl.Series([1, 7, None]), tmp_path / "out.tsv")
    assert (1, 2) == counted


def test_rows_of_parquet_keep_columns_types_and_metadata(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {"text_a": ["a", "b", None], "row": [[1], [], None], "row_0": [1, 2, 3], "label": ["x", "y", "x"]},
        schema_overrides={"row_0": pl.UInt8, "label": pl.Categorical},
    )
    path = tmp_path / "t.parquet"
    frame.write_parquet(path, metadata={"pandas": '{"columns": []}'})
    counted = write_rows(DataConfig(train=path), pl.Series([2, 0, 9]), tmp_path / "out.parquet")
    written = pl.read_parquet(tmp_path / "out.parquet")
    assert (2, 3) == counted
    assert frame.schema == written.schema
    assert frame.filter([True, False, True]).to_dict(as_series=False) == written.to_dict(as_series=False)
    assert '{"columns": []}' == pl.read_parquet_metadata(tmp_path / "out.parquet")["pandas"]


NASTY = st.lists(
    st.sampled_from(['"', ",", "\t", "\n", "\r", "\r\n", "a", "b,1", "\tc", " ", "　", "长", "{", '{"text_a":1,"label":2}', "\x1c", "\x0b", "\u2028", "\x85"]),
    max_size=30,
).map("".join)  # fmt: skip


@settings(max_examples=400, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    body=NASTY,
    name=st.sampled_from(["t.tsv", "t.csv", "t.jsonl"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
    quoting=st.sampled_from(["auto", "csv"]),
)
def test_a_row_of_the_file_is_what_load_takes_for_one(
    tmp_path: Path, body: str, name: str, mark: bytes, quoting: str
) -> None:
    """Row by row: what is written of a file is read again as the one row it was, with its fields and its faults."""
    head = {"t.tsv": "text_a\tlabel\n", "t.csv": "text_a,label\r\n", "t.jsonl": ""}[name]
    path = write(tmp_path, mark + (head + body).encode(), name)
    settings = DataConfig(train=path, quoting="csv" if quoting == "csv" else "auto")

    def read(file: Path) -> tuple[list[list[str | None]], list[tuple[int, str]]]:
        table = tables.read(file, file.read_bytes(), settings)
        rows = table.rows.to_list()
        fields: list[list[str | None]] = [[] for _ in range(max([-1, *rows, *(row for row, *_ in table.faults)]) + 1)]
        for i, row in enumerate(rows):
            fields[row] = [table.columns[column][i] for column in ("text_a", "label") if column in table.columns]
        return fields, [(row, what) for row, _, what in sorted(table.faults)]

    try:
        fields, faults = read(path)
    except DatamapError:
        return
    destination = tmp_path / f"out{path.suffix}"
    for row, values in enumerate(fields):
        counted = write_rows(settings, pl.Series([row]), destination)
        assert (1, len(fields)) == counted
        if name == "t.jsonl" and faults:
            continue  # which columns there are depends on the other rows
        assert ([values], [(0, what) for at, what in faults if at == row]) == read(destination)
    assert (0, len(fields)) == write_rows(settings, pl.Series([len(fields)]), destination)


def test_ids_are_located_by_their_column_or_are_the_rows(tmp_path: Path) -> None:
    path = write(tmp_path, "text_a\tlabel\tkey\na\t0\t70\n\nshort\nb\t\t7\n")
    settings = DataConfig(train=path, on_bad_rows="skip")
    assert [1, 0, 9] == locate(settings, pl.Series([1, 0, 9])).to_list()
    keyed = settings.model_copy(update={"id": "key"})
    assert [2, None, 0] == locate(keyed, pl.Series([7, 1, 70])).to_list()
    assert [2, None] == locate(keyed, pl.Series(["7", "07"])).to_list()
    with pytest.raises(DatamapError, match=r"the ids are texts such as 'x'; name their column: --set data\.id=COLUMN"):
        locate(settings, pl.Series(["x"]))
