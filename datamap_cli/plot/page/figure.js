// What is chosen in the menus → the figure: as `datamap plot` drew it where nothing is chosen, else drawn anew from
// the points. The traces of the drawn figure are the patterns: points first, then rings, histograms, legends, bars.

import { numbers } from "./data.js";

const MOST = 7; // categories that eyes tell apart
const RINGS = 2000; // more would hide the map
const LINEAR = 500; // up to so many points, counts stand on a linear axis
const ROOM = 0.028; // share of an axis left free at either end
const [TITLE, ROW, GAP] = [22, 19, 14]; // heights in a legend, pixels

/** The drawn figure, its numbers unpacked; `starts` are the positions of the first points of the traces. */
export function openFigure(figure, about, webgl) {
  const traces = figure.data.slice(0, about.traces);
  const starts = [];
  let points = 0;
  for (const trace of figure.data) if (trace.type === "scattergl" && !webgl) trace.type = "scatter";
  for (const trace of traces) {
    trace.x = numbers(trace.x);
    trace.y = numbers(trace.y);
    // what is picked keeps its colour, the others are grey below it
    trace.selected = { marker: { opacity: 0.9 } };
    trace.unselected = { marker: { color: about.look.pale, opacity: 0.5 } };
    for (const key of ["size", "color"]) if (trace.marker[key].bdata) trace.marker[key] = numbers(trace.marker[key]);
    starts.push(points);
    points += trace.x.length;
  }
  const entries = figure.data.filter((trace) => trace.legend === "legend");
  const bars = figure.data.find((trace) => trace.xaxis === "x4");
  return { ...figure, traces, starts, entries, bars, drawn: { x: joined(traces, "x", points), y: joined(traces, "y", points) } };
}

function joined(traces, axis, points) {
  const values = new Float64Array(points);
  let start = 0;
  for (const trace of traces) {
    values.set(trace[axis], start);
    start += trace[axis].length;
  }
  return values;
}

/** Whether the view is the map as it was drawn. */
export function isPlain(view, about) {
  return view.x === about.axes.x && view.y === about.axes.y && !view.colour && view.filters.size === 0;
}

/** Positions, rising, of the points that have values on both axes and pass the filters. */
export function shownPoints(view, map) {
  const tests = [view.x, view.y].map((name) => [name, [-Infinity, Infinity]]).concat([...view.filters]);
  const checks = tests.map(([name, [low, high]]) => [map.signals.get(name).values, low, high]);
  const positions = new Uint32Array(map.about.points);
  let count = 0;
  for (let i = 0; i < positions.length; i++)
    if (checks.every(([values, low, high]) => values[i] >= low && values[i] <= high)) positions[count++] = i;
  return positions.subarray(0, count);
}

/** Data and layout for Plotly, and per trace of points the positions of its points. */
export function figureOf(view, map, positions) {
  const { about, figure, signals } = map;
  if (isPlain(view, about)) {
    const places = figure.traces.map(({ x }, k) => new Uint32Array(x.length).map((_, i) => figure.starts[k] + i));
    return { data: named(figure.data), layout: figure.layout, places };
  }
  const axes = { x: signals.get(view.x), y: signals.get(view.y) };
  const scheme = view.colour ? bySignal(signals.get(view.colour), map) : asDrawn(map);
  const places = split(positions, scheme.partOf, scheme.parts.length);
  const counts = scheme.groups.map((_, g) =>
    scheme.parts.reduce((sum, part, k) => sum + (part.group === g ? places[k].length : 0), 0),
  );
  const order = places.map((_, k) => k);
  if (view.colour) order.sort((a, b) => places[b].length - places[a].length); // the rare over the common
  const ranges = { x: rangeOf(view, "x", map), y: rangeOf(view, "y", map) };
  const histograms = ["x", "y"].map((axis) => histogram(axis, axes[axis], ranges[axis], places, scheme, about.look));
  const legend = [...groupEntries(scheme, counts, positions.length, about.look), ...ringEntries(figure)];
  return {
    data: named([
      ...order.map((k) => pointTrace(scheme.parts[k], scheme, places[k], axes)),
      ...rings(places, scheme, axes, map),
      ...histograms.flatMap(({ traces }) => traces),
      ...legend,
      ...barTraces(scheme, counts, figure),
    ]),
    layout: layoutOf(view, map, { axes, ranges, scheme, histograms, counts, shown: positions.length }),
    places: order.map((k) => places[k]),
  };
}

