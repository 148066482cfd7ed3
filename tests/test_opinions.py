"""Opinions on labels: held out, by neighbours, and joined into the default score."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli.analysis import neighbours, opinions
from datamap_cli.analysis.neighbours import Neighbours, nearest

pytest.importorskip("sklearn")


def unit(vectors: Any) -> Any:
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def blobs(seed: int, sizes: tuple[int, ...] = (40, 40, 40), wrong: int = 0) -> tuple[Any, Any, Any]:
    """Vectors around a mean per class, the given labels, and which `wrong` of them were turned to the next class."""
    rng = np.random.default_rng(seed)
    true = np.repeat(np.arange(len(sizes)), sizes)
    vectors = unit(rng.normal(size=(len(true), 8)) * 0.6 + 2 * np.eye(len(sizes), 8)[true])
    mistaken = np.zeros(len(true), bool)
    mistaken[rng.choice(len(true), wrong, replace=False)] = True
    return vectors, np.where(mistaken, (true + 1) % len(sizes), true), mistaken


def random_probs(rng: Any, n: int, c: int) -> Any:
    return rng.dirichlet(np.ones(c), size=n)


# ----------------------------------------------------------------------------------------- neighbours


def slow_nearest(vectors: Any, k: int) -> Any:
    """By sorting every row: the highest cosine first, of ties the lower index."""
    found = []
    for row, vector in enumerate(vectors):
        others = [(-float(np.float32(vector @ other)), at) for at, other in enumerate(vectors) if at != row]
        found.append([at for _, at in sorted(others)[:k]])
    return found


@given(st.integers(2, 30), st.integers(1, 6), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_nearest_are_those_of_a_sort_of_all_others(n: int, k: int, seed: int) -> None:
    # multiples of a half: products are exact, and there are ties
    vectors = np.random.default_rng(seed).integers(-2, 3, (n, 3)).astype(np.float32) / 2
    assert slow_nearest(vectors, k) == nearest(vectors, k).index.tolist()


def test_sparse_vectors_have_the_neighbours_of_dense_ones() -> None:
    sparse = pytest.importorskip("scipy.sparse")
    vectors = np.random.default_rng(0).integers(0, 3, (40, 5)).astype(np.float32)
    dense, thin = nearest(vectors, 4), nearest(sparse.csr_array(vectors), 4)
    assert dense.index.tolist() == thin.index.tolist()
    assert dense.similarity.tolist() == thin.similarity.tolist()


def test_blocks_do_not_change_the_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors, *_ = blobs(0)
    whole = nearest(vectors)
    monkeypatch.setattr(neighbours, "_BLOCK", 1_000)
    assert whole.index.tolist() == nearest(vectors).index.tolist()


def test_the_graph_finds_nine_tenths_of_the_neighbours_and_the_same_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    rng = np.random.default_rng(0)
    vectors = unit(rng.normal(size=(1_000, 16)))
    exact = nearest(vectors)
    monkeypatch.setattr(neighbours, "_EXACT", 0)
    first, second = nearest(vectors), nearest(vectors)
    shared = np.mean([len(set(a) & set(b)) / 20 for a, b in zip(exact.index, first.index, strict=True)])
    assert shared > 0.9
    assert first.index.tolist() == second.index.tolist()
    assert not (first.index == np.arange(1_000)[:, None]).any()


def test_the_graph_serves_sparse_vectors_by_their_full_similarity(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("faiss")
    sparse = pytest.importorskip("scipy.sparse")
    vectors, *_ = blobs(0)
    exact = nearest(sparse.csr_array(vectors), 5)
    monkeypatch.setattr(neighbours, "_EXACT", 0)
    found = nearest(sparse.csr_array(vectors), 5)
    assert exact.similarity[:, 0] == pytest.approx(found.similarity[:, 0], abs=1e-5)


def test_shares_count_labels_of_neighbours_and_disagreement_those_that_differ() -> None:
    found = Neighbours(np.array([[1, 2], [0, 2], [1, 0]]), np.ones((3, 2), np.float32))
    label = np.array([0, 1, 1])
    assert [[0, 1], [0.5, 0.5], [0.5, 0.5]] == found.shares(label, 2).tolist()
    assert [1.0, 0.5, 0.5] == found.disagreement(label).tolist()


def test_one_example_has_no_neighbours() -> None:
    found = nearest(np.ones((1, 2), np.float32))
    assert (1, 0) == found.index.shape
    assert [[0.0, 0.0]] == found.shares(np.array([0]), 2).tolist()
    assert np.isnan(found.disagreement(np.array([0]))).tolist() == [True]


def test_the_similarity_of_pairs_is_the_mean_of_both_sides() -> None:
    a = np.array([[1, 0], [0, 1]], np.float32)
    b = np.array([[1, 0], [1, 0]], np.float32)
    pairs = neighbours.paired(a, b)
    assert 0.5 == pytest.approx(float(pairs[0] @ pairs[1]))
    assert neighbours.paired(a, None) is a


# ------------------------------------------------------------------------------------------- held out


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 1000))
@settings(max_examples=50, deadline=None)
def test_folds_share_out_every_class_evenly(labels: list[int], seed: int) -> None:
    label = np.array(labels)
    fold = opinions.stratified_folds(label, 5, seed)
    for name in set(labels):
        sizes = np.bincount(fold[label == name], minlength=5)
        assert sizes.max() - sizes.min() <= 1
    sizes = np.bincount(fold, minlength=5)
    assert sizes.max() - sizes.min() <= 1


def test_a_group_is_held_out_together() -> None:
    group = np.array([7, 3, 7, 3, 7, 1, 2, 0])
    fold = opinions.stratified_folds(np.array([0, 0, 1, 1, 0, 1, 0, 1]), 5, 0, group)
    assert 1 == len(set(fold[group == 7]))
    assert 1 == len(set(fold[group == 3]))


def test_pairs_that_share_a_text_are_a_group_by_way_of_others_too() -> None:
    a = np.array([0, 0, 2, *range(100, 140)])
    b = np.array([1, 2, 3, *range(200, 240)])
    group = opinions.sharing(a, b)
    assert 1 == len(set(group[:3]))
    assert 41 == len(set(group))


def test_a_text_that_stands_everywhere_does_not_make_one_group_of_all() -> None:
    group = opinions.sharing(np.array([0, 0, 0, 0]), np.array([1, 2, 3, 3]))
    assert 3 == len(set(group))
    assert group[2] == group[3]


def test_single_texts_are_a_group_where_they_are_the_same() -> None:
    assert [0, 1, 0] == opinions.sharing(np.array([5, 7, 5]), None).tolist()


def test_an_opinion_has_not_seen_the_label_it_judges() -> None:
    vectors, label, _ = blobs(1)
    fold = opinions.stratified_folds(label, 5, 0)
    before = opinions.held_out_probs(vectors, label, 3, fold)
    turned = label.copy()
    turned[5] = 2
    after = opinions.held_out_probs(vectors, turned, 3, fold)
    assert before[5] == pytest.approx(after[5], abs=1e-9)


def test_a_held_out_opinion_finds_turned_labels() -> None:
    vectors, label, wrong = blobs(2, wrong=10)
    probs = opinions.embedding_probs(vectors, None, label, 3, 0)
    own = probs[np.arange(len(label)), label]
    assert own[wrong].max() < np.median(own[~wrong])


def test_pairs_are_judged_by_what_lies_between_the_texts() -> None:
    rng = np.random.default_rng(0)
    a, other = unit(rng.normal(size=(300, 6))), unit(rng.normal(size=(300, 6)))
    label = np.arange(300) % 2
    b = np.where(label[:, None] == 1, a, other).astype(np.float32)
    probs = opinions.embedding_probs(a, b, label, 2, 0)
    assert 0.9 < (probs.argmax(axis=1) == label).mean()


def test_a_class_with_fewer_examples_than_folds_is_judged_without_a_crash() -> None:
    vectors, label, _ = blobs(3, sizes=(30, 30, 1))
    probs = opinions.embedding_probs(vectors, None, label, 4, 0)
    assert (61, 4) == probs.shape
    assert np.ones(61) == pytest.approx(probs.sum(axis=1))
    assert [0.0, 0.0] == probs[-1, 2:].tolist()


def test_of_one_class_the_held_out_opinion_is_certain() -> None:
    vectors, label, _ = blobs(4, sizes=(12,))
    assert np.ones(12).tolist() == opinions.embedding_probs(vectors, None, label, 1, 0)[:, 0].tolist()


# --------------------------------------------------------------------------------------------- joined


def slow_joined(label: Any, held_out: list[Any], weights: Any, mean_probs: Any | None) -> list[tuple[int, float]]:
    """Best other class and score of each example by the definition, with these weights of opinions and prior."""
    n, c = held_out[0].shape
    prior = [(sum(label == k) + 1) / (n + c) for k in range(c)]
    answers = []
    for row in range(n):
        total = []
        for k in range(c):
            value = weights[-1] * np.log(prior[k])
            for weight, probs in zip(weights, held_out, strict=False):
                value += weight * np.log(probs[row][k])
            if mean_probs is not None:
                value += np.log(mean_probs[row][k]) - np.log(np.mean([p[k] for p in mean_probs]))
            total.append(value)
        best = max((k for k in range(c) if k != label[row]), key=lambda k: (total[k], -k))
        answers.append((best, total[best] - total[label[row]]))
    return answers


@given(st.integers(4, 30), st.integers(2, 4), st.booleans(), st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_the_score_is_the_log_odds_of_the_best_other_class(n: int, c: int, dynamics: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    label = rng.integers(0, c, n)
    # no probability is below the least that is believed
    linear, embedding, mean = (random_probs(rng, n, c) * 0.9 + 0.1 / c for _ in range(3))
    found = opinions.joined(label, c, linear=linear, embedding=embedding, mean_probs=mean if dynamics else None)
    weights = np.delete(found.weights, 2) if dynamics else found.weights
    expected = slow_joined(label, [linear, embedding], weights, mean if dynamics else None)
    assert [score for _, score in expected] == pytest.approx(found.score.tolist(), abs=1e-6)
    assert [best if score > 0 else own for (best, score), own in zip(expected, label, strict=True)] == list(
        found.suggested
    )


@given(st.sets(st.sampled_from(["linear", "embedding", "neighbours", "mean_probs", "avg_loss"]), min_size=1))
@settings(max_examples=31, deadline=None)
def test_any_subset_of_opinions_is_joined_and_the_parts_sum_to_the_score(names: set[str]) -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 3, 50)
    given_: Any = {name: random_probs(rng, 50, 3) for name in names - {"avg_loss"}}
    if "avg_loss" in names:
        given_["avg_loss"] = rng.exponential(size=50)
    found = opinions.joined(label, 3, **given_)
    dynamics = ["dynamics"] if names & {"mean_probs", "avg_loss"} else []
    assert [*(n for n in opinions.HELD_OUT if n in names), *dynamics, "prior"] == list(found.opinions)
    assert (50, len(found.opinions)) == found.parts.shape
    assert found.score == pytest.approx(found.parts.sum(axis=1))
    assert np.isfinite(found.parts).all()


def test_no_opinion_is_refused() -> None:
    with pytest.raises(ValueError, match="no opinion to join"):
        opinions.joined(np.array([0, 1]), 2)


def test_an_opinion_of_another_shape_is_refused() -> None:
    with pytest.raises(ValueError, match=r"linear: \(3, 2\); expected \(2, 2\)"):
        opinions.joined(np.array([0, 1]), 2, linear=np.full((3, 2), 0.5))


def test_the_order_of_the_examples_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    label, linear, mean = rng.integers(0, 3, 80), random_probs(rng, 80, 3), random_probs(rng, 80, 3)
    order = rng.permutation(80)
    one = opinions.joined(label, 3, linear=linear, mean_probs=mean)
    other = opinions.joined(label[order], 3, linear=linear[order], mean_probs=mean[order])
    assert one.score[order] == pytest.approx(other.score, abs=1e-4)


def test_the_same_opinions_give_the_same_score() -> None:
    rng = np.random.default_rng(0)
    label, linear = rng.integers(0, 3, 80), random_probs(rng, 80, 3)
    assert (
        opinions.joined(label, 3, linear=linear).score.tolist()
        == opinions.joined(label, 3, linear=linear).score.tolist()
    )


def test_an_opinion_that_knows_nothing_weighs_nothing_beside_one_that_knows() -> None:
    rng = np.random.default_rng(0)
    label = rng.integers(0, 2, 400)
    knows = np.where(np.eye(2)[label] == 1, 0.9, 0.1)
    knows[:40] = knows[:40, ::-1]
    found = opinions.joined(label, 2, linear=random_probs(rng, 400, 2), embedding=knows)
    assert found.weights[0] < 0.1 < 0.9 < found.weights[1]


def test_dynamics_that_say_the_same_of_every_example_change_nothing() -> None:
    rng = np.random.default_rng(0)
    label, linear = rng.integers(0, 3, 60), random_probs(rng, 60, 3)
    alike = np.tile([0.7, 0.2, 0.1], (60, 1))
    without = opinions.joined(label, 3, linear=linear)
    assert without.score == pytest.approx(opinions.joined(label, 3, linear=linear, mean_probs=alike).score)


def test_by_the_loss_alone_the_highest_loss_of_a_class_comes_first() -> None:
    label = np.array([0, 0, 0, 1, 1, 1])
    found = opinions.joined(label, 2, avg_loss=np.array([0.1, 2.0, 0.3, 0.2, 0.1, 3.0]))
    assert {1, 5} == set(np.argsort(-found.score)[:2].tolist())
    assert found.score[1] > found.score[2] > found.score[0]


def test_labels_of_one_class_have_a_score_of_nothing() -> None:
    found = opinions.joined(np.zeros(3, np.int64), 1, linear=np.ones((3, 1)), mean_probs=np.ones((3, 1)))
    assert [0.0, 0.0, 0.0] == found.score.tolist()
    assert [0, 0, 0] == found.suggested.tolist()


def test_probabilities_of_nothing_and_null_are_no_opinion() -> None:
    label = np.array([0, 1, 0, 1])
    found = opinions.joined(label, 2, linear=np.array([[0, 0], [np.nan, np.nan], [1, 0], [0, 1]]))
    assert np.isfinite(found.score).all()
    assert found.parts[0, 0] == found.parts[1, 0] == 0
