// What is chosen in the menus → the figure: as `datamap plot` drew it where nothing is chosen, else drawn anew from
// the points. Nothing is decided here: how a signal looks and all numbers are Python's (plot/encoding.py), carried in
// `about`. The traces of the drawn figure are the patterns: points first, then layers, histograms, legends, bars.

import { numbers } from "./data.js";

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
  const group = (k) => scheme.parts[k].group;
  // the rare over the common
  const order = places.map((_, k) => k).sort((a, b) => counts[group(b)] - counts[group(a)] || group(b) - group(a) || a - b);
  const ranges = { x: rangeOf(view, "x", map), y: rangeOf(view, "y", map) };
  const histograms = ["x", "y"].map((axis) => histogram(axis, axes[axis], ranges[axis], places, scheme, about));
  const legend = groupEntries(scheme, counts, places, about);
  return {
    data: named([
      ...order.map((k) => pointTrace(scheme.parts[k], scheme, places[k], axes, about)),
      ...rings(order, places, scheme, { axes, ranges }, map),
      ...(unmoved(view, about) ? layers(figure) : []),
      ...histograms.flatMap(({ traces }) => traces),
      ...legend,
      ...ringEntries(figure),
      ...barTraces(scheme, counts, figure),
    ]),
    layout: layoutOf(view, map, { axes, ranges, scheme, histograms, counts, legend, shown: positions.length }),
    places: order.map((k) => places[k]),
  };
}

function unmoved(view, about) {
  return view.x === about.axes.x && view.y === about.axes.y;
}

