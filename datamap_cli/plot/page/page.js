// The page: what the user does changes the state; what is shown follows from the state.

import { hoverCard, listRow, pinnedCard } from "./card.js";
import { evidence, example, json, openBlocks, openCourses, openSignals, search } from "./data.js";
import { element, visible } from "./dom.js";
import { figureOf, fitted, isPlain, openFigure, shownPoints } from "./figure.js";
import { openFilters } from "./filters.js";
import { openList } from "./list.js";
import { openSelection, within } from "./selection.js";
import { idLines, save, tableLines } from "./table.js";
import { DRAGS, toolButtons } from "./tools.js";


const $ = (id) => document.getElementById(id);
const about = json("about");
const { words } = about;
const plot = $("map");
const CONFIG = {
  displayModeBar: false,
  showSendToCloud: false,
  showTips: false,
  scrollZoom: true,
  // Plotly paints twice as fine as the screen; among so many points no eye tells, and four times the pixels take time
  plotGlPixelRatio: about.points > 50_000 ? devicePixelRatio : 2,
};
const nobody = new Uint32Array(0);

const state = {
  view: { x: about.axes.x, y: about.axes.y, colour: "", filters: new Map() },
  tool: "zoom",
  picked: null, // positions of the last selection or search; null where there is none
  searching: false,
  turn: 0, // of searches and selections: an older search ends when there is a newer one
  pinned: -1,
  resets: 0,
  sort: about.axes.y,
  falling: false,
};
/** What the page carries, unpacked. */
const map = { about, blocks: openBlocks(about) };
/** What follows from the state: positions shown, those of them picked, in the order of the list, and the traces. */
const now = { shown: nobody, chosen: nobody, figure: null, places: [], colours: [], traceOf: new Uint8Array(about.points) };

function say(word, values) {
  return words[word].replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(about.language) : value;
  });
}

// -------------------------------------------------------------------------------------- state → the map

/** What the view shows: after a change of the menus or the filters. */
function compute() {
  const figure = figureOf(state.view, map, now.shown);
  now.figure = figure;
  now.places = figure.places;
  now.colours = figure.places.map((_, k) => {
    const { color } = figure.data[k].marker;
    return typeof color === "string" ? color : about.look.muted;
  });
  figure.places.forEach((positions, k) => {
    for (const position of positions) now.traceOf[position] = k;
  });
}

/** Draws what the view shows, in the room there is. */
async function draw() {
  const { data, layout } = now.figure;
  const bright = highlighted();
  const traces = data.map((trace, k) => (bright?.[k] ? { ...trace, selectedpoints: bright[k] } : trace));
  const { x, y, colour } = state.view;
  const kept = { zoomed: `${x} ${y} ${state.resets}`, hidden: `${colour} ${state.resets}` };
  const dragmode = state.tool === "pan" ? "pan" : "zoom";
  await Plotly.react(plot, traces, { ...fitted(layout, plot, about.frame, kept), dragmode }, CONFIG);
  place();
}

/** Per trace the numbers of the picked points, which stay bright among the others, of the rings none, of all else
 * undefined; null where nothing is picked. */
function highlighted() {
  if (!state.picked) return null;
  const bright = new Uint8Array(about.points);
  for (const position of state.picked) bright[position] = 1;
  const points = now.places.map((positions) => {
    const numbers = [];
    positions.forEach((position, k) => bright[position] && numbers.push(k));
    return numbers;
  });
  return now.figure.data.map((trace, k) => points[k] ?? (trace.meta?.s_label ? [] : undefined));
}

/** Brightens what is picked. */
function highlight() {
  const bright = highlighted();
  const traces = now.figure.data.flatMap((trace, k) => (k < now.places.length || trace.meta?.s_label ? [k] : []));
  return Plotly.restyle(plot, { selectedpoints: bright ? traces.map((k) => bright[k]) : [null] }, traces);
}

