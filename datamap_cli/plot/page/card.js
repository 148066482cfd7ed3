// An example in words: the card beside the pointer, the pinned one with its course. Foreign text is text, never markup.

import { drawing, element, visible } from "./dom.js";

const MAIN = ["correct_times", "avg_probs", "label_var", "forgetting_times"];
const TEXT_SHOWN = 400; // characters of a text on the card beside the pointer

function className(map, value) {
  return Number.isNaN(value) ? "–" : visible(map.about.classes[value] ?? String(value));
}

function written(map, name, position) {
  const signal = map.signals.get(name);
  const value = signal.values[position];
  if (Number.isNaN(value)) return "–";
  if (signal.classes) return className(map, value);
  const short = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(4)));
  return name === "correct_times" && map.about.evaluations ? `${short} / ${map.about.evaluations}` : short;
}

function cut(text, length) {
  return text.length > length ? `${Array.from(text.slice(0, length + 1)).slice(0, -1).join("")}…` : text;
}

/** The texts; `marks` has spans [begin, end) of characters for each of them. */
function texts(map, shown, length, marks = []) {
  return map.about.texts.names.map((name, k) =>
    element("p", { class: "text", dir: "auto", "data-name": name }, ...marked(cut(shown.texts[k], length), marks[k] ?? [])),
  );
}

/** The text in pieces, those in the spans as marks. */
function marked(text, spans) {
  if (!spans.length) return [visible(text)];
  const characters = Array.from(text); // spans count characters, JavaScript halves of some
  const piece = (from, to) => visible(characters.slice(from, to).join(""));
  const inside = spans.filter(([begin]) => begin < characters.length); // the page may carry less of the text
  const ends = [0, ...inside.map(([, end]) => end)];
  const pieces = inside.flatMap(([begin, end], k) => [piece(ends[k], begin), element("mark", {}, piece(begin, end))]);
  return [...pieces, piece(ends.at(-1))];
}

/** Label, prediction and suggestion by name; each but the label only where it is another. */
function verdict(map, position) {
  if (!map.about.classes.length || !map.signals.has("label")) return [];
  const { words } = map.about;
  const value = (name) => map.signals.get(name)?.values[position] ?? NaN;
  const label = value("label");
  const parts = [element("b", { class: "label" }, className(map, label))];
  for (const [name, word] of [
    ["pred_label", words.predicted],
    ["suggested_label", words.suggested],
  ])
    if (!Number.isNaN(value(name)))
      parts.push(
        element(
          "span",
          { class: value(name) === label ? "agrees" : "differs" },
          element("i", {}, word),
          ` ${className(map, value(name))}`,
        ),
      );
  return [element("p", { class: "verdict", dir: "auto" }, ...parts)];
}

/** Label and, where it is another, the prediction. */
function change(map, position) {
  const [label, predicted] = ["label", "pred_label"].map((name) => map.signals.get(name));
  if (!label?.classes) return [];
  const given = element("b", {}, className(map, label.values[position]));
  const other = predicted?.values[position] ?? NaN;
  if (Number.isNaN(other) || other === label.values[position]) return [given];
  return [given, element("span", { class: "differs" }, `→ ${className(map, other)}`)];
}

function table(map, names, position) {
  const rows = names.flatMap((name) => [
    element("dt", {}, visible(name)),
    element("dd", {}, written(map, name, position)),
  ]);
  return element("dl", {}, ...rows);
}

function heading(map, shown, ...more) {
  return element("header", {}, element("span", { class: "id" }, `id ${visible(shown.id)}`), ...more);
}

/** What stands beside the pointer. */
export function hoverCard(map, view, position, shown) {
  const wanted = new Set([...MAIN, view.y, view.x, ...(view.colour ? [view.colour] : [])]);
  const names = [...wanted].filter((name) => map.signals.has(name) && !map.signals.get(name).classes);
  return [heading(map, shown), ...texts(map, shown, TEXT_SHOWN), ...verdict(map, position), table(map, names, position)];
}

/** What stands in the panel of the pinned example: its course and why its label is suspected where that is known. */
export function pinnedCard(map, position, shown, { course, why }, { unpin, go }) {
  const { words } = map.about;
  const close = element("button", { type: "button", class: "quiet", id: "unpin", title: words.unpin }, "×");
  close.setAttribute("aria-label", words.unpin);
  close.onclick = unpin;
  const names = [...map.signals.values()].filter((signal) => !signal.classes).map((signal) => signal.name);
  return [
    heading(map, shown, close),
    ...texts(map, shown, Infinity, why?.marks),
    ...verdict(map, position),
    ...(why ? [evidenceOf(map, position, why, go)] : []),
    ...(course ? [courseOf(map, course)] : []),
    table(map, names, position),
  ];
}

/** A row of the list. */
export function listRow(map, position, shown, colour) {
  const dot = element("span", { class: "dot" });
  dot.style.background = colour;
  const meta = element("span", { class: "meta" }, dot, element("span", { class: "id" }, visible(shown.id)), ...change(map, position));
  const lines = shown.texts.map((text) => element("span", { class: "line", dir: "auto" }, visible(text.slice(0, 120))));
  return [meta, ...lines];
}

