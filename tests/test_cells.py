"""Single cells of the user's own file: only what was decided differs, byte for byte, in every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.config import DataConfig
from datamap_cli.data.cells import Edit, write_edited
from datamap_cli.errors import DatamapError


def edited(name: str, content: bytes, edits: dict[int, Edit], **data: Any) -> tuple[bytes, dict[int, int | None]]:
    """What becomes of a file, and the lines of its edited rows."""
    with TemporaryDirectory() as directory:
        path, out = Path(directory, name), Path(directory, "out")
        path.write_bytes(content)
        lines = write_edited(DataConfig(train=path, **data), edits, out)
        return out.read_bytes(), lines


def refused(name: str, content: bytes, edits: dict[int, Edit], **data: Any) -> str:
    with pytest.raises(DatamapError) as error:
        edited(name, content, edits, **data)
    assert "\n" not in str(error.value)
    return str(error.value).partition(name)[2]


# ----------------------------------------------------------------------------- byte for byte, by a reference

END = st.sampled_from(["\n", "\r\n"])
BLANKS = st.lists(END, max_size=2).map("".join)
PADDING = st.sampled_from(["", " ", "\u3000"])
LABELS = st.sampled_from(["0", "1", "yes", "nö", "一"])
QUOTED_LABELS = LABELS | st.sampled_from(['a,"b"', "two\nlines", 'x"y', "a;b\tc"])
# what becomes of a row: as it is, dropped, or a new label
FATES = st.sampled_from([None, "drop"]) | st.tuples(st.just("relabel"), LABELS)
QUOTED_FATES = st.sampled_from([None, "drop"]) | st.tuples(st.just("relabel"), QUOTED_LABELS)


def composed(
    head: str, rows: list[tuple[str, str, str, str, Any, str]], cell: Any, end: str, mark: bool, last: bool
) -> tuple[bytes, bytes, dict[int, Edit], list[int]]:
    """The file, what it must become, the edits, and the lines of the edited rows: piece by piece.

    Of a row: blank lines before it, raw text before its label, the raw label, its value, its fate, raw text behind it.
    """
    before = after = ("\ufeff" if mark else "") + head
    edits, lines = {}, []
    for row, (blank, left, raw, value, fate, right) in enumerate(rows):
        stop = end if last or row < len(rows) - 1 else ""
        after += blank
        before += blank
        line = before.count("\n") + 1
        before += left + raw + right + stop
        if fate is None:
            after += left + raw + right + stop
        else:
            new = None if fate == "drop" else fate[1]
            edits[row] = Edit(value, new)
            lines.append(line)
            after += "" if new is None else left + cell(raw, value, new) + right + stop
    return before.encode(), after.encode(), edits, lines


@given(
    rows=st.lists(st.tuples(BLANKS, PADDING, LABELS, PADDING, FATES, st.sampled_from(['"', "it's", ' a "b" ', "中"])), max_size=6),
    end=END, mark=st.booleans(), last=st.booleans(),
)  # fmt: skip
def test_a_tsv_differs_in_its_decided_cells_alone(
    rows: list[tuple[Any, ...]], end: str, mark: bool, last: bool
) -> None:
    raw = [
        (blank, f"{text}\t", pad + label + tail, label, fate, f"\t{text}")
        for blank, pad, label, tail, fate, text in rows
    ]
    head = f"text_a\t label \tnote{end}"
    before, after, edits, lines = composed(head, raw, lambda cell, old, new: cell.replace(old, new), end, mark, last)
    assert (after, lines) == ((found := edited("t.tsv", before, edits))[0], list(found[1].values()))


@given(
    rows=st.lists(
        st.tuples(BLANKS, PADDING, QUOTED_LABELS, st.booleans(), QUOTED_FATES, st.sampled_from(['a"b', '"x, ""y"""', '"a\nb\r\n\r\nc"', '""'])),
        max_size=6,
    ),
    end=END, mark=st.booleans(), last=st.booleans(), place=st.integers(0, 2),
)  # fmt: skip
def test_a_csv_differs_in_its_decided_cells_alone(
    rows: list[tuple[Any, ...]], end: str, mark: bool, last: bool, place: int
) -> None:
    def needs(text: str) -> bool:
        return any(character in text for character in ",\r\n") or text.startswith('"')

    def cell(raw: str, old: str, new: str) -> str:
        quoted = raw.startswith('"')
        text = raw[1:-1].replace('""', '"') if quoted else raw
        text = text.replace(old, new)
        return '"' + text.replace('"', '""') + '"' if quoted or needs(text) else text

    raw = []
    for blank, pad, label, quote, fate, text in rows:
        value = pad + label
        field = '"' + value.replace('"', '""') + '"' if quote or needs(value) else value
        parts = [text, text]
        parts.insert(place, "")
        raw.append((blank, ",".join([*parts[:place], ""]), field, label, fate, ",".join(["", *parts[place + 1 :]])))
    names = ["text_a", '"a ""note"", b"']
    names.insert(place, '" label"')
    before, after, edits, lines = composed(",".join(names) + end, raw, cell, end, mark, last)
    assert (after, lines) == ((found := edited("t.csv", before, edits))[0], list(found[1].values()))