/** Copies with names by which Plotly knows them again: what is hidden in the legend stays hidden in the next view. */
function named(traces) {
  const seen = new Map();
  return traces.map((trace) => {
    const kind = [trace.xaxis, trace.legend, trace.meta?.s_label, trace.legendgroup].join("-").replaceAll(" ", "-");
    seen.set(kind, (seen.get(kind) ?? 0) + 1);
    return { ...trace, uid: `${kind}-${seen.get(kind)}` };
  });
}

// ---------------------------------------------------------------------------------------------- schemes
//
// A scheme tells points apart: `parts` become traces of points, `groups` are what the legend names and the histograms
// count; `partOf` is the part of each position.

/** The number of a trace's category: hard to easy, as the bars stand. */
function categoryOf(trace) {
  return Number(trace.legendgroup.split(" ")[1]);
}

/** The categories of the drawn map. */
function asDrawn({ about, figure }) {
  const entries = figure.entries.toSorted((a, b) => categoryOf(a) - categoryOf(b));
  const groups = entries.map((entry, g) => ({
    key: entry.legendgroup,
    name: withoutCount(entry.name),
    short: figure.bars?.x[g],
    colour: entry.marker.color,
    symbol: entry.marker.symbol,
    rank: entry.legendrank,
  }));
  const parts = figure.traces.map((trace, k) => ({
    group: groups.findIndex(({ key }) => key === trace.legendgroup),
    trace,
    start: figure.starts[k],
  }));
  const partOf = new Uint8Array(about.points);
  parts.forEach(({ trace, start }, k) => partOf.fill(k, start, start + trace.x.length));
  return { groups, parts, partOf, title: figure.layout.legend?.title.text ?? "", coloured: !figure.layout.coloraxis };
}

/** A category per value where a signal has few or names classes, else one on a colour scale. */
function bySignal(signal, { about, figure }) {
  const { look, words } = about;
  const counts = countsOf(signal);
  const title = `<b>${signal.title}</b>`;
  const largest = figure.traces.reduce((a, b) => (a.x.length >= b.x.length ? a : b));
  const circle = plainSize(largest) / (look.scale[largest.marker.symbol] ?? 1);
  const marker = (colour, symbol) => ({ ...largest.marker, color: colour, symbol, size: circle * (look.scale[symbol] ?? 1) });
  const part = (colour, symbol, group) => ({ group, trace: { ...largest, marker: marker(colour, symbol) } });
  if (!counts) {
    const groups = [{ key: "all", name: "", short: "", colour: look.muted, symbol: "circle" }];
    return { groups, parts: [part(null, "circle", 0)], partOf: new Uint8Array(about.points), title, scale: signal };
  }
  const values = [...counts.keys()].filter((value) => !Number.isNaN(value));
  values.sort((a, b) => counts.get(b) - counts.get(a));
  const kept = values.slice(0, values.length > MOST ? MOST - 1 : MOST).sort((a, b) => a - b);
  const colours = signal.classes ? look.nominal : look.ordered[kept.length];
  const names = kept.map((value) => nameOf(signal, value, about));
  const groups = names.map((name, g) => ({ name, colour: colours[g], symbol: look.symbols[g] }));
  const others = values.length - kept.length;
  if (others > 0) groups.push({ name: words.others.replace("{count}", others.toLocaleString("en")), short: "…", colour: look.no_value, symbol: "star-triangle-up" });
  if (counts.has(NaN)) groups.push({ name: words.no_value, colour: look.no_value, symbol: "star-triangle-down" });
  const index = new Map(kept.map((value, g) => [value, g]));
  const rest = (value) => (Number.isNaN(value) ? groups.length - 1 : kept.length);
  return {
    groups: groups.map((group, g) => ({ short: group.name, ...group, key: `value ${g}`, rank: g })),
    parts: groups.map((group, g) => part(group.colour, group.symbol, g)),
    partOf: Uint8Array.from(signal.values, (value) => index.get(value) ?? rest(value)),
    title,
    coloured: true,
  };
}

function countsOf(signal) {
  const counts = new Map();
  for (const value of signal.values) {
    counts.set(value, (counts.get(value) ?? 0) + 1);
    if (counts.size > MOST + 1 && !signal.classes) return null;
  }
  return signal.classes || [...counts.keys()].filter((value) => !Number.isNaN(value)).length <= MOST ? counts : null;
}

