"""Texts as tokens: tokenized once into flat arrays, then cut into padded batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

# A token rarely covers more characters; what lies beyond is never looked at, so that a text of a
# hundred thousand characters costs no more than what is kept of it.
CHARACTERS_PER_TOKEN = 64


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
        lengths = self.lengths[indices]
        columns = np.arange(lengths.max())
        inside = columns < lengths[:, None]
        # positions past an example's end are replaced; clip keeps them inside the array
        positions = np.minimum(self.offsets[indices][:, None] + columns, len(self.flat) - 1)
        ids = np.where(inside, self.flat[positions], pad_id).astype(np.int64)
        types = np.where(inside, self.types[positions], pad_type).astype(np.int64)
        return ids, types


def tokenize(tokenizer: Any, text_a: Sequence[str], text_b: Sequence[str] | None, max_seq_len: int) -> Tokens:
    """The texts as the tokenizer would encode them with truncation longest_first, each text read once."""
    characters = max_seq_len * CHARACTERS_PER_TOKEN
    ids: dict[str, list[int]] = {}
    for text in (*text_a, *(text_b or ())):
        if text not in ids:
            ids[text] = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text[:characters]))
    budget = max_seq_len - tokenizer.num_special_tokens_to_add(pair=text_b is not None)
    sequences: list[NDArray[np.int32]] = []
    types: list[NDArray[np.int8]] = []
    truncated = 0
    for row, text in enumerate(text_a):
        first, second = ids[text], None if text_b is None else ids[text_b[row]]
        truncated += len(first) + len(second or ()) > budget
        first, second = truncate(first, second, budget)
        sequences.append(np.array(tokenizer.build_inputs_with_special_tokens(first, second), np.int32))
        types.append(np.array(tokenizer.create_token_type_ids_from_sequences(first, second), np.int8))
    offsets = np.zeros(len(sequences) + 1, np.int64)
    np.cumsum([len(sequence) for sequence in sequences], out=offsets[1:])
    return Tokens(np.concatenate(sequences), np.concatenate(types), offsets, truncated)


def truncate(first: list[int], second: list[int] | None, budget: int) -> tuple[list[int], list[int] | None]:
    """Cuts the longer of the two, token by token, until both fit; the second where they are equal."""
    if second is None:
        return first[:budget], None
    kept = min(len(second), max(budget // 2, budget - len(first)))
    return first[: budget - kept], second[:kept]


def training_batches(count: int, batch_size: int, seed: int, epoch: int) -> Iterator[NDArray[np.int64]]:
    """Indices of an epoch's batches: a pure function of seed and epoch; the last batch may be smaller."""
    order = np.random.default_rng([seed, epoch]).permutation(count)
    for start in range(0, count, batch_size):
        yield order[start : start + batch_size]


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