/** Puts the ring of the pinned example on its point, and the outline of the selection around its points. */
function place() {
  selection.place();
  if (state.pinned < 0) {
    $("pin").hidden = true;
    return;
  }
  const [x, y] = [state.view.x, state.view.y].map((name) => map.signals.get(name).values[state.pinned]);
  const { xaxis, yaxis } = plot._fullLayout;
  const [left, top] = [xaxis.d2p(x), yaxis.d2p(y)];
  $("pin").hidden = !(left >= 0 && left <= xaxis._length && top >= 0 && top <= yaxis._length);
  $("pin").style.left = `${xaxis._offset + left}px`;
  $("pin").style.top = `${plot.offsetTop + yaxis._offset + top}px`;
}

// ------------------------------------------------------------------------------------ state → the panel

const row = async (position) =>
  listRow(map, position, await example(map.blocks, about, position), now.colours[now.traceOf[position]]);
const list = openList($("list"), row, (position) => pin(position));

/** Lists what is picked and shown. */
async function panel() {
  const shown = new Uint8Array(about.points);
  for (const position of now.shown) shown[position] = 1;
  now.chosen = sorted((state.picked ?? nobody).filter((position) => shown[position]));
  const count = now.chosen.length;
  $("count").textContent = state.searching ? words.searching : count ? say(count > 1 ? "many" : "one", { count }) : words.none;
  for (const id of ["list", "sort", "direction", "save-ids", "save-table"]) $(id).hidden = !count;
  $("actions").hidden = !state.picked;
  $("direction").textContent = state.falling ? "↓" : "↑";
  $("direction").setAttribute("aria-label", state.falling ? words.falling : words.rising);
  $("direction").title = state.falling ? words.falling : words.rising;
  $("hints").hidden = state.picked !== null;
  $("nothing").hidden = !state.picked || count > 0 || state.searching;
  $("shown").textContent = shownText();
  $("scope").hidden = !about.dense || isPlain(state.view, about);
  $("filters-count").textContent = state.view.filters.size || "";
  await list.show(now.chosen);
}

function sorted(positions) {
  const { values } = map.signals.get(state.sort);
  const sign = state.falling ? -1 : 1;
  // without a value: last
  const rank = (position) => (Number.isNaN(values[position]) ? Infinity : sign * values[position]);
  return positions.sort((a, b) => rank(a) - rank(b) || a - b);
}

function shownText() {
  const { total, dense } = about;
  const [points, shown] = [about.points, now.shown.length];
  if (dense) return say("dense", { total, shown });
  return say(shown === points ? "all_points" : "some_points", { points, shown });
}

async function pinned() {
  const position = state.pinned;
  place();
  if (position < 0) {
    $("pinned").hidden = true;
    return;
  }
  const [shown, courses, why] = await Promise.all([
    example(map.blocks, about, position),
    (map.courses ??= openCourses(about)),
    evidence(map, position),
  ]);
  if (position !== state.pinned) return;
  $("pinned").replaceChildren(...pinnedCard(map, position, shown, { course: courses?.(position), why }, { unpin: () => pin(-1), go }));
  $("pinned").hidden = false;
}


// ---------------------------------------------------------------------------------- changes of the state

/** Another view: axes, colour or filters. */
async function look(change) {
  if (change.x || change.y) selection.forget();
  Object.assign(state.view, change);
  now.shown = shownPoints(state.view, map);
  compute();
  await Promise.all([panel(), draw()]);
}

/** What is picked by a selection or a search, null for nothing. */
function pick(positions) {
  const before = state.picked;
  state.picked = positions;
  return Promise.all([panel(), ...(before || positions ? [highlight()] : [])]);
}

function pin(position) {
  state.pinned = position;
  return pinned();
}

/** From one pinned example to another, which is read from its top. */
async function go(position) {
  list.mark(position);
  await pin(position);
  $("pinned").scrollTop = 0;
}

async function find(query) {
  const turn = forgetSelection(query);
  if (!query) return pick(null);
  state.searching = true;
  await panel();
  const found = await search(map.blocks, about, query, () => turn === state.turn);
  if (turn !== state.turn) return;
  state.searching = false;
  await pick(found);
}

/** Ends an earlier search or selection; returns the number of the present one. */
function forgetSelection(query) {
  selection.forget();
  state.searching = false;
  if ($("search").value.trim() !== query) $("search").value = query;
  state.turn += 1;
  return state.turn;
}