function nameOf(signal, value, { class_titles: titles }) {
  return signal.classes ? (titles[value] ?? String(value)) : signal.write(value);
}

/** The positions of each part. */
function split(positions, partOf, parts) {
  const counts = new Uint32Array(parts);
  for (const i of positions) counts[partOf[i]]++;
  const places = Array.from(counts, (count) => new Uint32Array(count));
  counts.fill(0);
  for (const i of positions) places[partOf[i]][counts[partOf[i]]++] = i;
  return places;
}

// ----------------------------------------------------------------------------------------------- traces

function at(places, { values }) {
  return Float64Array.from(places, (i) => values[i]);
}

function pointTrace({ trace, start, group }, scheme, places, axes) {
  const own = (value) => (ArrayBuffer.isView(value) ? Float32Array.from(places, (i) => value[i - start]) : value);
  const { key } = scheme.groups[group];
  const marker = { ...trace.marker, size: own(trace.marker.size) };
  marker.color = scheme.scale ? Float32Array.from(places, (i) => scheme.scale.values[i]) : own(trace.marker.color);
  if (scheme.scale) marker.coloraxis = "coloraxis";
  else if (start === undefined) delete marker.coloraxis;
  return { ...trace, x: at(places, axes.x), y: at(places, axes.y), marker, legendgroup: key };
}

function plainSize({ marker }) {
  return ArrayBuffer.isView(marker.size) ? Math.max(...marker.size.subarray(0, 1000)) : marker.size;
}

/** Rings around the marked points, where they are too many around some of them. */
function rings(places, scheme, axes, { figure, signals }) {
  const marks = signals.get("s_label")?.values;
  const patterns = new Map(figure.data.filter((trace) => trace.meta?.s_label).map((trace) => [trace.meta.s_label, trace]));
  return [...patterns].flatMap(([mark, pattern]) => {
    const marked = places.map((positions) => positions.filter((i) => marks[i] === mark));
    const every = Math.ceil(marked.reduce((sum, positions) => sum + positions.length, 0) / RINGS);
    return marked.map((positions, k) => {
      const ringed = positions.filter((_, n) => n % every === 0);
      const { key } = scheme.groups[scheme.parts[k].group];
      return { ...pattern, x: at(ringed, axes.x), y: at(ringed, axes.y), legendgroup: key };
    });
  });
}

function withoutCount(name) {
  return name.replace(/<span[^]*$/, "");
}

function legendEntry(name, { colour, symbol, key, rank }) {
  const marker = { color: colour, symbol, size: 10 };
  const nothing = { x: [null], y: [null], mode: "markers", type: "scatter", hoverinfo: "skip", showlegend: true };
  return { ...nothing, name, marker, legend: "legend", legendgroup: key, legendrank: rank };
}

function groupEntries({ groups, scale }, counts, total, look) {
  if (scale) return [];
  return groups.map((group, g) => {
    const share = `${((100 * counts[g]) / Math.max(total, 1)).toFixed(1)}%`;
    const count = `   ${counts[g].toLocaleString("en")} (${share})`;
    return legendEntry(`${group.name}<span style='color:${look.muted}'>${count}</span>`, group);
  });
}

/** The legend of the rings, without the numbers: those are of the drawn map. */
function ringEntries(figure) {
  const drawn = figure.data.filter((trace) => trace.legend && String(trace.marker.symbol).endsWith("-open"));
  return drawn.map((trace) => ({ ...trace, name: withoutCount(trace.name), legend: "legend2" }));
}

function barTraces({ groups, coloured, scale }, counts, figure) {
  if (scale || !figure.bars) return [];
  const colours = coloured ? groups.map(({ colour }) => colour) : figure.bars.marker.color;
  // places, not names: two classes may be called the same
  return [{ ...figure.bars, x: groups.map((_, g) => g), y: counts, marker: { ...figure.bars.marker, color: colours } }];
}

// ------------------------------------------------------------------------------------------- histograms

