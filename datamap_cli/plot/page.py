"""The interactive map as one HTML file: everything in it, nothing fetched."""

from __future__ import annotations

import html
import json

import plotly.graph_objects as go
from plotly.offline import get_plotlyjs
from plotly.utils import PlotlyJSONEncoder

from datamap_cli.plot import look
from datamap_cli.plot.figure import DataMap
from datamap_cli.plot.hover import visible

# no source at all but the page itself: a text that slipped through could still reach nothing;
# unsafe-eval: Plotly compiles its WebGL traces with Function()
_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:;"
    " connect-src 'none'; base-uri 'none'; form-action 'none'"
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
html, body {{ margin: 0; height: 100%; overflow: hidden; background: white; font-family: {font}; }}
#map {{ width: 100vw; height: 100vh; }}
</style>
</head>
<body>
<div id="map"></div>
<noscript>This map is drawn by JavaScript, which is switched off.</noscript>
<script>{plotly}</script>
<script type="application/json" id="figure">{figure}</script>
<script>
const figure = JSON.parse(document.getElementById("figure").textContent);
if (!document.createElement("canvas").getContext("webgl"))
  for (const trace of figure.data) if (trace.type === "scattergl") trace.type = "scatter";
Plotly.newPlot("map", figure.data, figure.layout, {{
  displaylogo: false, responsive: true, scrollZoom: true, showSendToCloud: false,
  modeBarButtonsToRemove: ["autoScale2d"],
  toImageButtonOptions: {{ format: "png", filename: "datamap", scale: {scale} }},
}});
</script>
</body>
</html>
"""


def page(data_map: DataMap) -> str:
    """A whole HTML document that draws the map, in any browser, from a file, without a network."""
    return _PAGE.format(
        policy=_POLICY,
        title=html.escape(visible(data_map.title)),
        font=look.FONT,
        plotly=get_plotlyjs(),
        figure=_in_script(data_map.figure),
        scale=look.SCALE,
    )


def _in_script(figure: go.Figure) -> str:
    """The figure as JSON in which HTML finds no tag and JavaScript no line end."""
    # Plotly's own to_json escapes whatever is not ASCII: twice the bytes for Chinese
    text = json.dumps(
        figure.to_plotly_json(),
        default=PlotlyJSONEncoder().default,
        ensure_ascii=False,
        allow_nan=False,
        separators=(",", ":"),
    )
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
