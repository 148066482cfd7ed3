"""The audit: the sample, the estimate and its interval in simulations; and the outlook from ordinary verdicts."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from datamap_cli.analysis import audit
from datamap_cli.analysis.audit import Stratum


def ranking(total: int, share: float, quality: float, seed: int) -> npt.NDArray[np.bool_]:
    """Which labels are wrong, by rank, as a score of this quality (0: none) puts them."""
    rng = np.random.default_rng(seed)
    wrong = rng.random(total) < share
    order = np.argsort(-(rng.normal(size=total) + quality * wrong))
    ranked: npt.NDArray[np.bool_] = wrong[order]
    return ranked


def audited(
    wrong: npt.NDArray[np.bool_], number: int, seed: int, labels: npt.NDArray[np.int64] | None = None
) -> audit.Audit:
    labels = np.zeros(len(wrong), dtype=np.int64) if labels is None else labels
    strata = audit.stratify(len(wrong), number)
    ranks = audit.draw(strata, seed)
    given = np.bincount(labels).tolist()
    return audit.evaluate(strata, ranks, labels[ranks - 1], wrong[ranks - 1].tolist(), given)


# ------------------------------------------------------------------------------------------ the sample


def test_the_sample_is_dense_where_errors_are_likely() -> None:
    assert [Stratum(1, 100, 20), Stratum(101, 400, 25), Stratum(401, 2000, 55)] == audit.stratify(2000, 100)


@given(total=st.integers(1, 3000), number=st.integers(1, 400))
def test_strata_cut_the_ranking_and_the_sample_is_of_the_size_asked(total: int, number: int) -> None:
    strata = audit.stratify(total, number)
    assert [*range(1, total + 1)] == [rank for s in strata for rank in range(s.first, s.last + 1)]
    assert all(1 <= s.drawn <= s.size for s in strata)
    assert max(len(strata), min(total, number)) == sum(s.drawn for s in strata)
    ranks = audit.draw(strata, 3)
    assert [s.drawn for s in strata] == [sum(s.first <= rank <= s.last for rank in ranks) for s in strata]
    assert len(ranks) == len(set(ranks.tolist()))


def test_the_sample_is_drawn_by_its_seed_in_an_order_that_tells_nothing() -> None:
    strata = audit.stratify(1000, 100)
    assert audit.draw(strata, 5).tolist() == audit.draw(strata, 5).tolist() != audit.draw(strata, 6).tolist()
    places = [np.corrcoef(np.arange(100), audit.draw(strata, seed))[0, 1] for seed in range(200)]
    assert 0.03 > abs(float(np.mean(places)))


# ---------------------------------------------------------------------------------------- the estimate


def test_every_estimate_is_exact_where_everything_was_looked_at() -> None:
    wrong = ranking(60, 0.3, 1, 0)
    labels = np.arange(60) % 2
    found = audited(wrong, 60, 0, labels)
    count = int(wrong.sum())
    assert audit.Interval(count, count, count) == found.wrong
    assert {k: (wrong & (labels == k)).sum() for k in (0, 1)} == {k: part.value for k, part in found.by_class.items()}
    assert {3: wrong[:3].mean(), 12: wrong[:12].mean(), 60: wrong.mean()} == {
        k: part.low for k, part in found.precision.items()
    }


def test_the_estimate_weighs_each_stratum_by_its_size() -> None:
    strata = [Stratum(1, 10, 5), Stratum(11, 100, 9)]
    ranks = np.array([1, 2, 3, 4, 5, *range(20, 29)])
    wrong = [True, True, True, None, False, True, *[False] * 8]
    found = audit.evaluate(strata, ranks, np.zeros(14, dtype=np.int64), wrong, [100], [3, 15])
    assert found.wrong is not None
    assert (14, 13, 1, 4) == (found.drawn, found.decided, found.unsure, found.found)
    assert 10 * 3 / 4 + 90 * 1 / 9 == pytest.approx(found.wrong.value)
    assert {3: 1.0, 10: 0.75, 100: 0.175} == {
        k: pytest.approx(part.value) for k, part in found.precision.items()
    }  # of 11 to 15 none was seen
    assert 4 <= found.wrong.low <= found.wrong.value <= found.wrong.high <= 91


def test_nothing_is_told_before_a_verdict_in_every_stratum() -> None:
    found = audit.evaluate([Stratum(1, 10, 5), Stratum(11, 100, 9)], np.array([1]), np.array([0]), [True], [100])
    assert (None, {}, {}) == (found.wrong, found.by_class, found.precision)


SETTINGS = [
    (total, share, quality) for total in (500, 4000) for share in (0.02, 0.08, 0.3) for quality in (0.0, 1.5, 3.0)
]


def test_the_interval_holds_the_truth_in_93_percent_and_the_estimate_is_unbiased() -> None:
    held: dict[str, list[float]] = {"all": [], "class": [], "depth": []}
    off = []
    for place, (total, share, quality) in enumerate(SETTINGS):
        hits: dict[str, list[bool]] = {"all": [], "class": [], "depth": []}
        for data in range(3):
            wrong = ranking(total, share, quality, 10 * place + data)
            labels = np.random.default_rng(place).integers(0, 2, total)
            truth, of_class = wrong.sum(), (wrong & (labels == 1)).sum()
            for seed in range(25):
                found = audited(wrong, 100, seed, labels)
                assert found.wrong is not None
                hits["all"].append(found.wrong.low - 1e-9 <= truth <= found.wrong.high + 1e-9)
                hits["class"].append(found.by_class[1].low - 1e-9 <= of_class <= found.by_class[1].high + 1e-9)
                first = min(found.precision)
                part = found.precision[first]
                hits["depth"].append(part.low - 1e-9 <= wrong[:first].mean() <= part.high + 1e-9)
                off.append((found.wrong.value - truth) / total)
        for name in held:
            held[name].append(float(np.mean(hits[name])))
    # over data sets of each kind, and of no kind far less
    assert all(0.93 <= float(np.mean(shares)) for shares in held.values()), held
    assert all(0.88 <= min(shares) for shares in held.values()), held
    assert 3 * np.std(off) / np.sqrt(len(off)) > abs(float(np.mean(off)))


def test_any_part_of_the_sample_is_a_sample() -> None:
    wrong = ranking(1000, 0.1, 2, 0)
    strata = audit.stratify(1000, 100)
    values = []
    for seed in range(300):
        ranks = audit.draw(strata, seed)[:40]
        found = audit.evaluate(strata, ranks, np.zeros(40, dtype=np.int64), wrong[ranks - 1].tolist(), [1000])
        assert found.wrong is not None
        values.append(found.wrong.value)
    assert wrong.sum() == pytest.approx(np.mean(values), abs=3 * np.std(values) / np.sqrt(300))


def test_the_interval_is_narrower_than_that_of_a_plain_sample_where_the_score_is_good() -> None:
    wrong = ranking(4000, 0.05, 3, 1)
    widths = [found.high - found.low for seed in range(40) if (found := audited(wrong, 100, seed).wrong) is not None]
    plain = 4000 * 2 * 1.96 * np.sqrt(0.05 * 0.95 / 100)
    assert plain > 1.2 * np.mean(widths)


# ----------------------------------------------------------------------------------------- the outlook


def test_the_outlook_expects_what_comes() -> None:
    shares, held = [], []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        severity = np.sort(rng.normal(size=400))[::-1]
        wrong = rng.random(400) < 1 / (1 + np.exp(-2.5 * (severity - 1)))
        decided = [bool(answer) if k < 80 else None for k, answer in enumerate(wrong)]
        found = audit.outlook(severity, decided, seed=seed, draws=40)
        assert (80, int(wrong[:80].sum()), 50, 270) == (found.decided, found.wrong, found.upcoming, found.rest)
        truth = wrong[80:130].sum()
        shares.append(found.expected.value - truth)
        held.append(found.expected.low <= truth <= found.expected.high)
    assert 4 > abs(float(np.mean(shares)))
    assert 0.85 <= float(np.mean(held))


@pytest.mark.parametrize(
    ("share", "severity", "wrong"),
    [
        (10.5 / 11, np.arange(60.0)[::-1], [True] * 10),  # all were wrong: nothing to calibrate with
        (0.5 / 11, np.arange(60.0)[::-1], [False] * 10),
        (5.5 / 11, np.arange(60.0)[::-1], [False] * 5 + [True] * 5),  # a higher score went with fewer errors
        (5.5 / 11, np.ones(60), [True, False] * 5),
        (0.5, np.arange(60.0)[::-1], []),
    ],
)
def test_the_outlook_is_the_share_so_far_where_the_score_tells_nothing(
    share: float, severity: npt.NDArray[np.float64], wrong: list[bool]
) -> None:
    found = audit.outlook(severity, [*wrong, *[None] * (60 - len(wrong))], upcoming=20)
    assert 20 * share == pytest.approx(found.expected.value)
    assert 0 <= found.expected.low <= found.expected.value <= found.expected.high <= 20


def test_scores_that_are_infinite_or_missing_stand_at_the_ends() -> None:
    severity = np.array([np.inf, 3.0, 2.0, 1.0, -np.inf])
    found = audit.outlook(severity, [True, True, False, False, None])
    assert (1, 0) == (found.upcoming, found.rest)
    assert 0.5 > found.expected.value
    assert audit.Interval(0, 0, 0) == found.expected_rest