/** Counts of the shown points along an axis: bars by group, or where they are many lines over the bars of all. */
function histogram(axis, signal, [start, end], places, scheme, look) {
  const shown = places.reduce((sum, positions) => sum + positions.length, 0);
  const bins = shown <= LINEAR ? 25 : shown <= 5000 ? 40 : 64;
  const [low, high] = [start + ROOM * (end - start), end - ROOM * (end - start)];
  const width = (high - low) / bins;
  const table = scheme.groups.map(() => new Uint32Array(bins));
  places.forEach((positions, k) => {
    const counts = table[scheme.parts[k].group];
    for (const i of positions) counts[Math.min(Math.max(Math.floor((signal.values[i] - low) / width), 0), bins - 1)]++;
  });
  const all = Array.from({ length: bins }, (_, bin) => table.reduce((sum, counts) => sum + counts[bin], 0));
  const [along, across] = axis === "x" ? ["x", "y"] : ["y", "x"];
  const where = axis === "x" ? { xaxis: "x2", yaxis: "y2", orientation: "v" } : { xaxis: "x3", yaxis: "y3", orientation: "h" };
  const bar = (counts, colour, more) => ({
    ...where,
    ...more,
    type: "bar",
    [along]: all.map((_, bin) => low + (bin + 0.5) * width),
    [across]: Array.from(counts),
    width,
    marker: { color: colour, line: { width: 0 } },
    showlegend: false,
    hovertemplate: `%{${along}:.3~f}: %{${across}:,}<extra></extra>`,
  });
  const stairs = (counts, { colour, key }) => ({
    xaxis: where.xaxis,
    yaxis: where.yaxis,
    type: "scatter",
    mode: "lines",
    [along]: all.flatMap((_, bin) => [low + bin * width, low + (bin + 1) * width]),
    [across]: Array.from(counts).flatMap((count) => [count || null, count || null]), // log 0 is nowhere
    line: { color: colour, width: 1.5, simplify: false },
    legendgroup: key,
    showlegend: false,
    hoverinfo: "skip",
  });
  const byGroup = scheme.coloured && scheme.groups.length > 1;
  const traces =
    shown <= LINEAR && byGroup
      ? table.map((counts, g) => bar(counts, scheme.groups[g].colour, { legendgroup: scheme.groups[g].key }))
      : [bar(all, look.pale), ...(byGroup ? table.map((counts, g) => stairs(counts, scheme.groups[g])) : [])];
  return { traces, highest: Math.max(...all) };
}

// ----------------------------------------------------------------------------------------------- layout

function layoutOf(view, { about, figure }, { axes, ranges, scheme, histograms, counts, shown }) {
  const drawn = figure.layout;
  const unmoved = view.x === about.axes.x && view.y === about.axes.y;
  const count = (pattern, highest) => ({ ...pattern, ...countAxis(highest, shown) });
  return {
    ...drawn,
    images: [],
    annotations: unmoved ? drawn.annotations : [],
    xaxis: { ...drawn.xaxis, range: ranges.x, title: { ...drawn.xaxis.title, text: axes.x.title }, dtick: tickOf(axes.x) },
    yaxis: { ...drawn.yaxis, range: ranges.y, title: { ...drawn.yaxis.title, text: axes.y.title }, dtick: tickOf(axes.y) },
    yaxis2: count(drawn.yaxis2, histograms[0].highest),
    xaxis3: count(drawn.xaxis3, histograms[1].highest),
    xaxis4: {
      ...drawn.xaxis4,
      type: "linear",
      range: [-0.6, scheme.groups.length - 0.4],
      tickvals: scheme.groups.map((_, g) => g),
      ticktext: scheme.groups.map(({ short }) => clipped(short)),
      visible: !scheme.scale,
    },
    yaxis4: { ...count(drawn.yaxis4, Math.max(...counts)), visible: !scheme.scale },
    legend: { ...drawn.legend, title: { ...drawn.legend?.title, text: scheme.title } },
    ...below(drawn, scheme, about.frame),
    ...(scheme.scale ? { coloraxis: colourAxis(scheme, drawn, about.look) } : {}),
  };
}

/** The legend of the rings, below that of the groups or the colour bar. */
function below(drawn, scheme, frame) {
  const { legend, legend2 } = drawn;
  if (!legend2) return {};
  const [, height] = inside(drawn, frame);
  const pixels = scheme.scale ? 0.36 * height : TITLE + ROW * scheme.groups.length + GAP;
  return { legend2: { ...(drawn.legend3 ?? legend2), y: legend.y - pixels / height }, legend3: undefined };
}

