"""Loss, accuracy and F1 against a slow reference."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.signals import quality


def logits(predicted: list[int], classes: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return np.eye(classes, dtype=np.float32)[predicted]


def test_a_class_without_examples_has_no_f1_and_is_left_out_of_the_mean() -> None:
    found = quality(logits([0, 0, 2, 1], 3), np.array([0, 0, 0, 1]))
    assert [0.8, 1.0, None] == pytest.approx(found.f1)
    assert [0.75, 0.9] == pytest.approx([found.accuracy, found.macro_f1])


def test_the_loss_is_the_mean_of_the_labels_and_finite_where_a_probability_underflows() -> None:
    sure = np.array([[0, 1000], [0, 0]], np.float32)
    assert (1000 + math.log(2)) / 2 == pytest.approx(quality(sure, np.array([0, 1])).loss)


pairs = st.integers(2, 5).flatmap(
    lambda classes: st.tuples(
        st.just(classes),
        st.lists(st.tuples(st.integers(0, classes - 1), st.integers(0, classes - 1)), min_size=1, max_size=40),
    )
)


@given(pairs)
def test_f1_is_that_of_counting(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    classes, examples = drawn
    expected: list[float | None] = []
    for k in range(classes):
        right = sum(label == said == k for label, said in examples)
        wrong = sum((label == k) != (said == k) for label, said in examples)
        expected.append(2 * right / (2 * right + wrong) if any(label == k for label, _ in examples) else None)
    found = quality(logits([said for _, said in examples], classes), np.array([label for label, _ in examples]))
    assert expected == pytest.approx(found.f1)
    measured = [value for value in expected if value is not None]
    assert sum(measured) / len(measured) == pytest.approx(found.macro_f1)


@given(pairs)
def test_f1_is_scikit_learns_over_the_classes_that_are_there(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    label, said = (list(column) for column in zip(*drawn[1], strict=True))
    expected = metrics.f1_score(label, said, labels=sorted(set(label)), average="macro", zero_division=0)
    assert expected == pytest.approx(quality(logits(said, drawn[0]), np.array(label)).macro_f1)
