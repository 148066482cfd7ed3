"""The courses of single examples against a slow loop over the records."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from datamap_cli import signals
from tests.support import evaluation_frames, examples_frame, random_probs


@pytest.mark.parametrize("n_classes", [2, 5])
def test_label_and_runner_up_are_those_of_a_loop_over_the_records(n_classes: int) -> None:
    examples, probs = examples_frame(20, n_classes), random_probs(20, n_classes, 3)
    ids = pl.Series([7, 0, 19])
    label, runner_up = signals.trajectories(evaluation_frames(examples, probs).values(), ids)
    expected = []
    for row in ids:
        given = examples["label"][row]
        others = [[p for k, p in enumerate(probs[t, row]) if k != given] for t in range(3)]
        expected.append(([probs[t, row, given] for t in range(3)], [max(other) for other in others]))
    assert (3, 3) == label.shape == runner_up.shape
    np.testing.assert_allclose(np.array([course for course, _ in expected], np.float32), label)
    np.testing.assert_allclose(np.array([course for _, course in expected], np.float32), runner_up)


def test_where_two_classes_are_equally_probable_the_other_one_is_the_runner_up() -> None:
    examples = pl.DataFrame({"id": [0, 1], "label": [0, 1]})
    probs = pl.Series([[0.5, 0.5, 0.0], [0.4, 0.2, 0.4]], dtype=pl.List(pl.Float64))
    records = examples.with_columns(probs=probs, label_probs=pl.Series([0.5, 0.2]))
    label, runner_up = signals.trajectories([records.lazy()], pl.Series([0, 1]))
    assert np.array([[0.5], [0.2]], np.float32).tolist() == label.tolist()
    assert np.array([[0.5], [0.4]], np.float32).tolist() == runner_up.tolist()


def test_records_without_all_probabilities_name_the_runner_up_themselves() -> None:
    records = pl.DataFrame(
        {"id": ["a"], "label": [1], "label_probs": [0.25], "runner_up": [4], "runner_up_probs": [0.5]}
    )
    label, runner_up = signals.trajectories([records.lazy()], pl.Series(["a"]))
    assert ([[0.25]], [[0.5]]) == (label.tolist(), runner_up.tolist())


def test_an_example_without_a_record_has_no_number_there() -> None:
    examples, probs = examples_frame(4, 2), random_probs(4, 2, 2)
    first, second = evaluation_frames(examples, probs).values()
    # in another order besides
    label, runner_up = signals.trajectories([first, second.reverse().filter(pl.col("id") != 2)], pl.Series([1, 2]))
    assert [[False, False], [False, True]] == np.isnan(label).tolist() == np.isnan(runner_up).tolist()
    assert np.float32(probs[1, 1, examples["label"][1]]) == label[0, 1]
