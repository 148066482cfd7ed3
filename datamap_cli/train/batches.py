"""Texts as tokens: tokenized once into flat arrays, then cut into padded batches."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

# A token rarely covers more characters; what lies beyond is never looked at, so that a text of a
# hundred thousand characters costs no more than what is kept of it.
CHARACTERS_PER_TOKEN = 64
# texts, or examples, that are Python objects at a time
CHUNK = 16_384
# pieces of texts whose token ids are remembered, and their longest: some 50 MB
REMEMBERED = 131_072
REMEMBERED_CHARACTERS = 32


@dataclass(frozen=True)
class Tokens:
    """The token sequences of N examples, end to end."""

    flat: NDArray[np.int32]
    """Token ids of all examples."""
    types: NDArray[np.int8]
    """Token type ids, the same shape."""
    offsets: NDArray[np.int64]
    """(N + 1,), example i is flat[offsets[i]:offsets[i + 1]]."""
    truncated: int
    """Examples that were cut to the longest sequence allowed."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(N,), tokens of each example."""
        return np.diff(self.offsets)

    def pad(self, indices: NDArray[np.int64], pad_id: int, pad_type: int) -> tuple[NDArray[np.int64], ...]:
        """Token ids and token types of the examples, both (B, longest in the batch)."""
        starts, ends = self.offsets[indices], self.offsets[indices + 1]
        shape = len(indices), int((ends - starts).max())
        ids, types = np.full(shape, pad_id, np.int64), np.full(shape, pad_type, np.int64)
        for row, (start, end) in enumerate(zip(starts.tolist(), ends.tolist(), strict=True)):
            ids[row, : end - start] = self.flat[start:end]
            types[row, : end - start] = self.types[start:end]
        return ids, types


def tokenize(tokenizer: Any, text_a: pl.Series, text_b: pl.Series | None, max_seq_len: int) -> Tokens:
    """The texts as the tokenizer would encode them with truncation longest_first, each text read once."""
    pair = text_b is not None
    budget = max_seq_len - tokenizer.num_special_tokens_to_add(pair=pair)
    texts, text_of = distinct(text_a if text_b is None else pl.concat([text_a, text_b]))
    # one token more than fits tells that something is cut off
    flat, lengths = _token_ids(tokenizer, texts.str.head(max_seq_len * CHARACTERS_PER_TOKEN), budget + 1)
    starts = np.cumsum(lengths) - lengths
    sides = text_of.reshape(1 + pair, -1)
    kept = truncate(lengths[sides], budget)
    layout = _layout(tokenizer, pair)
    offsets = np.zeros(len(text_a) + 1, np.int64)
    np.cumsum(kept.sum(axis=0) + len(layout) - len(kept), out=offsets[1:])
    ids, types = np.empty(offsets[-1], np.int32), np.empty(offsets[-1], np.int8)
    for first in range(0, len(text_a), CHUNK):
        rows = slice(first, first + CHUNK)
        at = offsets[:-1][rows].copy()
        for token, type_ in layout:
            if token >= 0:
                ids[at], types[at] = token, type_
                at += 1
            else:
                count = kept[token, rows]
                to = _ranges(at, count)
                ids[to], types[to] = flat[_ranges(starts[sides[token, rows]], count)], type_
                at += count
    return Tokens(ids, types, offsets, int((lengths[sides].sum(axis=0) > budget).sum()))


def truncate(lengths: NDArray[np.int64], budget: int) -> NDArray[np.int64]:
    """Tokens kept of single texts (1, N) or pairs (2, N) of these lengths: at most `budget` an example.

    The longer of two is cut, token by token; the second where they are equal.
    """
    first, *second = lengths
    if not second:
        return np.minimum(lengths, budget)
    kept = np.minimum(second[0], np.maximum(budget // 2, budget - first))
    return np.stack([np.minimum(first, budget - kept), kept])


def pieces(text: str) -> list[str]:
    """The text cut at spaces and around Chinese characters, which WordPiece tokenizers read independently.

    Only around the Chinese characters of Unicode 1.1: Python drops some later ones as unassigned, which joins
    what stands on their two sides.
    """
    return _PIECE.findall(text)


_PIECE = re.compile(r"[\u4e00-\u9fa5]|[^ \u4e00-\u9fa5]+")


def _encoder(tokenizer: Any) -> Callable[[str], Sequence[int]]:
    """From a text to its token ids, without the special tokens of a sequence."""
    from paddlenlp.transformers import BertTokenizer, ErnieTokenizer

    def encode(text: str) -> Sequence[int]:
        ids: Sequence[int] = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
        return ids

    basic = getattr(tokenizer, "basic_tokenizer", None)
    apart = type(tokenizer) in (BertTokenizer, ErnieTokenizer) and basic and basic.tokenize_chinese_chars
    unsplit = [*tokenizer.unique_no_split_tokens, *tokenizer.all_special_tokens] if apart else []
    if not apart or any(pieces(token) != [token] for token in unsplit):
        return encode
    remembered = functools.lru_cache(REMEMBERED)(encode)

    def encode_pieces(text: str) -> Sequence[int]:
        return list(
            chain.from_iterable(
                (remembered if len(piece) <= REMEMBERED_CHARACTERS else encode)(piece) for piece in pieces(text)
            )
        )

    return encode_pieces


def _token_ids(tokenizer: Any, texts: pl.Series, most: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """The first `most` token ids of each text, end to end, and how many each has."""
    encode = _encoder(tokenizer)
    flat: list[NDArray[np.int32]] = []
    lengths: list[NDArray[np.int64]] = []
    for first in range(0, len(texts), CHUNK):
        ids = [encode(text)[:most] for text in texts.slice(first, CHUNK)]
        lengths.append(np.fromiter(map(len, ids), np.int64, len(ids)))
        flat.append(np.fromiter(chain.from_iterable(ids), np.int32, lengths[-1].sum()))
    return np.concatenate(flat), np.concatenate(lengths)


def distinct(texts: pl.Series) -> tuple[pl.Series, NDArray[np.int64]]:
    """The different texts, in the order they come, and of each text its index among them."""
    first = texts.to_frame("text").with_row_index().select(pl.col("index").min().over("text")).to_series().to_numpy()
    new = first == np.arange(len(first))
    numbers: NDArray[np.int64] = np.cumsum(new) - 1
    return texts.filter(pl.Series(new)), numbers[first]


def _layout(tokenizer: Any, pair: bool) -> list[tuple[int, int]]:
    """What a sequence is made of, in order: token id, type id; the two texts stand as -2 and -1, one as -1."""
    texts = ([-2], [-1]) if pair else ([-1],)
    tokens = tokenizer.build_inputs_with_special_tokens(*texts)
    return list(zip(tokens, tokenizer.create_token_type_ids_from_sequences(*texts), strict=True))


def _ranges(starts: NDArray[np.int64], counts: NDArray[np.int64]) -> NDArray[np.int64]:
    """The integers start, start + 1, … of each range, end to end."""
    ends = np.cumsum(counts)
    positions: NDArray[np.int64] = np.repeat(starts - ends + counts, counts)
    positions += np.arange(len(positions))
    return positions


def evaluation_batches(lengths: NDArray[np.int64], tokens: int) -> Iterator[NDArray[np.int64]]:
    """Indices of all examples, the longest first, in batches of at most `tokens` padded tokens.

    An example longer than that is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        size = max(1, tokens // int(lengths[order[start]]))
        yield order[start : start + size]
        start += size
