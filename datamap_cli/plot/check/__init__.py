"""The report of a check as one HTML file, to send to a colleague: everything in it, nothing fetched or sent."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from datamap_cli.plot import look

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)
_HERE = Path(__file__).parent


def report(content: Mapping[str, Any], title: str) -> str:
    """A whole HTML document of what check.json holds; its texts reach the page as JSON and are never read as HTML."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    values = {
        "policy": _POLICY,
        "title": html.escape(title),
        "font": look.FONT,
        "css": (_HERE / "report.css").read_text(encoding="utf-8"),
        "script": (_HERE / "report.js").read_text(encoding="utf-8"),
        # JSON in which HTML finds no tag and JavaScript no line end
        "content": text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029"),
    }
    return re.sub(r"\{(\w+)\}", lambda found: values[found[1]], (_HERE / "report.html").read_text(encoding="utf-8"))
