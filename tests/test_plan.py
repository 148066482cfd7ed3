"""The plan of a training: which examples each step takes, and when evaluations are due; without Paddle."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.config import Config, SignalsConfig, parse
from datamap_cli.errors import DatamapError
from datamap_cli.train.plan import Plan, evaluation_steps, hold_out


def config(train: dict[str, Any]) -> Config:
    return parse({"data": {"train": "train.tsv"}, "train": {"epochs": 2, **train}}, "a test")


def test_a_plan_is_made_without_paddle() -> None:
    code = "import sys; import datamap_cli.train.plan; print([m for m in ('paddle', 'paddlenlp') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "[]" == done.stdout.strip()


@pytest.mark.parametrize(
    ("signals", "steps", "expected"),
    [
        ({"per_epoch": 1}, 14, [7, 14]),
        ({"per_epoch": 2}, 14, [3, 7, 10, 14]),
        ({"per_epoch": 3}, 14, [2, 4, 7, 9, 11, 14]),
        ({"per_epoch": 7}, 14, list(range(1, 15))),
        ({"per_epoch": 2}, 8, [3, 7, 8]),
        ({"per_epoch": 1}, 4, [4]),
        ({"every_steps": 4}, 14, [4, 8, 12, 14]),
        ({"every_steps": 7}, 14, [7, 14]),
        ({"every_steps": 100}, 14, [14]),
        ({"mode": "online"}, 14, [7, 14]),
        ({"mode": "online"}, 13, [7]),
    ],
)
def test_evaluations_stand_at_even_steps_and_on_the_final_weights(
    signals: dict[str, Any], steps: int, expected: list[int]
) -> None:
    assert expected == evaluation_steps(SignalsConfig(**signals), steps_per_epoch=7, steps=steps)


@given(
    labels=st.lists(st.integers(0, 4), min_size=1, max_size=80), count=st.integers(2, 9), seed=st.integers(0, 2**32 - 1)
)
def test_folds_hold_out_every_example_once_and_each_label_in_equal_parts(
    labels: list[int], count: int, seed: int
) -> None:
    label = np.array(labels)
    if count > len(label):
        with pytest.raises(DatamapError, match=rf"^train.folds: {count}: there are only {len(label)} examples"):
            hold_out(label, count, seed)
        return
    folds = hold_out(label, count, seed)
    assert list(range(len(label))) == sorted(np.concatenate([fold.evaluated for fold in folds]).tolist())
    for fold in folds:
        assert list(range(len(label))) == sorted([*fold.trained.tolist(), *fold.evaluated.tolist()])
    sizes = [len(fold.evaluated) for fold in folds]
    assert sizes[0] == max(sizes) <= min(sizes) + 1
    for each in set(labels):
        held_out = [int((label[fold.evaluated] == each).sum()) for fold in folds]
        assert max(held_out) <= min(held_out) + 1
    again = hold_out(label, count, seed)
    assert [fold.evaluated.tolist() for fold in folds] == [fold.evaluated.tolist() for fold in again]


def test_a_model_takes_no_step_with_an_example_it_is_asked_about() -> None:
    plan = Plan.of(config({"folds": 3, "batch_size": 4, "epochs": 2}), np.arange(11) % 2, processes=1)
    assert (2, 4) == (plan.steps_per_epoch, plan.steps)
    for number, fold in enumerate(plan.folds):
        taken = [plan.batch(step, number)[1].tolist() for step in range(plan.steps)]
        assert set().union(*taken).isdisjoint(fold.evaluated.tolist())
        assert 7 == len({*taken[0], *taken[1]})


def test_an_epoch_takes_every_example_once_in_an_order_of_seed_and_epoch_alone() -> None:
    def orders(seed: int) -> list[list[int]]:
        plan = Plan.of(config({"seed": seed, "batch_size": 4}), np.zeros(10, np.int64), processes=1)
        epochs: list[list[int]] = [[], []]
        for step in range(plan.steps):
            epoch, batch = plan.batch(step)
            epochs[epoch] += batch.tolist()
        return epochs

    assert [list(range(10))] * 2 == [sorted(order) for order in orders(1)]
    assert orders(1) == orders(1)
    assert 3 == len({tuple(order) for order in (*orders(1), orders(2)[0])})


def test_a_step_takes_accumulated_batches_of_every_process() -> None:
    settings = config({"batch_size": 4, "gradient_accumulation": 3, "epochs": 2})
    plan = Plan.of(settings, np.zeros(100, np.int64), processes=2)
    assert (24, 5, 10) == (plan.batch_size, plan.steps_per_epoch, plan.steps)
    assert [24, 24, 24, 24, 4] == [len(plan.batch(step)[1]) for step in range(5)]