/** What else lies on the map, whatever it is; the rings go with the points. */
function layers({ data }) {
  return data.filter(({ meta }) => meta?.layer && !meta.s_label);
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

/** The categories of a signal, or its colour scale, as they were decided. */
function bySignal({ values, legend, scheme, scale }, { about, figure }) {
  const { look, marks } = about;
  const [pattern] = figure.traces;
  const size = (symbol) => marks.size * (look.scale[symbol] ?? 1);
  const part = (group, color, symbol) => ({ group, trace: { ...pattern, marker: { ...pattern?.marker, color, symbol, size: size(symbol) } } });
  const title = `<b>${legend}</b>`;
  if (scale) {
    const groups = [{ key: "all", colour: look.muted, symbol: "circle" }];
    const parts = [part(0, look.no_value, "circle"), part(0, null, "circle")];
    return { groups, parts, partOf: Uint8Array.from(values, (value) => !Number.isNaN(value)), title, scale, values };
  }
  const groups = scheme.categories.map((category, g) => ({ ...category, key: `value ${g}`, rank: scheme.listed.indexOf(g) }));
  return {
    groups,
    parts: groups.map(({ colour, symbol }, g) => part(g, colour, symbol)),
    partOf: Uint8Array.from(values, categoryIn(scheme)),
    title,
    coloured: true,
  };
}

/** Which category of the scheme a value is in. */
export function categoryIn({ values, others, valueless }) {
  const index = new Map(values.map((value, g) => [value, g]));
  return (value) => index.get(value) ?? (Number.isNaN(value) ? valueless : others);
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

function pointTrace({ trace, start, group }, scheme, places, axes, { marks }) {
  const own = (value) => (ArrayBuffer.isView(value) ? Float32Array.from(places, (i) => value[i - start]) : value);
  const { key } = scheme.groups[group];
  const marker = { ...trace.marker, size: own(trace.marker.size) };
  if (scheme.scale && marker.color === null) {
    marker.color = Float32Array.from(places, (i) => scheme.values[i]);
    marker.coloraxis = "coloraxis";
  } else {
    marker.color = own(marker.color);
    if (start === undefined) delete marker.coloraxis;
  }
  if (start === undefined) {
    marker.opacity = fallen(marks.opacity, places.length);
    marker.line = { ...marker.line, width: places.length < marks.outlined ? marks.outline : 0 };
  }
  return { ...trace, x: at(places, axes.x), y: at(places, axes.y), marker, legendgroup: key };
}

/** What begins at `one`, loses `loss` at each ten times as many, and stays within bounds. */
export function fallen([one, loss, least, most], number) {
  return Math.min(Math.max(one - loss * Math.log10(Math.max(number, 1)), least), most);
}

/** Rings around the marked points, where they are too many around some of them. */
function rings(order, places, scheme, { axes, ranges }, { about, figure, signals }) {
  const marks = signals.get("s_label")?.values;
  const patterns = new Map(figure.data.filter((trace) => trace.meta?.s_label).map((trace) => [trace.meta.s_label, trace]));
  if (!marks) return [];
  const marked = places.map((positions) => positions.filter((i) => patterns.has(marks[i])));
  const worn = ringed(Uint32Array.from(marked.flatMap((positions) => [...positions])).sort(), marks, axes, ranges, about.marks.rings);
  return [...patterns].flatMap(([mark, pattern]) =>
    order.map((k) => {
      const own = marked[k].filter((i) => marks[i] === mark && worn.has(i));
      const { key } = scheme.groups[scheme.parts[k].group];
      return { ...pattern, x: at(own, axes.x), y: at(own, axes.y), legendgroup: key };
    }),
  );
}

/** Those of the marked points that wear a ring: all, or where they are many the first ones of a kind in each cell. */
export function ringed(marked, marks, axes, ranges, { most, cells, each }) {
  if (marked.length <= most) return new Set(marked);
  const cell = (i, axis, number) => {
    const [low, high] = ranges[axis];
    return Math.min(Math.max(Math.floor(((axes[axis].values[i] - low) * number) / (high - low)), 0), number - 1);
  };
  const taken = new Map();
  return new Set(
    [...marked].filter((i) => {
      const place = `${marks[i]} ${cell(i, "x", cells[0])} ${cell(i, "y", cells[1])}`;
      taken.set(place, (taken.get(place) ?? 0) + 1);
      return taken.get(place) <= each;
    }),
  );
}

function withoutCount(name) {
  return name.replace(/<span[^]*$/, "");
}

function legendEntry(name, { colour, symbol, key, rank }) {
  const marker = { color: colour, symbol, size: 10 };
  const nothing = { x: [null], y: [null], mode: "markers", type: "scatter", hoverinfo: "skip", showlegend: true };
  return { ...nothing, name, marker, legend: "legend", legendgroup: key, legendrank: rank };
}

function groupEntries({ groups, scale }, counts, places, { look, words }) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  const entry = (name, count, group) => {
    const share = `${((100 * count) / Math.max(total, 1)).toFixed(1)}%`;
    const told = `   ${count.toLocaleString("en")} (${share})`;
    return legendEntry(`${name}<span style='color:${look.muted}'>${told}</span>`, group);
  };
  if (!scale) return groups.map((group, g) => entry(group.name, counts[g], group));
  const [{ length: valueless }] = places; // what a colour scale has no place for
  return valueless ? [entry(words.no_value, valueless, { colour: look.no_value, symbol: "circle" })] : [];
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
function histogram(axis, signal, [start, end], places, scheme, { look, counts: { linear, bins: steps, room } }) {
  const shown = places.reduce((sum, positions) => sum + positions.length, 0);
  const [, bins] = steps.find(([most]) => most === null || shown <= most);
  const [low, high] = [start + room * (end - start), end - room * (end - start)];
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
  const sizes = table.map((counts) => counts.reduce((sum, count) => sum + count, 0));
  const order = sizes.map((_, g) => g).sort((a, b) => sizes[b] - sizes[a] || b - a);
  const bars = () => table.map((counts, g) => bar(counts, scheme.groups[g].colour, { legendgroup: scheme.groups[g].key }));
  const lines = () => order.map((g) => stairs(table[g], scheme.groups[g]));
  const traces = shown <= linear && scheme.coloured ? bars() : [bar(all, look.pale), ...(scheme.coloured ? lines() : [])];
  return { traces, highest: Math.max(...all) };
}

// ----------------------------------------------------------------------------------------------- layout

function layoutOf(view, { about, figure }, { axes, ranges, scheme, histograms, counts, legend, shown }) {
  const drawn = figure.layout;
  const count = (pattern, highest) => ({ ...pattern, ...countAxis(highest, shown, about.counts) });
  return {
    ...drawn,
    images: [],
    annotations: unmoved(view, about) ? drawn.annotations : [],
    xaxis: { ...drawn.xaxis, range: ranges.x, title: { ...drawn.xaxis.title, text: axes.x.title }, dtick: axes.x.tick },
    yaxis: { ...drawn.yaxis, range: ranges.y, title: { ...drawn.yaxis.title, text: axes.y.title }, dtick: axes.y.tick },
    yaxis2: count(drawn.yaxis2, histograms[0].highest),
    xaxis3: count(drawn.xaxis3, histograms[1].highest),
    xaxis4: {
      ...drawn.xaxis4,
      type: "linear",
      range: [-0.6, scheme.groups.length - 0.4],
      tickvals: scheme.groups.map((_, g) => g),
      ticktext: scheme.groups.map(({ short }) => short),
      visible: !scheme.scale,
    },
    yaxis4: { ...count(drawn.yaxis4, Math.max(...counts)), visible: !scheme.scale },
    legend: { ...drawn.legend, title: { ...drawn.legend?.title, text: scheme.title }, ...(scheme.scale ? { itemclick: false, itemdoubleclick: false } : {}) },
    ...below(drawn, legend.length, about),
    ...(scheme.scale ? { coloraxis: colourAxis(scheme, about) } : {}),
  };
}

/** The legend of the rings, below that of so many entries. */
function below({ legend, legend2, legend3, ...drawn }, entries, { frame, legend: { title, entry, gap } }) {
  if (!legend2) return {};
  const pixels = entries && title + entry * entries + gap;
  return { legend2: { ...(legend3 ?? legend2), y: legend.y - pixels / inside(drawn, frame)[1] }, legend3: undefined };
}

function countAxis(highest, shown, { linear, fine, headroom, decades }) {
  const most = Math.max(highest, 1);
  if (shown <= linear) return { type: "linear", range: [0, headroom * most], dtick: undefined, exponentformat: "none" };
  return { type: "log", range: [-decades, Math.log10(most) + decades], dtick: shown <= fine ? 1 : 2, exponentformat: "power" };
}

function rangeOf(view, axis, { about, figure, signals }) {
  return view[axis] === about.axes[axis] ? figure.layout[`${axis}axis`].range : signals.get(view[axis]).axis;
}

function colourAxis({ scale, title }, { look, color_bar: bar }) {
  const { low, high, ticks, texts } = scale;
  const colorbar = { ...bar, title: { ...bar.title, text: title }, tickvals: ticks, ticktext: texts };
  return { cmin: low, cmax: high, colorscale: look.continuous, colorbar };
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
