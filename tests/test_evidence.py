"""The evidence beside a suspect: which opinions speak against its label, what lies near it, what words say."""

from __future__ import annotations

import polars as pl

from datamap_cli.analysis import evidence

OPINIONS = pl.DataFrame(
    {
        "id": [7, 8],
        "part_dynamics": [0.5, None],
        "part_linear": [2.14, -1.0],
        "part_embedding": [None, None],
        "part_neighbours": [-0.3, -0.1],
        "part_prior": [-0.2, 0.0],
        "nearest": [[1, 2, 3], [2]],
        "similarity": [[0.9, 0.8, 0.7], [0.25]],
        "contradiction": [3, None],
    },
    schema_overrides={"part_embedding": pl.Float64, "similarity": pl.List(pl.Float32)},
)
OTHERS = pl.DataFrame(
    {"id": [3, 2, 1], "text_a": ["c", "b", "a"], "text_b": ["z", "y", None], "label": [1, 0, 1]},
)


def found() -> pl.DataFrame:
    return evidence.table(OPINIONS, OTHERS, lambda label: pl.Series(["no", "yes"]).gather(label))


def test_the_opinions_against_a_label_stand_with_their_part_the_strongest_first() -> None:
    assert ["linear +2.1, dynamics +0.5", ""] == found()["against"].to_list()


def test_the_nearest_examples_stand_with_texts_labels_and_likeness() -> None:
    table = found()
    assert ["a", "b | y"] == table["nearest_1_text"].to_list()
    assert ["yes", "no"] == table["nearest_1_label"].to_list()
    assert [0.9, 0.25] == table["nearest_1_similarity"].round(3).to_list()
    assert ["c | z", None] == table["nearest_3_text"].to_list()


def test_the_same_text_under_another_label_is_named_by_id() -> None:
    assert ["3", None] == found()["same_text_other_label"].to_list()


def test_every_example_the_evidence_names_is_asked_for_once() -> None:
    assert [1, 2, 3] == sorted(evidence.referenced(OPINIONS).to_list())


def test_marks_are_parts_of_the_text() -> None:
    assert "ab … d" == evidence.speaking("abcd", [[0, 2], [3, 4]])
    assert "" == evidence.speaking("abcd", None)
