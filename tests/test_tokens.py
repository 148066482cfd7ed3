"""Texts as tokens: the ids a tokenizer itself would give, in arrays, and the batches cut from them."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from datamap_cli.config import ModelConfig
from datamap_cli.train import batches, environment

pytestmark = pytest.mark.paddle

SPECIAL = ["[PAD]", "[CLS]", "[SEP]", "[MASK]", "[UNK]"]
WORDS = [
    "短",
    "很",
    "长",
    "的",
    "句",
    "子",
    "另",
    "一",
    "个",
    "北",
    "京",
    "a",
    "ab",
    "##b",
    "##c",
    "##ab",
    "cafe",
    "cafes",
    "Cafés",
    "!",
    ",",
    ",",
    "é",
    "e",
    "##e",
    "##é",
    "🙂",
    "的的",
    "b",
    "c",
    "d",
]
TEXT_A = ["短", "很长的句子" * 9, "Cafés in 北京, now!", "很长的句子" * 9, "", "a b c d e f g h i j k l", "短"]
TEXT_B = ["很长的句子" * 9, "短", "x", "另一个很长的句子" * 9, "", "m n o p q r s t u v w x y", "🙂 [SEP] ab"]


@pytest.fixture(scope="module", autouse=True)
def _paddle() -> None:
    environment.load_paddle()


@pytest.fixture(scope="module")
def tokenizers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    from paddlenlp.transformers import BertTokenizer, ErnieTokenizer, RobertaBPETokenizer, RobertaChineseTokenizer

    directory = tmp_path_factory.mktemp("vocabularies")
    vocabulary = directory / "vocab.txt"
    vocabulary.write_text("".join(f"{token}\n" for token in [*SPECIAL, *WORDS]), encoding="utf-8")
    return {
        "ernie": ErnieTokenizer(str(vocabulary)),
        "bert": BertTokenizer(str(vocabulary)),
        "cased bert": BertTokenizer(str(vocabulary), do_lower_case=False),
        "bert without Chinese characters": BertTokenizer(str(vocabulary), tokenize_chinese_chars=False),
        "bert without words": BertTokenizer(str(vocabulary), do_basic_tokenize=False),
        "bert with an added token": BertTokenizer(str(vocabulary), additional_special_tokens=["ab 的"]),
        "chinese roberta": RobertaChineseTokenizer(str(vocabulary)),
        "roberta": RobertaBPETokenizer(*byte_level_vocabulary(directory)),
    }


def byte_level_vocabulary(directory: Path) -> tuple[str, str]:
    """Files of a byte-level BPE: every byte, and three merges."""
    from paddlenlp.transformers.gpt.tokenizer import bytes_to_unicode

    tokens = ["<s>", "<pad>", "</s>", "<unk>", "<mask>", *bytes_to_unicode().values(), "Ġa", "th", "the"]
    vocabulary, merges = directory / "vocab.json", directory / "merges.txt"
    vocabulary.write_text(json.dumps({token: row for row, token in enumerate(tokens)}), encoding="utf-8")
    merges.write_text("#version: 0.2\nĠ a\nt h\nth e\n", encoding="utf-8")
    return str(vocabulary), str(merges)


KINDS = [
    "ernie",
    "bert",
    "cased bert",
    "bert without Chinese characters",
    "bert without words",
    "bert with an added token",
    "chinese roberta",
    "roberta",
]


def split(tokens: batches.Tokens) -> tuple[list[list[int]], list[list[int]]]:
    """Ids and types, a list per example."""
    ids, types = (np.split(array, tokens.offsets[1:-1]) for array in (tokens.flat, tokens.types))
    return [part.tolist() for part in ids], [part.tolist() for part in types]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_seq_len", [7, 8, 24])
@pytest.mark.parametrize("text_b", [TEXT_B, None], ids=["pairs", "singles"])
def test_tokens_are_those_of_the_tokenizers_own_encoding(
    kind: str, max_seq_len: int, text_b: list[str] | None, tokenizers: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers[kind]
    monkeypatch.setattr(batches, "CHUNK", 3)
    tokens = batches.tokenize(tokenizer, pl.Series(TEXT_A), pl.Series(text_b) if text_b else None, max_seq_len)
    with environment.quiet():  # it warns of every pair it truncates
        own = tokenizer(TEXT_A, text_b, max_length=max_seq_len, truncation="longest_first", return_token_type_ids=True)
        whole = tokenizer(TEXT_A, text_b)
    assert (own["input_ids"], own["token_type_ids"]) == split(tokens)
    assert sum(len(ids) > max_seq_len for ids in whole["input_ids"]) == tokens.truncated
    arrays = (tokens.flat, tokens.types, tokens.offsets)
    assert ["int32", "int8", "int64"] == [str(array.dtype) for array in arrays]


odd_texts = st.text(
    st.sampled_from("aAbé\u0301的北\u9ffd鿿𠀀\uf900 \u3000\t\n\u2028\x00\x1c\x85\u200f[]!ſİΣßﬀ🙂\u200d한カ")
    | st.characters(codec="utf-8")
)


@settings(max_examples=60)
@given(parts=st.lists(odd_texts | st.sampled_from(["[CLS]", "[SEP]", "[sep]", "ab 的", "a" * 150]), max_size=6))
@pytest.mark.parametrize("kind", ["ernie", "bert", "cased bert", "bert with an added token"])
def test_a_text_in_pieces_has_the_tokens_of_the_whole(kind: str, tokenizers: dict[str, Any], parts: list[str]) -> None:
    tokenizer, text = tokenizers[kind], "".join(parts)
    whole = tokenizer.convert_tokens_to_ids(tokenizer.tokenize(text))
    expected = tokenizer.build_inputs_with_special_tokens(whole)
    assert expected == batches.tokenize(tokenizer, pl.Series([text]), None, 10_000).flat.tolist()


def test_every_character_between_others_has_the_tokens_of_the_whole(tokenizers: dict[str, Any]) -> None:
    from paddlenlp.transformers import BasicTokenizer

    whole = BasicTokenizer(do_lower_case=True).tokenize
    for code in (*range(0x20, 0x600), *range(0x600, 0xD800, 17), *range(0xE000, 0x110000, 499)):
        text = f"a{chr(code)}b的{chr(code)}的{chr(code)} {chr(code)}c"
        assert whole(text) == [word for piece in batches.pieces(text) for word in whole(piece)], hex(code)


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> Callable[[Any], list[str]]:
    """From a tokenizer to what it will have read."""

    def watch(tokenizer: Any) -> list[str]:
        read: list[str] = []
        tokenize = tokenizer.tokenize

        def reading(text: str) -> Any:
            read.append(text)
            return tokenize(text)

        monkeypatch.setattr(tokenizer, "tokenize", reading)
        return read

    return watch


def test_a_text_that_comes_again_is_read_once(
    tokenizers: dict[str, Any], reads: Callable[[Any], list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    tokenizer = tokenizers["roberta"]
    read = reads(tokenizer)
    text_a, text_b = pl.Series(["a", "b", "a"]), pl.Series(["b", "c", "c"])
    tokens = batches.tokenize(tokenizer, text_a, text_b, 24)
    monkeypatch.undo()
    assert ["a", "b", "c"] == read
    assert [[tokenizer(a, b)["input_ids"]] for a, b in zip(text_a, text_b, strict=True)] == [
        [ids] for ids in split(tokens)[0]
    ]


def test_of_a_very_long_text_no_more_is_read_than_may_be_kept(
    tokenizers: dict[str, Any], reads: Callable[[Any], list[str]]
) -> None:
    texts = pl.Series(["长" * 1_000_000, "text " * 1_000_000, "x" * 1_000_000])
    read = reads(tokenizers["ernie"])
    tokens = batches.tokenize(tokenizers["ernie"], texts, None, 24)
    assert 0 < sum(map(len, read)) <= 3 * 24 * batches.CHARACTERS_PER_TOKEN
    assert [24, 24, 3] == tokens.lengths.tolist()


@pytest.mark.parametrize(
    ("lengths", "kept"),
    [((3, 3), (3, 3)), ((9, 2), (5, 2)), ((2, 9), (2, 5)), ((9, 9), (4, 3)), ((5, 4), (4, 3)), ((0, 9), (0, 7))],
)
def test_the_longer_text_is_cut(lengths: tuple[int, int], kept: tuple[int, int]) -> None:
    expected = kept if sum(lengths) > 7 else lengths
    assert list(expected) == batches.truncate(np.array(lengths)[:, None], 7)[:, 0].tolist()


def test_a_batch_is_padded_to_its_longest() -> None:
    tokens = batches.Tokens(np.arange(1, 7, dtype=np.int32), np.ones(6, np.int8), np.array([0, 3, 4, 6]), 0)
    ids, types = tokens.pad(np.array([2, 0, 1]), 0, 9)
    assert [[5, 6, 0], [1, 2, 3], [4, 0, 0]] == ids.tolist()
    assert [[1, 1, 9], [1, 1, 1], [1, 9, 9]] == types.tolist()
    assert ["int64", "int64"] == [str(ids.dtype), str(types.dtype)]


def test_evaluation_batches_hold_every_example_within_the_budget() -> None:
    lengths = np.array([3, 9, 4, 1, 4, 30, 2])
    parts = [part.tolist() for part in batches.evaluation_batches(lengths, 12)]
    assert [[5], [1], [2, 4, 0], [6, 3]] == parts


# ------------------------------------------------------------------------------------- the tiny model's words


def test_every_training_text_can_be_written_in_the_tiny_vocabulary() -> None:
    from datamap_cli.train.model import build

    texts = pl.Series(["Straße CAFÉ 東京タワー 한국어", "שלום \u200fعربى", "🙂👩‍👩‍👧 a\x00b", "only-once unrepeatable"])
    tokenizer = build(ModelConfig(name="tiny", max_seq_len=64), 2, [texts]).tokenizer
    assert "[UNK]" not in [token for text in texts for token in tokenizer.tokenize(text)]


def test_the_tiny_vocabulary_does_not_depend_on_the_order_of_texts() -> None:
    from datamap_cli.train.model import vocabulary

    expected = [*SPECIAL, "##b", "a", "中", "c", "ab"]
    assert expected == vocabulary([pl.Series(["ab 中", "AB", "中 c"])])
    assert expected == vocabulary([pl.Series(["AB", "中 c"]), pl.Series(["ab 中"])])


@settings(max_examples=60)
@given(texts=st.lists(odd_texts, max_size=6))
def test_the_tiny_vocabulary_ranks_the_words_of_whole_texts(texts: list[str]) -> None:
    from paddlenlp.transformers import BasicTokenizer

    from datamap_cli.train.model import vocabulary

    words = Counter(word for text in texts for word in BasicTokenizer(do_lower_case=True).tokenize(text))
    frequent = sorted((word for word in words if words[word] > 1), key=lambda word: (-words[word], word))
    tokens = vocabulary([pl.Series(texts, dtype=pl.String)])
    characters = {character for word in words for character in (word[0], *(f"##{rest}" for rest in word[1:]))}
    assert SPECIAL == tokens[:5]
    assert characters == set(tokens[5 : 5 + len(characters)])
    assert [word for word in frequent if word not in characters] == tokens[5 + len(characters) :]