// --------------------------------------------------------------------------------------------- evidence

const QUOTED = 200; // characters of another example's text

function evidenceOf(map, position, why, go) {
  const { words } = map.about;
  const label = map.signals.get("label")?.values[position] ?? NaN;
  const other = (found) => neighbour(map, found, label, go);
  const part = (title, ...children) => (children.length ? [element("h3", {}, title), ...children] : []);
  const joined = element("span", { class: "differs" }, className(map, why.joined));
  const speaks = element("span", { class: "speaking" }, element("mark", {}, words.marked), words.speaks);
  const caption = why.marks.some((spans) => spans.length) ? [speaks] : [];
  return element(
    "section",
    { class: "evidence" },
    ...part(words.against, opinions(map, why.parts)),
    ...part(words.joined, element("p", { class: "joined", dir: "auto" }, joined, ...caption)),
    ...part(words.same_text, ...(why.same ? [other(why.same)] : [])),
    ...part(words.nearest, ...why.nearest.map(other)),
  );
}

/** The opinions with the part of each, the strongest against the label first. */
function opinions(map, parts) {
  const speaking = parts.filter(({ part }) => part).sort((a, b) => b.part - a.part);
  const items = speaking.map(({ opinion, part }) =>
    element("li", { class: part > 0 ? "speaks" : "agrees" }, map.about.words[`by_${opinion}`] ?? visible(opinion), ` ${part > 0 ? "+" : "−"}${Math.abs(part).toFixed(1)}`),
  );
  return element("ul", { class: "opinions" }, ...items);
}

/** Another example; one that is on the map can be gone to. */
function neighbour(map, found, label, go) {
  const on = found.position >= 0;
  const like = found.similarity === undefined ? [] : [element("span", { class: "like" }, found.similarity.toFixed(2))];
  const name = element("b", { class: found.label === label ? "agrees" : "differs" }, className(map, found.label));
  const meta = element("span", { class: "meta" }, ...like, name, element("span", { class: "id" }, `id ${visible(found.id)}`));
  const lines = found.texts.map((text) => element("span", { class: "quoted", dir: "auto" }, visible(cut(text, QUOTED))));
  const made = element(on ? "button" : "div", { class: "neighbour", ...(on ? { type: "button" } : {}) }, meta, ...lines);
  if (on) made.onclick = () => go(found.position);
  return made;
}

// ----------------------------------------------------------------------------------------------- course

const [WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM] = [320, 104, 24, 8, 8, 20];

function mark(line, word) {
  return element("span", { class: line }, word);
}

/** The probabilities of label and runner-up over the evaluations, as a small picture. */
function courseOf(map, course) {
  const { words, look } = map.about;
  const last = Math.max(course.length - 1, 1);
  const x = (t) => LEFT + (t / last) * (WIDTH - LEFT - RIGHT);
  const y = (p) => TOP + (1 - p) * (HEIGHT - TOP - BOTTOM);
  const grid = [0, 0.5, 1].flatMap((p) => [
    drawing("line", { x1: LEFT, x2: WIDTH - RIGHT, y1: y(p), y2: y(p), stroke: look.grid }),
    drawing("text", { x: LEFT - 5, y: y(p) + 3.5, "text-anchor": "end" }, String(p)),
  ]);
  const ticks = ticksOf(course.length).map((t) =>
    drawing("text", { x: x(t), y: HEIGHT - 5, "text-anchor": "middle" }, String(course[t].evaluation)),
  );
  const lines = [
    ["runnerUp", look.runner_up, "4 3"],
    ["label", look.label, ""],
  ].flatMap(([key, stroke, dashes]) => [
    drawing("path", { d: path(course, key, x, y), fill: "none", stroke, "stroke-width": 1.8, "stroke-dasharray": dashes }),
    ...course.flatMap((step, t) =>
      Number.isNaN(step[key]) ? [] : [drawing("circle", { cx: x(t), cy: y(step[key]), r: course.length > 40 ? 1 : 2.4, fill: stroke })],
    ),
  ]);
  const spoken = course.map((step) => `${step.evaluation}: ${step.label.toFixed(2)}, ${step.runnerUp.toFixed(2)}`).join("; ");
  const picture = drawing("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, role: "img", "aria-label": spoken }, ...grid, ...ticks, ...lines);
  const caption = element("figcaption", {}, words.course, mark("of-label", words.of_label), mark("of-runner-up", words.of_runner_up));
  return element("figure", { class: "course" }, caption, picture);
}

function path(course, key, x, y) {
  let pen = "M";
  let d = "";
  course.forEach((step, t) => {
    if (Number.isNaN(step[key])) pen = "M";
    else {
      d += `${pen}${x(t).toFixed(1)} ${y(step[key]).toFixed(1)}`;
      pen = "L";
    }
  });
  return d;
}

/** A few places of an axis of so many evaluations, the last among them. */
function ticksOf(count) {
  const step = Math.max(1, Math.ceil((count - 1) / 8));
  return Array.from({ length: Math.floor((count - 1) / step) + 1 }, (_, k) => k * step);
}