@given(
    rows=st.lists(
        st.tuples(BLANKS, st.sampled_from([" ", "", "\t"]), LABELS, st.sampled_from([True, False]), FATES,
                  st.sampled_from(['"x"', '{"label": "no", "b": [1, {"label": 2}]}', '"\\"label\\": 1"', '"\\u4e00"', "1e3", "null"])),
        max_size=6,
    ),
    end=END, mark=st.booleans(), last=st.booleans(),
)  # fmt: skip
def test_json_lines_differ_in_their_decided_values_alone(
    rows: list[tuple[Any, ...]], end: str, mark: bool, last: bool
) -> None:
    raw = []
    for blank, space, label, number, fate, other in rows:
        value = label if label.isdecimal() and number else json.dumps(label, ensure_ascii=False)
        twice = '"label": "not this one", ' if number else ""
        left = f'{space}{{{space}"text_a":{space}{other},{twice}"lab\\u0065l"{space}:{space}'
        raw.append((blank, left, value, label, fate, f'{space},"label2": {other}{space}}}{space}'))

    def cell(raw_value: str, old: str, new: str) -> str:
        number = not raw_value.startswith('"') and new.isdecimal()
        return new if number else f'"{new}"'

    before, after, edits, lines = composed("", raw, cell, end, mark, last)
    found, at = edited("t.jsonl", before, edits)
    assert lines == list(at.values())
    # what is not ASCII may be escaped in a line that was ASCII throughout
    assert after == found or [json.loads(x) for x in after.decode("utf-8-sig").split("\n") if x.strip()] == [
        json.loads(x) for x in found.decode("utf-8-sig").split("\n") if x.strip()
    ]
    if all(fate in (None, "drop") or fate[1].isascii() for *_, fate, _ in rows):
        assert after == found


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl", "a.parquet"])
def test_no_verdict_leaves_the_very_bytes(name: str) -> None:
    content = b"\xef\xbb\xbf\r\n\r\nwhatever, \"it' is\n\n"
    assert (content, {}) == edited(name, content, {})


# ------------------------------------------------------------------------------------------ by parsing


@given(
    rows=st.lists(st.tuples(st.text(st.characters(exclude_categories=["Cs", "Cc"])), st.sampled_from("abc"), st.text("x\"',\n\r\t ")), max_size=8),
    fates=st.lists(FATES, min_size=8, max_size=8),
)  # fmt: skip
def test_what_a_csv_writer_writes_reads_back_as_decided(rows: list[tuple[str, str, str]], fates: list[Any]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["text_a", "label", "note"])
    writer.writerows(rows)
    edits = {
        row: Edit(rows[row][1], None if fate == "drop" else fate[1])
        for row, fate in enumerate(fates[: len(rows)])
        if fate
    }
    expected = [
        [a, fate[1] if fate else label, note]
        for (a, label, note), fate in zip(rows, fates, strict=False)
        if fate != "drop"
    ]
    found, _ = edited("t.csv", text.getvalue().encode(), edits)
    assert expected == list(csv.reader(io.StringIO(found.decode(), newline="")))[1:]


# -------------------------------------------------------------------------------------------- details


@pytest.mark.parametrize(
    ("expected", "old", "new"),
    [
        ('"b"', '"a"', "b"), ("2", "1", "2"), ("2.0", "1.0", "2"), ("1.5", "1.0", "1.5"), ('"other"', "1", "other"),
        ('"2"', '"1"', "2"), ("false", "true", "false"), ('"01"', "1", "01"), ('"1e3"', "1", "1e3"), ('"NaN"', "1", "NaN"),
        ('"\\u4e00"', '"a"', "一"), ("-3", "1", "-3"),
    ],
)  # fmt: skip
def test_a_json_label_stays_a_number_where_the_new_one_is_one(expected: str, old: str, new: str) -> None:
    label = {"true": "true", "1.0": "1"}.get(old, old.strip('"'))
    found, _ = edited("t.jsonl", f'{{"text_a": "x", "label": {old}}}'.encode(), {0: Edit(label, new)})
    assert f'{{"text_a": "x", "label": {expected}}}' == found.decode()