function selectWithin(polygon) {
  state.turn += 1;
  state.searching = false;
  $("search").value = "";
  return pick(within(polygon, plot.data, now.places));
}

function clear() {
  forgetSelection("");
  return pick(null);
}

async function reset() {
  forgetSelection("");
  filters.clear();
  for (const [id, value] of Object.entries({ x: about.axes.x, y: about.axes.y, colour: "" })) $(id).value = value;
  for (const option of $("add-filter").options) option.disabled = false;
  state.picked = null;
  pin(-1);
  state.resets += 1;
  await look({ x: about.axes.x, y: about.axes.y, colour: "", filters: new Map() });
}

// ------------------------------------------------------------------------------------------ the controls

function home() {
  const { xaxis, yaxis } = now.figure.layout;
  return Plotly.relayout(plot, { "xaxis.range": [...xaxis.range], "yaxis.range": [...yaxis.range] });
}

function picture() {
  const above = map.figure.layout.margin.t - plot.layout.margin.t; // on the page the title stands beside the map
  const margin = { ...plot.layout.margin, t: map.figure.layout.margin.t };
  const layout = { ...plot.layout, title: map.figure.layout.title, margin, height: plot.layout.height + above };
  const { width, height } = layout;
  return Plotly.downloadImage({ data: plot.data, layout }, { format: "png", filename: "datamap", scale: 2, width, height });
}

function use(tool) {
  if (tool === "home") return home();
  if (tool === "picture") return picture();
  state.tool = tool;
  for (const name of DRAGS) $(`tool-${name}`).setAttribute("aria-pressed", name === tool);
  if (tool === "zoom" || tool === "pan") Plotly.relayout(plot, { dragmode: tool });
}

function options(select, names, chosen) {
  select.append(...names.map(([value, text]) => element("option", { value }, text)));
  select.value = chosen;
}

const filters = openFilters($("filter-rows"), map, (name, range) => {
  if (range) state.view.filters.set(name, range);
  else state.view.filters.delete(name);
  for (const option of $("add-filter").options) option.disabled = state.view.filters.has(option.value);
  clearTimeout(filters.waiting);
  filters.waiting = setTimeout(() => look({}), 120); // a slider says where it is many times a second
});

function openControls() {
  for (const part of document.querySelectorAll("[data-word]")) part.textContent = words[part.dataset.word];
  $("tools").append(...toolButtons(words, state.tool, use));
  $("search").placeholder = words.search;
  for (const [id, word] of Object.entries({ search: "search", tools: "map", panel: "panel", map: "map", list: "panel", pinned: "pinned", sort: "sort" }))
    $(id).setAttribute("aria-label", words[word]);
  const names = [...map.signals.keys()].map((name) => [name, visible(name)]);
  options($("colour"), [["", words.category], ...names], "");
  options($("x"), names, state.view.x);
  options($("y"), names, state.view.y);
  options($("sort"), names, state.sort);
  options($("add-filter"), [["", words.add_filter], ...names], "");

  let typing;
  $("search").oninput = () => {
    clearTimeout(typing);
    typing = setTimeout(() => find($("search").value.trim()), 250);
  };
  for (const id of ["colour", "x", "y"]) $(id).onchange = () => look({ [id]: $(id).value });
  $("sort").onchange = () => {
    state.sort = $("sort").value;
    panel();
  };
  $("direction").onclick = () => {
    state.falling = !state.falling;
    panel();
  };
  $("filters-toggle").onclick = () => toggleFilters($("filters").hidden);
  $("add-filter").onchange = () => {
    filters.add(map.signals.get($("add-filter").value));
    $("add-filter").value = "";
  };
  $("reset").onclick = reset;
  $("clear").onclick = clear;
  $("save-ids").onclick = async () => save("datamap-ids.txt", await idLines(map, now.chosen), "text/plain");
  $("save-table").onclick = async () =>
    save("datamap-examples.tsv", await tableLines(map, now.chosen), "text/tab-separated-values");
  document.addEventListener("keydown", pressed);
}

