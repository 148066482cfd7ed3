(() => {
"use strict";

const content = JSON.parse(document.getElementById("content").textContent);
const STEP = 50;

/** An element with texts and elements in it: no text of the data is ever read as HTML. */
function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children.filter((child) => child !== null));
  return element;
}

const number = (value) => value.toLocaleString("en");
const percent = (value) => (value > 0 && value < 0.001 ? "< 0.1%" : `${(100 * value).toFixed(1)}%`);
const place = (row, line) => (line === null || line === undefined ? `row ${number(row)}` : `line ${number(line)}`);

/** A text with the spans [begin, end) of its characters marked; characters are code points. */
function marked(text, spans) {
  const characters = Array.from(text);
  const element = make("div", "text");
  let from = 0;
  for (const [begin, end] of spans ?? []) {
    element.append(characters.slice(from, begin).join(""), make("mark", "", characters.slice(begin, end).join("")));
    from = end;
  }
  element.append(characters.slice(from).join(""));
  return element;
}

const texts = (entry) => [
  marked(entry.text_a, entry.marks_a),
  entry.text_b === null ? null : marked(entry.text_b, entry.marks_b),
];

function group(entry) {
  const verdict = make("div", "verdict");
  const several = new Set(entry.labels).size > 1;
  for (const [i, row] of entry.rows.slice(0, 12).entries()) {
    const label = make("b", several ? "other" : "", entry.labels[i]);
    verdict.append(make("span", "", label, ` ${place(row, entry.lines?.[i])}`));
  }
  if (entry.rows.length > 12) verdict.append(`and ${number(entry.rows.length - 12)} more`);
  for (const [i, row] of (entry.dev_rows ?? []).slice(0, 5).entries()) {
    const differs = !entry.labels.includes(entry.dev_labels[i]);
    verdict.append(make("span", "", "dev: ", make("b", differs ? "other" : "", entry.dev_labels[i]), ` row ${number(row)}`));
  }
  return [verdict, ...texts(entry)];
}

const show = {
  "contradicted": (entry) => [
    make("div", "verdict",
      make("b", "", entry.label),
      make("span", "", percent(entry.label_probs)),
      make("span", "other", `→ ${entry.suggested_label}`),
      make("span", "", percent(entry.suggested_probs)),
      make("span", "meta", place(entry.row, entry.line), `, id ${entry.id}`)),
    ...texts(entry),
  ],
  "bad-rows": (entry) => [make("div", "verdict", make("b", "", place(entry.row, entry.line)), make("span", "", entry.what))],
  "alike-classes": (entry) => [
    make("div", "verdict", make("b", "", entry.classes[0]), make("span", "", "and"), make("b", "", entry.classes[1]),
      make("span", "meta", `${number(entry.taken[0])} of ${number(entry.examples[0])} and ` +
        `${number(entry.taken[1])} of ${number(entry.examples[1])} are taken for the other`)),
  ],
  "rare-classes": (entry) => [make("div", "verdict", make("b", "", entry.name), make("span", "", `${number(entry.examples)} examples`))],
  "conflicts": group,
  "duplicates": group,
  "near-duplicates": group,
  "leaks": group,
};

const words = (value) => (value && typeof value === "object" ? Object.values(value).map(words).join(" ") : String(value ?? ""));
const sections = [];

for (const finding of content.findings) {
  const entries = content.lists[finding.name] ?? [];
  const link = make("a", finding.count ? "" : "clean", make("span", "", finding.name));
  link.href = `#${finding.name}`;
  link.title = finding.what;
  link.append(make("b", "", finding.count === null ? "–" : number(finding.count)));
  document.getElementById("findings").append(link);
  if (!entries.length) continue;
  const section = make("section", "", make("h2", "", finding.name, make("small", "", finding.what)));
  section.id = finding.name;
  if (finding.note) section.append(make("p", "what", finding.note));
  const list = make("div", "");
  const more = make("button", "more", "Show more");
  more.type = "button";
  section.append(list, more);
  document.getElementById("sections").append(section);
  const searchable = entries.map((entry) => words(entry).toLowerCase());
  const state = { section, list, more, entries, searchable, shown: STEP, show: show[finding.name] };
  more.addEventListener("click", () => { state.shown += STEP; draw(); });
  sections.push(state);
}
if (!sections.length) document.getElementById("sections").append(make("h2", "", "Nothing was found"));

/** Fills the sections with those of their entries that have the words searched for. */
function draw() {
  const wanted = document.getElementById("search").value.trim().toLowerCase();
  let total = 0;
  for (const state of sections) {
    const found = state.entries.filter((_, i) => state.searchable[i].includes(wanted));
    total += found.length;
    state.section.hidden = !found.length;
    state.more.hidden = found.length <= state.shown;
    state.list.replaceChildren(...found.slice(0, state.shown).map((entry) => make("div", "entry", ...state.show(entry))));
  }
  document.getElementById("shown").textContent = `${number(total)} entries`;
}

document.getElementById("title").textContent = `Check: ${content.name}`;
document.getElementById("subtitle").textContent = content.subtitle;
for (const [name, value] of content.facts) document.getElementById("facts").append(make("dt", "", name), make("dd", "", value));
const most = Math.max(...content.classes.map((one) => one.examples));
for (const one of content.classes.slice(0, 100)) {
  const bar = make("i", "");
  bar.style.width = `${(100 * one.examples) / most}%`;
  document.getElementById("classes").append(
    make("div", "class", bar, make("span", "", one.name), make("span", "", `${number(one.examples)} (${percent(one.share)})`)));
}
document.getElementById("search").addEventListener("input", draw);
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && event.target.id !== "search") {
    event.preventDefault();
    document.getElementById("search").focus();
  }
});
draw();
})();
