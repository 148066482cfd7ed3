"""Texts of one set that stand in another too, compared folded: what is measured on them says nothing new."""

from __future__ import annotations

import polars as pl


def known(examples: pl.DataFrame, others: pl.DataFrame) -> pl.Series:
    """Whether the text or pair of each example, (N,), is among `others`, whatever the label.

    Folded: Unicode's compatibility forms (NFKC), small letters, single blanks, none at the ends; a pair's texts in
    either order. Both frames have text_a and text_b (null: single texts).
    """
    seen = _folded(others).unique().with_columns(seen=True)
    return (
        _folded(examples).join(seen, on=["first", "second"], how="left", maintain_order="left")["seen"].fill_null(False)
    )


def _folded(examples: pl.DataFrame) -> pl.DataFrame:
    a, b = (_fold(pl.col(name)) for name in ("text_a", "text_b"))
    if examples["text_b"].null_count() == examples.height:
        return examples.select(first=a, second=b)
    return examples.select(first=pl.min_horizontal(a, b), second=pl.max_horizontal(a, b))


def _fold(texts: pl.Expr) -> pl.Expr:
    folded = texts.cast(pl.String).fill_null("").str.normalize("NFKC").str.to_lowercase()
    return folded.str.replace_all(r"\s+", " ").str.strip_chars()
