"""What every opinion says of the labels of a run, what they say together, and the evidence: a row per example. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.analysis import duplicates, linear, ngrams, opinions
from datamap_cli.analysis.estimate import Estimate, estimate
from datamap_cli.analysis.neighbours import EVIDENCE, Neighbours, nearest, paired

if TYPE_CHECKING:
    from scipy import sparse

MARKED = 10_000
"""Examples, the most suspicious ones, whose n-grams that speak against the label are kept."""

Floats = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Dynamics:
    """What the trained model said of N examples, averaged over the evaluations."""

    avg_loss: Floats
    """(N,), nats."""
    mean_probs: Floats | None
    """(N, C); None where the records do not have the probabilities of all classes."""


@dataclass(frozen=True)
class Judgement:
    """The opinions on N labels."""

    frame: pl.DataFrame
    """A row per example: id, the columns of `SCHEMA`, and nearest (ids) and contradiction (an id)."""
    opinions: tuple[str, ...]
    """Those that are joined; none where there are too many classes."""
    weights: tuple[float, ...]
    """Of each of them."""
    estimate: Estimate | None
    notes: list[str]
    """What was left out, and why, a line each."""


_SPANS = pl.List(pl.List(pl.Int64))
SCHEMA: dict[str, pl.DataType | type[pl.DataType]] = {
    # signals of the registry
    "linear_label_probs": pl.Float64,
    "linear_loss": pl.Float64,
    "linear_pred_label": pl.Int64,
    "embedding_label_probs": pl.Float64,
    "embedding_loss": pl.Float64,
    "embedding_pred_label": pl.Int64,
    "neighbour_disagreement": pl.Float64,
    "suspicion": pl.Float64,
    "joined_label": pl.Int64,
    # what each opinion adds to the suspicion; null for those that there are not
    **{f"part_{opinion}": pl.Float64 for opinion in (*opinions.HELD_OUT, "dynamics", opinions.PRIOR)},
    # evidence, besides the ids of `nearest` and of a `contradiction`, an example with the same text and another label:
    # how like the nearest are, and the spans of the texts that speak most for the joined opinion's label
    "similarity": pl.List(pl.Float32),
    "marks_a": _SPANS,
    "marks_b": _SPANS,
}
"""Of the frame's columns that hold no ids."""


def judge(
    examples: pl.DataFrame,
    n_classes: int,
    vectors: Sequence[npt.NDArray[np.float16]],
    dynamics: Dynamics | None,
    *,
    seed: int,
) -> Judgement:
    """The opinions on the labels of N examples (id, text_a, text_b, label), of two classes or more; needs scikit-learn.

    `vectors` are of text_a, and of text_b where there are pairs, by a model that has not seen the labels; without any,
    the likeness of texts is that of their n-grams. Nothing here reads a truth.
    """
    label = examples["label"].to_numpy()
    text_a = examples["text_a"].fill_null("")
    text_b = None if examples["text_b"].null_count() == examples.height else examples["text_b"].fill_null("")
    text = duplicates.groups(text_a, text_b)
    lone = _lone(text, label, n_classes)
    by_text = linear.held_out(text_a, text_b, label, n_classes, seed)
    columns = _opinion("linear", by_text.label_probs, by_text.pred_label)
    whole = by_text.probs is not None
    embedding = None
    if vectors:
        first, *others = (array.astype(np.float32) for array in vectors)
        second = others[0] if others else None
        near = nearest(paired(first, second), seed=seed)
        if whole:
            embedding = opinions.embedding_probs(first, second, label, n_classes, seed, group=text)
            label_probs = np.where(lone, np.nan, embedding[np.arange(len(label)), label])
            columns |= _opinion("embedding", label_probs, embedding.argmax(axis=1))
    else:
        near = nearest(_grams(text_a, text_b), seed=seed)
    columns["neighbour_disagreement"] = near.disagreement(label)
    columns |= _evidence(examples["id"], near, text, label)
    if by_text.probs is None:
        note = f"no joined opinion: {len(label):,} examples of {n_classes:,} classes are too many probabilities"
        return Judgement(_frame(examples["id"], columns), (), (), None, [note])
    joined = opinions.joined(
        label,
        n_classes,
        linear=by_text.probs.astype(np.float64),
        embedding=embedding,
        neighbours=near.shares(label, n_classes),
        mean_probs=None if dynamics is None else dynamics.mean_probs,
        avg_loss=None if dynamics is None else dynamics.avg_loss,
    )
    joined = _silenced(joined, lone, label)
    columns |= {
        "suspicion": joined.score,
        "joined_label": joined.suggested,
        **{f"part_{name}": joined.parts[:, place] for place, name in enumerate(joined.opinions)},
        **_marks(by_text, text_a, text_b, label, joined),
    }
    frame = _frame(examples["id"], columns)
    weights = tuple(float(weight) for weight in joined.weights)
    return Judgement(frame, joined.opinions, weights, estimate(label, joined), [])


