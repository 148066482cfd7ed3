"""The bundled question pairs: the generator's promises, and no giveaway but those of real question pairs."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest

from datamap_cli import examples
from datamap_cli.examples.generate import (
    DIRTY,
    HARD,
    PLAIN,
    PREFIXES,
    SUFFIXES,
    TOPICS,
    Pair,
    pairs,
    tsv,
)

FILE = Path(examples.__file__).with_name("question_pairs.tsv")
PAIRS = pairs()
PLAIN_PAIRS = [pair for pair in PAIRS if pair.s_label == PLAIN]


def accuracy(rule: Callable[[Pair], bool]) -> float:
    """Share of the plain pairs that a yes-or-no rule gets right, whichever way it is read."""
    hits = sum(rule(pair) == bool(pair.label) for pair in PLAIN_PAIRS) / len(PLAIN_PAIRS)
    return max(hits, 1 - hits)


def best_threshold(measure: Callable[[Pair], float]) -> float:
    """Accuracy of the best rule `measure <= threshold` on the plain pairs."""

    def rule(threshold: float) -> Callable[[Pair], bool]:
        return lambda pair: measure(pair) <= threshold

    return max(accuracy(rule(threshold)) for threshold in sorted({measure(pair) for pair in PLAIN_PAIRS}))


def test_the_committed_file_is_what_the_generator_writes() -> None:
    assert FILE.read_bytes() == tsv(PAIRS).encode()


def test_another_seed_makes_another_file() -> None:
    assert tsv(pairs(seed=1)) != tsv(PAIRS)


def test_rows_counts_and_shares() -> None:
    assert {PLAIN: 1680, HARD: 160, DIRTY: 160} == Counter(pair.s_label for pair in PAIRS)
    assert {0: 1000, 1: 1000} == Counter(pair.label for pair in PAIRS)
    assert {(DIRTY, 0): 80, (DIRTY, 1): 80, (HARD, 0): 80, (HARD, 1): 80} == Counter(
        (pair.s_label, pair.label) for pair in PAIRS if pair.s_label != PLAIN
    )


def test_the_file_has_four_columns_and_needs_no_quotes() -> None:
    text = FILE.read_text(encoding="utf-8")
    header, *lines = text.removesuffix("\n").split("\n")
    assert "text_a\ttext_b\tlabel\ts_label" == header
    assert {4} == {len(line.split("\t")) for line in lines}
    assert not set("\"'\r\ufeff*/|") & set(text)


def test_texts_are_neither_empty_nor_padded_nor_long() -> None:
    texts = [text for pair in PAIRS for text in (pair.text_a, pair.text_b)]
    assert all(text and text == "".join(text.split()) for text in texts)
    assert 4 <= min(map(len, texts))
    assert max(map(len, texts)) <= 20


def test_no_two_rows_hold_the_same_pair_in_either_order() -> None:
    assert 2000 == len({frozenset((pair.text_a, pair.text_b)) for pair in PAIRS})
    assert all(pair.text_a != pair.text_b for pair in PAIRS)


def test_only_planted_dirty_labels_are_flipped() -> None:
    assert {True} == {pair.label != pair.true_label for pair in PAIRS if pair.s_label == DIRTY}
    assert {True} == {pair.label == pair.true_label for pair in PAIRS if pair.s_label != DIRTY}


def meanings() -> dict[str, set[tuple[str, str]]]:
    """Name and intent of every wording in the table, * replaced."""
    found: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for block in TOPICS.strip().split("\n\n"):
        names, *intents = block.splitlines()
        for name, intent in product(names.split(), intents):
            for wording in intent.removeprefix("+ ").split():
                found[wording.replace("*", name)].add((name, intent))
    return found


def bare(text: str) -> str:
    """The text without polite opening, particle and mark."""
    text = text.rstrip("".join(SUFFIXES))
    return next((text.removeprefix(prefix) for prefix in PREFIXES if text.startswith(prefix)), text)


def test_every_wording_in_the_table_has_one_meaning() -> None:
    assert {1} == {len(found) for found in meanings().values()}


def test_labels_agree_with_the_table_of_intents_and_dirty_ones_contradict_it() -> None:
    table = meanings()
    agreement = Counter(
        (pair.s_label, pair.label == (table[bare(pair.text_a)] == table[bare(pair.text_b)]))
        for pair in PAIRS
        if pair.s_label != HARD
    )
    assert {(PLAIN, True): 1680, (DIRTY, False): 160} == agreement


def test_no_intent_is_asked_in_one_class_only() -> None:
    table = meanings()
    classes = defaultdict(set)
    for pair in PAIRS:
        for _, intent in table[bare(pair.text_a)] | table[bare(pair.text_b)]:
            classes[intent].add(pair.true_label)
    assert 50 == len(classes)
    assert {frozenset({0, 1})} == {frozenset(labels) for labels in classes.values()}


@pytest.mark.parametrize(
    "measure",
    [
        lambda pair: len(pair.text_a) + len(pair.text_b),
        lambda pair: abs(len(pair.text_a) - len(pair.text_b)),
        lambda pair: len(pair.text_a),
        lambda pair: len(pair.text_b),
        lambda pair: (pair.text_a + pair.text_b).count("？"),
    ],
    ids=["length", "difference in length", "length of a", "length of b", "question marks"],
)
def test_length_and_punctuation_do_not_give_the_label_away(measure: Callable[[Pair], float]) -> None:
    assert best_threshold(measure) < 0.6


def test_no_single_character_gives_the_label_away() -> None:
    characters = {character for pair in PLAIN_PAIRS for character in pair.text_a + pair.text_b}
    scores = {c: accuracy(lambda pair, c=c: c in pair.text_a + pair.text_b) for c in characters}  # type: ignore[misc]
    assert max(scores.values()) < 0.65
