"""Texts that stand more than once: under different labels, under the same, almost the same, or in the dev set too.

Texts are folded before they are compared: Unicode's compatibility forms (NFKC), small letters, single blanks, none at
the ends. The texts of a pair may stand in either order.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import polars as pl

from datamap_cli.analysis import ngrams

NEAR = 0.8
"""Share of the character trigrams of two texts that both must have: few others are near and not the same."""
_BANDS, _HASHES = 6, 3
_LEAST = 8  # trigrams; of shorter texts one character is too much
_NOISE = r"[^\p{L}\p{N}]+"

Ints = npt.NDArray[np.int64]


def fold(texts: pl.Expr) -> pl.Expr:
    """The texts as they are compared; null is the empty text."""
    return texts.fill_null("").str.normalize("NFKC").str.to_lowercase().str.replace_all(r"\s+", " ").str.strip_chars()


def folded(texts_a: pl.Series, texts_b: pl.Series | None) -> pl.DataFrame:
    """The folded texts, first and second (N rows); of a pair the lesser one is first."""
    b = texts_b if texts_b is not None else pl.Series([""] * len(texts_a), dtype=pl.String)
    texts = pl.DataFrame({"a": texts_a, "b": b}).select(fold(pl.all()))
    if texts_b is None:
        return texts.rename({"a": "first", "b": "second"})
    return texts.select(first=pl.min_horizontal("a", "b"), second=pl.max_horizontal("a", "b"))


def groups(texts_a: pl.Series, texts_b: pl.Series | None) -> Ints:
    """A number for each example, (N,), the same for the same texts: that of the first example that has them."""
    texts = folded(texts_a, texts_b).with_row_index("row")
    first = texts.select(pl.col("row").first().over("first", "second"))
    return first.to_series().cast(pl.Int64).to_numpy()


def near(texts_a: pl.Series, texts_b: pl.Series | None) -> Ints:
    """A number for each example, (N,), the same for texts that are nearly the same: that of the first of them.

    Letters and digits are compared, by the Jaccard likeness of their trigrams. Candidates come from MinHash in bands
    (Broder 1997), so one in a hundred at the least likeness that counts may be missed, and one or a few characters in a
    short text are never near; each is verified against the first of its bucket.
    """
    texts = folded(texts_a, texts_b).select(
        text=pl.concat_str(pl.all().str.replace_all(_NOISE, ""), separator="\n").str.strip_chars()
    )["text"]
    group = texts.to_frame().with_row_index("row").select(pl.col("row").first().over("text")).to_series()
    parent = group.cast(pl.Int64).to_numpy().copy()
    first = np.flatnonzero(parent == np.arange(len(parent)))
    text, key = ngrams.trigrams(texts.gather(first))
    if not len(key):
        return parent
    starts = np.flatnonzero(np.diff(text, prepend=-1))
    sizes = np.diff(np.append(starts, len(key)))
    enough = sizes >= _LEAST
    rng = np.random.default_rng(0)
    odd = rng.integers(1, 2**63, _BANDS * _HASHES).astype(np.uint64) * np.uint64(2) + np.uint64(1)
    for band in range(_BANDS):
        signature = np.zeros(len(starts), np.uint64)
        for factor in odd[band * _HASHES : (band + 1) * _HASHES]:
            mixed = key * factor
            mixed ^= mixed >> np.uint64(29)
            least = np.minimum.reduceat(mixed * factor, starts)
            signature = (signature ^ least) * factor
        _, lead, bucket = np.unique(signature, return_index=True, return_inverse=True)
        for member in np.flatnonzero(enough & (lead[bucket] != np.arange(len(starts)))):
            other = lead[bucket[member]]
            here, there = (int(first[text[starts[place]]]) for place in (member, other))
            if _root(parent, here) != _root(parent, there):
                sets = [set(key[starts[place] : starts[place] + sizes[place]].tolist()) for place in (member, other)]
                if len(sets[0] & sets[1]) >= NEAR * len(sets[0] | sets[1]):
                    low, high = sorted((_root(parent, here), _root(parent, there)))
                    parent[high] = low
    return np.array([_root(parent, place) for place in range(len(parent))], np.int64)


def _root(parent: Ints, place: int) -> int:
    while parent[place] != place:
        place = int(parent[place])
    return place
