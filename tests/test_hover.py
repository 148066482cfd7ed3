"""Texts of others on the figure: made harmless, cut to the room there is."""

from __future__ import annotations

import pytest

from datamap_cli.plot import hover


@pytest.mark.parametrize(
    ("foreign", "shown"),
    [
        ("<b>bold</b>", "&lt;b&gt;bold&lt;/b&gt;"),
        ("</script>", "&lt;/script&gt;"),
        ("&lt;", "&amp;lt;"),
        ("%{x}", "&#37;{x}"),
        ("a\tb\nc\rd", "a⇥b↵c␍d"),
        ("\x00\x1b\x7f\x85", "␀␛\ufffd\ufffd"),
        ("a\u2028b\u2029c", "a↵b↵c"),
        ("\u202eabc\u2066", "\ufffdabc\ufffd"),
        ("\ud800", "\ufffd"),
        ("\"quoted\" 'too'", "\"quoted\" 'too'"),
        ("👩\u200d🔬 \u200fשלום", "👩\u200d🔬 \u200fשלום"),
        ("plain 中文", "plain 中文"),
    ],
)
def test_foreign_text_is_shown_as_it_stands(foreign: str, shown: str) -> None:
    assert shown == hover.escape(foreign)


def test_a_name_has_forty_columns() -> None:
    assert 19 * "数" + "…" == hover.cut(21 * "数")
    assert 20 * "数" == hover.cut(20 * "数")
