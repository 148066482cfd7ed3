"""Character n-grams of texts as TF-IDF, and where in a text each of them stands.

An n-gram is its code points packed into one integer, so that no text is cut up in Python and no two collide.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import polars as pl

if TYPE_CHECKING:
    from scipy import sparse

LONGEST = 3
"""Characters of the longest n-gram: three code points of 21 bits fill one integer."""
READ = 2_000
"""Characters of a text that are read; one huge text must not hold up all others."""
_BITS = 21

Keys = npt.NDArray[np.uint64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Vocabulary:
    """The n-grams that at least two texts have, and how much each tells."""

    keys: Keys
    """Ascending, (V,)."""
    idf: npt.NDArray[np.float32]
    """Inverse document frequency, smoothed: 1 + log((1 + texts) / (1 + texts that have it)), (V,)."""


def tfidf(texts: pl.Series, most: int) -> tuple[sparse.csr_array, Vocabulary]:
    """TF-IDF (N, V) of texts, rows of length 1 or 0, and the vocabulary: up to `most` n-grams, the commonest.

    Term frequencies are damped, 1 + log. Null is the empty text. Needs scipy.
    """
    from scipy import sparse

    characters, ends = folded(texts)
    row, key = _grams(characters, ends)
    known, column = np.unique(key, return_inverse=True)
    del key
    counts = sparse.coo_array(
        (np.ones(len(row), np.float32), (row, column.astype(np.int32))), shape=(len(texts), len(known))
    ).tocsr()
    del row, column
    counts.sum_duplicates()
    having = np.bincount(counts.indices, minlength=len(known))
    kept = np.flatnonzero(having >= 2)
    if len(kept) > most:
        kept = np.sort(kept[np.argsort(-having[kept], kind="stable")[:most]])
    idf = (1 + np.log((1 + len(texts)) / (1 + having[kept]))).astype(np.float32)
    position = np.full(len(known), -1, np.int32)
    position[kept] = np.arange(len(kept), dtype=np.int32)
    column = position[counts.indices]
    within = column >= 0
    starts = np.append(0, within.cumsum())[counts.indptr]
    matrix = sparse.csr_array(
        ((1 + np.log(counts.data[within])) * idf[column[within]], column[within], starts.astype(np.int32)),
        shape=(len(texts), len(kept)),
    )
    return _normalized(matrix), Vocabulary(known[kept], idf)


def _normalized(matrix: sparse.csr_array) -> sparse.csr_array:
    """Rows of length 1, in place; an empty row stays empty."""
    rows = np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
    length = np.sqrt(np.bincount(rows, matrix.data.astype(np.float64) ** 2, minlength=matrix.shape[0]))
    matrix.data /= length[rows].astype(np.float32)
    return matrix


def folded(texts: pl.Series) -> tuple[npt.NDArray[np.uint32], Ints]:
    """The characters of all texts one after another, and where each text begins and ends, (N + 1,).

    Folded a character at a time, so that each keeps its place: full width to half, capitals to small, all white space
    to a blank. What would fold to several characters stays as it is.
    """
    read = texts.fill_null("").str.slice(0, READ)
    ends = np.append(0, read.str.len_chars().to_numpy().astype(np.int64).cumsum())
    characters = np.frombuffer("".join(read.to_list()).encode("utf-32-le"), dtype=np.uint32)
    known, index = np.unique(characters, return_inverse=True)
    return np.array([_fold(int(code)) for code in known], dtype=np.uint32)[index], ends


def _fold(code: int) -> int:
    character = unicodedata.normalize("NFKC", chr(code)).lower()
    if len(character) != 1:
        return code
    # a NUL would make an n-gram look shorter than it is
    return ord(" ") if character.isspace() or character == "\0" else ord(character)


def trigrams(texts: pl.Series) -> tuple[npt.NDArray[np.int32], Keys]:
    """The trigrams of each text, text by text, (G,) each: which text it stands in, and its key."""
    characters, ends = folded(texts)
    text, key = _grams(characters, ends)
    longest = len(
        np.flatnonzero(
            ends[1:][np.repeat(np.arange(len(ends) - 1), np.diff(ends))] - np.arange(len(characters)) >= LONGEST
        )
    )
    return text[len(text) - longest :], key[len(key) - longest :]


def _grams(characters: npt.NDArray[np.uint32], ends: Ints) -> tuple[npt.NDArray[np.int32], Keys]:
    """Every n-gram of one to LONGEST characters, (G,) each: which text it stands in, and its key."""
    text = np.repeat(np.arange(len(ends) - 1, dtype=np.int32), np.diff(ends))
    rest = ends[1:][text] - np.arange(len(characters))
    wide = characters.astype(np.uint64)
    texts, keys = [text], [wide]
    for length in range(2, LONGEST + 1):
        place = np.flatnonzero(rest >= length)
        key = wide[place]
        for further in range(1, length):
            key |= wide[place + further] << np.uint64(_BITS * further)
        texts.append(text[place])
        keys.append(key)
    return np.concatenate(texts), np.concatenate(keys)


# ----------------------------------------------------------------------------------------------- one text


@dataclass(frozen=True)
class Places:
    """Where the n-grams of one text that a vocabulary has stand, (K,) each."""

    begin: Ints
    length: Ints
    column: Ints
    """Their column in the vocabulary."""


def locate(text: str, vocabulary: Vocabulary) -> Places:
    """Every n-gram of the text that the vocabulary has; `begin` counts characters of the text as it is."""
    characters, ends = folded(pl.Series([text]))
    size = len(characters)
    begin = np.concatenate([np.arange(max(size - length + 1, 0)) for length in range(1, LONGEST + 1)])
    length = np.repeat(np.arange(1, LONGEST + 1), [max(size - length + 1, 0) for length in range(1, LONGEST + 1)])
    _, key = _grams(characters, ends)
    column = np.minimum(np.searchsorted(vocabulary.keys, key), max(len(vocabulary.keys) - 1, 0))
    known = vocabulary.keys[column] == key if len(vocabulary.keys) else np.zeros(len(key), np.bool_)
    return Places(begin[known], length[known], column[known])


def values(wanted: Ints, column: Ints, vocabulary: Vocabulary) -> npt.NDArray[np.float64]:
    """TF-IDF, as `tfidf` gives it, of the `wanted` columns in a text that has its n-grams in `column`."""
    known, times = np.unique(column, return_counts=True)
    value = (1 + np.log(times)) * vocabulary.idf[known]
    length = np.sqrt((value**2).sum())
    found = np.zeros(len(wanted))
    found[np.searchsorted(wanted, known)] = value / length if length else value
    return found
