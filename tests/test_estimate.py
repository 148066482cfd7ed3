"""How many labels are wrong."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli.analysis import estimate, opinions


def test_an_example_counts_as_of_the_class_it_reaches_the_average_of() -> None:
    label = np.array([0, 0, 0, 1, 1, 1])
    probs = np.array([[0.9, 0.1], [0.8, 0.2], [0.1, 0.9], [0.2, 0.8], [0.1, 0.9], [0.4, 0.6]])
    # averages: 0.6 and 0.767; the last example reaches neither
    assert [1.0, 0.0] == estimate.confident_joint_errors(label, probs).tolist()


def slow_confident_joint_errors(label: Any, probs: Any) -> list[float]:
    """By the definition, an example at a time."""
    n, c = probs.shape
    average = [np.mean([probs[i][k] for i in range(n) if label[i] == k] or [np.inf]) for k in range(c)]
    sure, wrong = [0] * c, [0] * c
    for i in range(n):
        reached = [k for k in range(c) if probs[i][k] >= average[k] - 1e-9]
        if reached:
            sure[label[i]] += 1
            wrong[label[i]] += max((probs[i][k], k) for k in reached)[1] != label[i]
    return [wrong[k] / max(sure[k], 1) * sum(label == k) for k in range(c)]


@given(st.integers(1, 60), st.integers(1, 4), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_the_confident_joint_is_that_of_its_definition(n: int, c: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label, probs = rng.integers(0, c, n), rng.dirichlet(np.ones(c), size=n)
    assert slow_confident_joint_errors(label, probs) == pytest.approx(
        estimate.confident_joint_errors(label, probs).tolist()
    )


def mistaken(seed: int, wrong: int, n: int = 600) -> tuple[Any, Any]:
    """Labels of three classes, and the probabilities of somebody who knows better than those `wrong` of them."""
    rng = np.random.default_rng(seed)
    true = rng.integers(0, 3, n)
    label = true.copy()
    label[:wrong] = (true[:wrong] + rng.integers(1, 3, wrong)) % 3
    # unsure of a third
    sure = np.where(rng.random(n) < 0.67, 0.9, 0.45)[:, None]
    return label, np.where(np.eye(3)[true] == 1, sure, (1 - sure) / 2)


@pytest.mark.parametrize("wrong", [30, 60, 180])
def test_the_estimate_is_near_the_number_of_wrong_labels(wrong: int) -> None:
    label, probs = mistaken(0, wrong)
    found = estimate.estimate(label, opinions.joined(label, 3, linear=probs, mean_probs=probs))
    assert wrong / 1.35 <= found.total <= wrong * 1.35
    assert found.low <= found.total <= found.high
    alone = estimate.estimate(label, opinions.joined(label, 3, linear=probs))
    assert alone.low <= wrong <= alone.high


def test_the_classes_add_up_to_the_total() -> None:
    label, probs = mistaken(1, 50)
    found = estimate.estimate(label, opinions.joined(label, 3, linear=probs, mean_probs=probs))
    assert found.total == sum(found.by_class)


def test_where_a_model_memorized_the_labels_the_interval_reaches_to_what_is_held_out() -> None:
    label, probs = mistaken(2, 60)
    memorized = np.where(np.eye(3)[label] == 1, 0.9998, 0.0001)
    alone = estimate.estimate(label, opinions.joined(label, 3, linear=probs))
    found = estimate.estimate(label, opinions.joined(label, 3, linear=probs, mean_probs=memorized))
    assert 0 == found.low
    assert alone.total <= found.high


def test_dynamics_alone_give_an_estimate() -> None:
    label, probs = mistaken(3, 60)
    found = estimate.estimate(label, opinions.joined(label, 3, mean_probs=probs))
    assert 60 / 1.35 <= found.total <= 60 * 1.35


def test_labels_of_one_class_have_no_errors() -> None:
    label = np.zeros(4, np.int64)
    found = estimate.estimate(label, opinions.joined(label, 1, linear=np.ones((4, 1))))
    assert (0, 0, 0, [0]) == (found.total, found.low, found.high, found.by_class)


def test_the_interval_says_what_chance_alone_may_do() -> None:
    label, probs = mistaken(6, 60)
    found = estimate.estimate(label, opinions.joined(label, 3, linear=probs))
    assert found.total - found.low >= 10
    assert found.high - found.total >= 10


def test_a_class_that_no_example_is_given_has_no_errors_and_takes_none() -> None:
    label, probs = mistaken(4, 60)
    wide = np.hstack([probs * 0.99, np.full((len(label), 1), 0.01)])
    found = estimate.estimate(label, opinions.joined(label, 4, linear=wide))
    assert 0 == found.by_class[3]
    assert found.total == pytest.approx(60, rel=0.35)


def test_the_order_of_the_examples_does_not_matter() -> None:
    label, probs = mistaken(5, 60)
    order = np.random.default_rng(0).permutation(len(label))
    one = estimate.estimate(label, opinions.joined(label, 3, linear=probs))
    assert one == estimate.estimate(label[order], opinions.joined(label[order], 3, linear=probs[order]))
