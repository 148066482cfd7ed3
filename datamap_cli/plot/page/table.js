// The chosen examples as files: ids, a line each, or a table of everything that is carried.
//
// A cell that holds a tab, a line end or a quote stands in quotes, its own quotes doubled, as every reader of CSV with
// tabs takes it back (Python's csv, pandas, Polars, spreadsheets); no byte of a text is changed. What a spreadsheet would
// take for a formula has an apostrophe before it, where `formulas` says how such texts begin.

import { example } from "./data.js";

const PORTION = 4096; // rows between which the page can breathe

function quoted(text) {
  return /["\t\n\r]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

/** A text as it stands between tabs. */
export function cell(text, formulas) {
  const formula = formulas && new RegExp(formulas.begin).test(text) && !new RegExp(formulas.number).test(text);
  return quoted(formula ? `'${text}` : text);
}

/** The ids of these positions, one a line. */
export async function idLines(map, positions) {
  return lines(positions, async (position) => quoted((await map.blocks.at("ids", position))[0]));
}

/** A table of these positions: id, texts, class names, s_label and every other signal that is carried. */
export async function tableLines(map, positions) {
  const { about } = map;
  const signals = [...map.signals.values()].sort((a, b) => rank(a) - rank(b));
  const row = (cells) => cells.map((text) => cell(text, about.formulas)).join("\t");
  const values = (position) =>
    signals.map(({ values: all, write, classes }) => {
      const value = all[position];
      if (Number.isNaN(value)) return "";
      // a number is no formula, whatever its sign
      return classes ? cell(about.classes[value] ?? String(value), about.formulas) : write(value);
    });
  const head = row(["id", ...about.texts.names, ...signals.map((signal) => signal.name)]);
  const body = await lines(positions, async (position) => {
    const { id, texts } = await example(map.blocks, about, position);
    return [row([id, ...texts]), ...values(position)].join("\t");
  });
  return [`${head}\n`, ...body];
}

function rank(signal) {
  return signal.classes ? 0 : signal.name === "s_label" ? 1 : 2;
}

async function lines(positions, line) {
  const parts = [];
  for (let start = 0; start < positions.length; start += PORTION) {
    const portion = await Promise.all(Array.from(positions.subarray(start, start + PORTION), line));
    parts.push(`${portion.join("\n")}\n`);
    await new Promise((resolve) => setTimeout(resolve));
  }
  return parts;
}

/** Hands a file to the browser's downloads. */
export function save(name, parts, type) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob(parts, { type: `${type};charset=utf-8` }));
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
