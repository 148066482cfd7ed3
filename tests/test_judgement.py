"""What all opinions together say of labels: found where they are wrong, silent where nothing is known."""

from __future__ import annotations

import subprocess

import numpy as np
import numpy.typing as npt
import polars as pl
import pytest

from datamap_cli import signals
from datamap_cli.analysis.judgement import SCHEMA, Dynamics, Judgement, judge
from tests.support import REPOSITORY

WORDS = {
    0: ["my card is lost", "the card never came", "send a new card"],
    1: ["pay the bill", "a bill to pay", "the bill is high"],
}


def examples(count: int = 120, *, pairs: bool = False, ids: list[str] | None = None) -> pl.DataFrame:
    """Texts of two topics, of which every twentieth has the label of the other."""
    topic = [i % 2 for i in range(count)]
    texts = [f"{WORDS[t][i // 2 % 3]} {i}" for i, t in enumerate(topic)]
    return pl.DataFrame(
        {
            "id": ids or list(range(count)),
            "text_a": texts,
            "text_b": [text[::-1] for text in texts] if pairs else [None] * count,
            "label": [t ^ (i % 20 == 0) for i, t in enumerate(topic)],
        },
        schema_overrides={"text_b": pl.String},
    )


def vectors(frame: pl.DataFrame) -> list[npt.NDArray[np.float16]]:
    """Of the topics, with noise."""
    rng = np.random.default_rng(0)
    topic = np.array([i % 2 for i in range(frame.height)])
    raw = np.eye(8)[topic] + rng.normal(size=(frame.height, 8), scale=0.3)
    one = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float16)
    return [one] if frame["text_b"].null_count() else [one, one]


def judged(frame: pl.DataFrame, **options: object) -> Judgement:
    return judge(frame, 2, options.get("vectors", []), options.get("dynamics"), seed=1)  # type: ignore[arg-type]


@pytest.mark.parametrize("pairs", [False, True])
@pytest.mark.parametrize("embedded", [False, True])
def test_wrong_labels_are_the_most_suspicious_whatever_opinions_there_are(pairs: bool, embedded: bool) -> None:
    frame = examples(pairs=pairs)
    judgement = judged(frame, vectors=vectors(frame) if embedded else [])
    ranked = judgement.frame.sort("suspicion", descending=True)
    assert {0, 20, 40, 60, 80, 100} == set(ranked["id"].head(6))
    assert ("embedding" in judgement.opinions) == embedded
    right = frame.with_columns(right=pl.int_range(pl.len()) % 2).filter(pl.col("id") % 20 == 0)
    assert right["right"].to_list() == judgement.frame.filter(pl.col("id") % 20 == 0)["joined_label"].to_list()


def test_the_parts_of_the_opinions_add_up_to_the_suspicion() -> None:
    frame = examples()
    loss = np.where(np.arange(120) % 20 == 0, 2.0, 0.1)
    judgement = judged(frame, vectors=vectors(frame), dynamics=Dynamics(loss, None))
    assert ("linear", "embedding", "neighbours", "dynamics", "prior") == judgement.opinions
    parts = judgement.frame.select(pl.sum_horizontal(f"part_{name}" for name in judgement.opinions)).to_series()
    np.testing.assert_allclose(judgement.frame["suspicion"], parts, atol=1e-9)


def test_an_opinion_that_there_is_not_is_null() -> None:
    frame = judged(examples()).frame
    for name in ("embedding_label_probs", "embedding_loss", "embedding_pred_label", "part_embedding", "part_dynamics"):
        assert frame.height == frame[name].null_count()


def test_every_signal_that_comes_from_elsewhere_is_a_column() -> None:
    elsewhere = {signal.name: signal.dtype for signal in signals.SIGNALS if signal.expression is None}
    assert elsewhere == {name: kind for name, kind in SCHEMA.items() if name in elsewhere}


def test_the_nearest_examples_are_those_of_the_vectors() -> None:
    frame = examples(40, ids=[f"x{i}" for i in range(40)])
    (given,) = vectors(frame)
    likeness = given.astype(np.float32) @ given.astype(np.float32).T - 2 * np.eye(40)
    expected = [[f"x{j}" for j in np.argsort(-row, kind="stable")[:3]] for row in likeness]
    assert expected == judged(frame, vectors=[given]).frame["nearest"].to_list()


def test_the_same_text_under_another_label_is_found_in_any_case_and_order() -> None:
    frame = pl.DataFrame(
        {
            "id": range(6),
            "text_a": ["Pay  it", "it pays", "x", "pay it", "card", "cards"],
            "text_b": ["now", "y", "pay it", "NOW", "lost", "gone"],
            "label": [0, 1, 0, 1, 1, 0],
        }
    )
    assert [3, None, None, 0, None, None] == judged(frame).frame["contradiction"].to_list()


def test_marks_lie_within_the_texts_of_suspects() -> None:
    frame = examples()
    found = judged(frame).frame.join(frame, on="id").filter(pl.col("marks_a").is_not_null())
    assert {0, 20, 40, 60, 80, 100} <= set(found["id"])
    for text, spans in found.select("text_a", "marks_a").iter_rows():
        assert all(0 <= begin < end <= len(text) for begin, end in spans)


def test_a_label_that_no_other_text_has_is_not_held_against_it() -> None:
    one = {"id": [999], "text_a": ["a third thing"], "text_b": [None], "label": [2]}
    frame = pl.concat([examples(), pl.DataFrame(one, schema=examples().schema)])
    judgement = judge(frame, 3, [], None, seed=1).frame.filter(pl.col("id") == 999)
    assert (None, 0.0, 2) == judgement.select("linear_label_probs", "suspicion", "joined_label").row(0)


def test_the_same_seed_judges_the_same() -> None:
    frame = examples()
    assert judged(frame).frame.equals(judged(frame).frame)


def test_nothing_of_the_product_reads_a_truth() -> None:
    found = subprocess.run(
        ["git", "grep", "-nwE", "[\"']truth[\"']", "--", "datamap_cli"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "" == found.stdout