def _frame(ids: pl.Series, columns: Mapping[str, Any]) -> pl.DataFrame:
    types = {**SCHEMA, "nearest": pl.List(ids.dtype), "contradiction": ids.dtype}
    found = (pl.Series(name, columns.get(name, [None] * len(ids)), dtype=kind) for name, kind in types.items())
    return pl.DataFrame([ids.alias("id"), *found]).fill_nan(None)


def _opinion(name: str, label_probs: Floats, pred_label: Labels) -> dict[str, Any]:
    loss = -np.log(np.maximum(label_probs, 1e-12))
    return {f"{name}_label_probs": label_probs, f"{name}_loss": loss, f"{name}_pred_label": pred_label}


def _grams(text_a: pl.Series, text_b: pl.Series | None) -> sparse.csr_array:
    """The n-grams of the texts, (N, V): a product of two rows is the likeness of texts, of pairs the mean of both."""
    from scipy import sparse

    most = 2**15
    if text_b is None:
        return ngrams.tfidf(text_a, most)[0]
    both, _ = ngrams.tfidf(pl.concat([text_a, text_b.alias(text_a.name)]), most)
    return sparse.hstack([both[: len(text_a)], both[len(text_a) :]], format="csr") * np.float32(np.sqrt(0.5))


def _lone(text: Labels, label: Labels, n_classes: int) -> npt.NDArray[np.bool_]:
    """Whether no other text has the label, (N,); `text` numbers the texts."""
    texts_of = np.bincount(np.unique(np.stack([text, label]), axis=1)[1], minlength=n_classes)
    lone: npt.NDArray[np.bool_] = texts_of[label] < 2
    return lone


def _silenced(joined: opinions.Joined, lone: npt.NDArray[np.bool_], label: Labels) -> opinions.Joined:
    """The same without what held-out opinions say of lone labels: nobody can know a class that no other text has."""
    silent = lone[:, None] & np.array([name != "dynamics" for name in joined.opinions])
    parts = np.where(silent, 0.0, joined.parts)
    score = parts.sum(axis=1)
    return replace(joined, parts=parts, score=score, suggested=np.where(score > 0, joined.best_other, label))


def _evidence(ids: pl.Series, near: Neighbours, text: Labels, label: Labels) -> dict[str, Any]:
    rows = pl.DataFrame({"text": text, "label": label}).with_row_index("row")
    # the first row of the same text with another label than this one's: that of the text's first or second label
    firsts = rows.group_by("text", "label").agg(pl.col("row").min()).sort("row")
    two = firsts.group_by("text", maintain_order=True).agg(
        one=pl.col("label").first(), first=pl.col("row").first(), second=pl.col("row").get(1, null_on_oob=True)
    )
    other = rows.join(two, on="text", how="left", maintain_order="left").select(
        pl.when(pl.col("label") == pl.col("one")).then("second").otherwise("first").cast(pl.Int64)
    )
    nearest_of = near.index[:, :EVIDENCE]
    return {
        "nearest": ids.gather(nearest_of.ravel()).to_numpy().reshape(nearest_of.shape).tolist(),
        "similarity": near.similarity[:, :EVIDENCE].tolist(),
        "contradiction": ids.gather(other.to_series()),
    }


def _marks(
    by_text: linear.Linear, text_a: pl.Series, text_b: pl.Series | None, label: Labels, joined: opinions.Joined
) -> dict[str, Any]:
    """The spans that speak for the joined opinion's label, of the most suspicious examples that it contradicts."""
    order = np.argsort(-joined.score, kind="stable")[:MARKED]
    marks: dict[str, list[list[list[int]] | None]] = {"marks_a": [None] * len(label), "marks_b": [None] * len(label)}
    for row in order[joined.suggested[order] != label[order]].tolist():
        second = None if text_b is None else text_b[row]
        spans = by_text.speaking(row, text_a[row], second, int(joined.suggested[row]), int(label[row]))
        for name, found in zip(marks, spans, strict=True):
            marks[name][row] = [[*span] for span in found]
    return marks
