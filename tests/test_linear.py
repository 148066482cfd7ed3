"""The linear opinion finds planted errors, judges nobody by what it was trained on, and takes every shape of data."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.analysis import linear, ngrams
from tests.support import shared

Labels = npt.NDArray[np.int64]
WORDS = ["red apple", "blue river", "green field", "white snow", "black coal"]


def texts(label: Labels, seed: int = 0) -> pl.Series:
    """A text of its class's words among others' for each label."""
    rng = np.random.default_rng(seed)
    return pl.Series([f"{WORDS[k]} no {rng.integers(10**6)} {WORDS[k]}" for k in label])


def flipped(label: Labels, classes: int, count: int) -> tuple[Labels, npt.NDArray[np.intp]]:
    rng = np.random.default_rng(7)
    chosen = rng.choice(len(label), count, replace=False)
    given = label.copy()
    given[chosen] = (given[chosen] + 1) % classes
    return given, chosen


@pytest.mark.parametrize("classes", [2, 3, 5])
def test_flipped_labels_are_the_least_likely_and_the_suggestion_is_the_label_they_had(classes: int) -> None:
    label = np.arange(300) % classes
    given, chosen = flipped(label, classes, 30)
    found = linear.held_out(texts(label), None, given, classes, seed=1)
    assert sorted(chosen) == sorted(np.argsort(found.label_probs)[:30])
    assert label[chosen].tolist() == found.pred_label[chosen].tolist()
    assert found.probs is not None
    np.testing.assert_allclose(found.probs.sum(axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(found.probs[np.arange(300), given], found.label_probs, atol=1e-6)
    np.testing.assert_allclose(found.probs.max(axis=1), found.pred_probs, atol=1e-6)


def test_pairs_are_judged_by_what_their_texts_share() -> None:
    rng = np.random.default_rng(0)
    same = rng.integers(0, 2, 400)
    first = rng.integers(0, 5, 400)
    second = np.where(same == 1, first, (first + 1 + rng.integers(0, 4, 400)) % 5)
    given, chosen = flipped(same, 2, 20)
    a, b = pl.Series([WORDS[k] for k in first]), pl.Series([f"my {WORDS[k]} {n % 97}" for n, k in enumerate(second)])
    found = linear.held_out(a, b, given, 2, seed=1)
    assert len(set(chosen) & set(np.argsort(found.label_probs)[:20])) >= 18


def test_the_same_seed_gives_the_same_numbers() -> None:
    label = np.arange(100) % 3
    first, second = (linear.held_out(texts(label), None, label, 3, seed=5) for _ in range(2))
    assert first.label_probs.tobytes() == second.label_probs.tobytes()
    assert first.fold.tobytes() == second.fold.tobytes()


def test_a_label_is_judged_without_having_been_seen() -> None:
    """A text that nothing else resembles says nothing of its label: flipping it flips no opinion."""
    label = np.arange(100) % 2
    lone = texts(label).to_list()
    lone[0] = "ζξψ"
    opinions = []
    for own in (0, 1):
        given = label.copy()
        given[0] = own
        opinions.append(linear.held_out(pl.Series(lone), None, given, 2, seed=5).label_probs[0])
    assert max(opinions) < 0.75


def test_copies_of_a_text_do_not_vouch_for_each_other() -> None:
    label = np.arange(100) % 2
    copies = texts(label).to_list()
    copies[10], copies[20], copies[30] = copies[0], copies[0].upper(), f" {copies[0]} "
    found = linear.held_out(pl.Series(copies), None, label, 2, seed=0)
    assert 1 == len(set(found.fold[[0, 10, 20, 30]]))


def test_a_class_with_one_example_has_no_opinion_on_it() -> None:
    label = np.append(np.arange(40) % 2, 2)
    found = linear.held_out(texts(label), None, label, 3, seed=0)
    assert [40] == np.flatnonzero(np.isnan(found.label_probs)).tolist()
    assert found.pred_label[40] in (0, 1)


@pytest.mark.parametrize(
    "strange",
    [
        pl.Series(["", "", "", ""]),
        pl.Series(["a", "b", "c", "d"]),
        pl.Series([None, "x", "x", None], dtype=pl.String),
        pl.Series(["\0", "\0\0", "\U0010ffff" * 5, "ß" * 3000]),
    ],
)
def test_texts_that_say_nothing_are_no_error(strange: pl.Series) -> None:
    for second in (None, strange):
        found = linear.held_out(strange, second, np.array([0, 1, 0, 1]), 2, seed=0)
        assert ((np.isnan(found.label_probs)) | ((found.label_probs >= 0) & (found.label_probs <= 1))).all()


def test_thousands_of_classes_are_judged_by_class_means_and_without_a_square_of_probabilities(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(linear, "_MOST_UPDATES", 0)
    monkeypatch.setattr(linear, "_MOST_PROBS", 0)
    monkeypatch.setattr(linear, "_BLOCK", 7)
    label = np.arange(300) % 5
    given, chosen = flipped(label, 5, 20)
    found = linear.held_out(texts(label), None, given, 5, seed=1)
    assert found.probs is None
    assert "class means of character n-grams, 5 folds" == found.method
    assert sorted(chosen) == sorted(np.argsort(found.label_probs)[:20])
    spans, _ = found.speaking(0, texts(label)[0], None, 0, 1)
    assert any("re" in texts(label)[0][begin:end] or "apple" in texts(label)[0][begin:end] for begin, end in spans)


# ---------------------------------------------------------------------------------------------- evidence


def test_the_characters_that_speak_for_a_class_are_its_words() -> None:
    label = np.arange(200) % 2
    found = linear.held_out(texts(label), None, label, 2, seed=0)
    text = texts(label)[1]
    spans, none = found.speaking(1, text, None, towards=1, against=0)
    marked = "".join(text[begin:end] for begin, end in spans)
    assert [] == none
    assert set(marked) <= set("blue river ")
    assert len(marked) >= 4


def test_no_characters_speak_for_a_class_that_none_of_them_was_seen_with() -> None:
    label = np.arange(200) % 2
    found = linear.held_out(texts(label), None, label, 2, seed=0)
    assert ([], []) == found.speaking(0, "ζξψ", None, towards=1, against=0)
    assert ([], []) == found.speaking(0, "", None, towards=1, against=0)


def test_of_a_pair_both_texts_are_marked() -> None:
    label = np.arange(200) % 2
    found = linear.held_out(texts(label), texts(label, seed=1), label, 2, seed=0)
    first, second = found.speaking(1, texts(label)[1], texts(label, seed=1)[1], towards=1, against=0)
    assert first
    assert second


# ----------------------------------------------------------------------------------------------- n-grams


def reference(rows: list[str]) -> list[dict[str, float]]:
    """TF-IDF of each text by n-gram, the slow and obvious way."""
    folds = [
        "".join(" " if c.isspace() else c for c in (chr(ngrams._fold(ord(c))) for c in row[: ngrams.READ]))
        for row in rows
    ]
    counts = [
        {
            gram: sum(1 for i in range(len(text)) if text.startswith(gram, i))
            for n in (1, 2, 3)
            for gram in (text[i : i + n] for i in range(len(text) - n + 1))
        }
        for text in folds
    ]
    having = {gram: sum(gram in other for other in counts) for row in counts for gram in row}
    found = []
    for row in counts:
        values = {
            gram: (1 + np.log(times)) * (1 + np.log((1 + len(rows)) / (1 + having[gram])))
            for gram, times in row.items()
            if having[gram] >= 2
        }
        length = np.sqrt(sum(value**2 for value in values.values()))
        found.append({gram: value / length for gram, value in values.items()})
    return found


@given(st.lists(st.text(alphabet="abAＡ中 \n\0ﬀİ😀", max_size=12), min_size=1, max_size=8))
def test_tfidf_is_that_of_the_slow_way(rows: list[str]) -> None:
    matrix, vocabulary = ngrams.tfidf(pl.Series(rows, dtype=pl.String), 10**6)
    names = [gram_of(int(key)) for key in vocabulary.keys]
    dense = matrix.toarray()
    for row, expected in zip(dense, reference(rows), strict=True):
        found = {name: value for name, value in zip(names, row, strict=True) if value}
        assert expected == pytest.approx(found, rel=1e-5)


@given(st.lists(st.text(alphabet="abc中", min_size=1, max_size=12), min_size=2, max_size=6))
def test_n_grams_of_one_text_are_found_where_they_stand_with_the_values_of_the_matrix(rows: list[str]) -> None:
    matrix, vocabulary = ngrams.tfidf(pl.Series(rows), 10**6)
    places = ngrams.locate(rows[0], vocabulary)
    for begin, length, column in zip(places.begin, places.length, places.column, strict=True):
        assert gram_of(int(vocabulary.keys[column])) == rows[0][begin : begin + length]
    values = ngrams.values(np.arange(len(vocabulary.keys)), places.column, vocabulary)
    np.testing.assert_allclose(matrix.toarray()[0], values, rtol=1e-5, atol=1e-7)


def gram_of(key: int) -> str:
    return "".join(chr(code) for code in (key >> 21 * k & (1 << 21) - 1 for k in range(3)) if code)


def test_the_commonest_n_grams_are_kept_where_there_are_too_many() -> None:
    _, vocabulary = ngrams.tfidf(pl.Series(["ab", "ab", "cd", "cd", "ab"]), 3)
    assert ["a", "ab", "b"] == sorted(gram_of(int(key)) for key in vocabulary.keys)


def test_two_classes_of_real_questions_are_told_apart() -> None:
    frame = pl.read_csv(shared("banking77/train.tsv"), separator="\t", quote_char=None, infer_schema=False)
    frame = frame.filter(pl.col("label").is_in(["card_arrival", "exchange_rate"]))
    label = (frame["label"] == "exchange_rate").to_numpy().astype(np.int64)
    given, chosen = flipped(label, 2, 20)
    found = linear.held_out(frame["text_a"], None, given, 2, seed=0)
    assert len(set(chosen) & set(np.argsort(found.label_probs)[:20])) >= 19