function clipped(text) {
  return text && text.length > 8 && !text.includes("&") ? `${text.slice(0, 7)}…` : text;
}

function countAxis(highest, shown) {
  if (shown <= LINEAR) return { type: "linear", range: [0, 1.08 * Math.max(highest, 1)], dtick: undefined, exponentformat: "none" };
  const range = [-0.15, Math.log10(Math.max(highest, 1)) + 0.15];
  return { type: "log", range, dtick: shown <= 2000 ? 1 : 2, exponentformat: "power" };
}

function rangeOf(view, axis, { about, figure, signals }) {
  if (view[axis] === about.axes[axis]) return figure.layout[`${axis}axis`].range;
  let [low, high] = [Infinity, -Infinity];
  for (const value of signals.get(view[axis]).values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  if (low > 0 && low < 0.5 * high) low = 0;
  if (!(high > low)) [low, high] = [Math.min(0, 2 * low || 0), Math.max(0, 2 * low || 1)];
  const room = ((high - low) * ROOM) / (1 - 2 * ROOM);
  return [low - room, high + room];
}

/** A tick at each number where there are a few whole ones, else Plotly's choice. */
function tickOf({ form, values }) {
  if (form !== "values" || !Number.isInteger(values[0])) return undefined;
  const whole = values.every((value) => Number.isNaN(value) || Number.isInteger(value));
  return whole && values.every((value) => !(Math.abs(value - values[0]) > 12)) ? 1 : undefined;
}

/** The scale over the middle 98 hundredths: a few values far out would take all the colours. */
function colourAxis({ scale, title }, drawn, look) {
  const known = scale.values.filter((value) => !Number.isNaN(value)).sort();
  const [low, high] = [0.01, 0.99].map((share) => known[Math.round(share * (known.length - 1))]);
  const ticks = Array.from({ length: 5 }, (_, k) => low + (k * (high - low)) / 4);
  const texts = ticks.map((tick) => String(Number(tick.toPrecision(3))));
  if (known[0] < low) texts[0] = `≤ ${texts[0]}`;
  if (known.at(-1) > high) texts[4] = `≥ ${texts[4]}`;
  return {
    cmin: low,
    cmax: high > low ? high : low + 1,
    colorscale: look.continuous,
    colorbar: {
      title: { text: title, font: drawn.legend?.title.font, side: "top" },
      tickvals: ticks,
      ticktext: texts,
      tickfont: { size: 11.5 },
      ticks: "outside",
      ticklen: 4,
      tickcolor: look.line,
      x: drawn.legend.x,
      xanchor: "left",
      y: drawn.legend.y,
      yanchor: "top",
      len: 0.42,
      thickness: 14,
      outlinewidth: 0,
    },
  };
}

function inside({ margin }, { width, height }) {
  return [width - margin.l - margin.r, height - margin.t - margin.b];
}

/** The layout for the room there is: the columns on the right keep their width, the map takes the rest. As long as
 * `zoomed` and `hidden` stay the same, so do the user's zoom and what is hidden in the legend. */
export function fitted(layout, room, frame, { zoomed, hidden }) {
  const margin = { ...layout.margin, t: 12 };
  const before = inside(layout, frame);
  const [width, height] = [room.clientWidth, room.clientHeight];
  const inner = inside({ margin }, { width, height }).map((pixels) => Math.max(pixels, 50));
  const x = (share) => (share === 0 ? 0 : Math.max(1 - ((1 - share) * before[0]) / inner[0], 0.05));
  const top = layout.yaxis.domain[1];
  const y = (share) => top - ((top - share) * before[1]) / inner[1];
  const result = { ...layout, width, height, margin, title: undefined, uirevision: zoomed };
  for (const axis of ["xaxis", "xaxis2", "xaxis3", "xaxis4"])
    result[axis] = { ...layout[axis], domain: layout[axis].domain.map(x) };
  for (const key of Object.keys(layout).filter((name) => /^legend\d*$/.test(name) && layout[name]))
    result[key] = { ...layout[key], x: x(layout[key].x), y: y(layout[key].y), uirevision: hidden };
  if (layout.coloraxis) {
    const bar = layout.coloraxis.colorbar;
    result.coloraxis = { ...layout.coloraxis, colorbar: { ...bar, x: x(bar.x) } };
  }
  return result;
}