function toggleFilters(open) {
  $("filters").hidden = !open;
  $("filters-toggle").setAttribute("aria-expanded", open);
  if (open) $("add-filter").focus();
}

function pressed(event) {
  const writing = event.target.matches("input:not([type=range]), select, textarea");
  if (event.key === "/" && !writing) {
    event.preventDefault();
    $("search").focus();
    $("search").select();
  } else if (event.key === "Escape") {
    hideCard();
    if (!$("filters").hidden) {
      toggleFilters(false);
      $("filters-toggle").focus();
    } else if (state.pinned >= 0) pin(-1);
    else clear();
  }
}

// ----------------------------------------------------------------------------------------------- the map

let hovered = -1;

function positionOf(event) {
  const [point] = event.points;
  return now.places[point.curveNumber]?.[point.pointNumber] ?? -1;
}

async function showCard(event) {
  const position = positionOf(event);
  if (position < 0 || event.event.buttons) return; // nothing beside the pointer while it draws
  hovered = position;
  const shown = await example(map.blocks, about, position);
  if (hovered !== position) return;
  const card = $("hover");
  card.replaceChildren(...hoverCard(map, state.view, position, shown));
  card.hidden = false;
  const stage = $("stage").getBoundingClientRect();
  const [x, y] = [event.event.clientX - stage.left, event.event.clientY - stage.top];
  const left = x + 18 + card.offsetWidth > stage.width ? x - 18 - card.offsetWidth : x + 18;
  card.style.left = `${Math.max(left, 4)}px`;
  card.style.top = `${Math.max(4, Math.min(y + 14, stage.height - card.offsetHeight - 4))}px`;
}

function hideCard() {
  hovered = -1;
  $("hover").hidden = true;
}

function clicked(position) {
  if (position < 0) return;
  pin(position);
  list.mark(position);
}

const selection = openSelection(
  plot,
  () => state.tool,
  selectWithin,
  () => clicked(hovered),
);

function listen() {
  plot.on("plotly_hover", showCard);
  plot.on("plotly_unhover", hideCard);
  plot.on("plotly_relayout", place);
  plot.on("plotly_click", (event) => clicked(positionOf(event)));
  plot.addEventListener("mousedown", hideCard);
  let waiting;
  let first = true;
  new ResizeObserver(() => {
    if (!first) {
      clearTimeout(waiting);
      waiting = setTimeout(draw, 100);
    }
    first = false;
  }).observe(plot);
}

// ------------------------------------------------------------------------------------------------- start

function plain(markup) {
  const text = markup.replace(/<[^>]*>/g, "");
  return new DOMParser().parseFromString(text, "text/html").documentElement.textContent;
}

function notes() {
  const carried = about.courses?.evaluations.length;
  const lines = [
    about.texts.cut === 0 && words.note_no_texts,
    about.texts.cut > 0 && say("note_cut", { length: about.texts.cut }),
    about.omitted.length && say("note_omitted", { signals: about.omitted.map(visible).join(", ") }),
    about.courses_omitted && words.note_no_courses,
    carried < about.evaluations && say("note_some_courses", { count: carried }),
    !map.webgl && about.points > 5000 && words.note_svg,
  ];
  $("notes").replaceChildren(...lines.filter(Boolean).map((text) => element("p", {}, text)));
}

async function start() {
  if (!window.DecompressionStream) {
    $("notes").textContent = words.note_old;
    return;
  }
  map.webgl = document.createElement("canvas").getContext("webgl") !== null;
  map.figure = openFigure(json("figure"), about, map.webgl);
  const [title, ...below] = map.figure.layout.title.text.split("<br>");
  $("title").textContent = plain(title);
  $("subtitle").textContent = below.map(plain).join(about.language === "zh" ? "；" : "; ");
  notes();
  compute();
  await draw();
  document.body.dataset.drawn = "";
  map.signals = await openSignals(about, map.figure.drawn);
  now.shown = shownPoints(state.view, map);
  openControls();
  await panel();
  listen();
  document.body.dataset.ready = "";
}

start();