def test_a_line_that_is_not_ascii_keeps_its_new_label_readable() -> None:
    found, _ = edited("t.jsonl", '{"t": "中", "label": "a"}'.encode(), {0: Edit("a", "一")})
    assert '{"t": "中", "label": "一"}' == found.decode()


@pytest.mark.parametrize(
    ("message", "name", "content", "edit"),
    [
        (", line 2: the label is 'b' here, not 'a': the verdict is of other labels", "t.tsv", "t\tlabel\nx\tb\n", Edit("a", "c")),
        (", line 2: the label is 'ab' here, not 'a'", "t.csv", "t,label\nx,ab\n", Edit("a", None)),
        (", line 1: the label is '2' here, not '1'", "t.jsonl", '{"label": 2}', Edit("1", "2")),
        (", line 1: no label here", "t.jsonl", '{"x": 2}', Edit("1", "2")),
        (", line 2: the label 'b\\tc' cannot stand in a file without quotes; see data.quoting", "t.tsv", "t\tlabel\nx\ta\n", Edit("a", "b\tc")),
        (": data.label: no column label; columns in the file: t, x", "t.tsv", "t\tx\nx\ta\n", Edit("a", "b")),
        (": no row 0; it has 0 rows", "t.tsv", "t\tlabel\n\n", Edit("a", "b")),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_told_with_its_line(message: str, name: str, content: str, edit: Edit) -> None:
    assert refused(name, content.encode(), {0: edit}).startswith(message)


def test_quotes_of_a_tsv_can_quote_and_those_of_a_csv_be_text() -> None:
    content = b'label\tt\r\n"a"\t"x\ty"\r\n'
    assert b'label\tt\r\n"b"\t"x\ty"\r\n' == edited("t.tsv", content, {0: Edit("a", "b")}, quoting="csv")[0]
    assert b'label,t\n"b",x\n' == edited("t.csv", b'label,t\n"a",x\n', {0: Edit('"a"', '"b"')}, quoting="none")[0]


# -------------------------------------------------------------------------------------------- Parquet


@pytest.mark.parametrize(
    ("expected", "values", "dtype", "label", "new"),
    [
        (["b", "b", "a"], ["a", "b", "a"], pl.String, "a", "b"),
        (["b", "b", "a"], ["a", "b", "a"], pl.Categorical, "a", "b"),
        (["b", "b", "a"], ["a", "b", "a"], pl.Enum(["a", "b"]), "a", "b"),
        ([2, 2, 1], [1, 2, 1], pl.Int8, "1", "2"),
        ([2.0, 2.0, 1.0], [1.0, 2.0, 1.0], pl.Float32, "1", "2"),
        ([False, False, True], [True, False, True], pl.Boolean, "true", "false"),
    ],
)  # fmt: skip
def test_parquet_keeps_types_columns_order_and_metadata(
    expected: list[Any], values: list[Any], dtype: Any, label: str, new: str
) -> None:
    frame = pl.DataFrame({"row": [1, 2, 3], "label": pl.Series(values, dtype=dtype), "z": [[1], [], None]})
    buffer = io.BytesIO()
    frame.write_parquet(buffer, metadata={"made by": "hand"})
    found, lines = edited("t.parquet", buffer.getvalue(), {0: Edit(label, new)})
    assert {0: None} == lines
    after = pl.read_parquet(io.BytesIO(found))
    assert (frame.schema, expected) == (after.schema, after["label"].to_list())
    assert frame.drop("label").equals(after.drop("label"))
    assert "hand" == pl.read_parquet_metadata(io.BytesIO(found))["made by"]
    dropped, _ = edited("t.parquet", buffer.getvalue(), {0: Edit(label, None), 2: Edit(label, None)})
    assert frame[[1]].equals(pl.read_parquet(io.BytesIO(dropped)))


@pytest.mark.parametrize(
    ("message", "edits"),
    [
        (", row 1: the label is '2' here, not '1': the verdict is of other labels", {1: Edit("1", "2")}),
        (": column label is Int64 and cannot hold every new label: other", {0: Edit("1", "other")}),
        (": no row 7; it has 2 rows", {7: Edit("1", "2")}),
    ],
)
def test_a_parquet_file_that_does_not_fit_is_told(message: str, edits: dict[int, Edit]) -> None:
    buffer = io.BytesIO()
    pl.DataFrame({"label": [1, 2]}).write_parquet(buffer)
    assert message == refused("t.parquet", buffer.getvalue(), edits)
