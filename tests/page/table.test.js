import assert from "node:assert/strict";
import test from "node:test";

import { cell } from "./table.js";

const FORMULAS = JSON.parse(process.env.FORMULAS); // the rule, as the page carries it
const CELLS = JSON.parse(process.env.CELLS); // texts, and what Python writes for them

test("a text stands in the table as Python writes it", () => {
  for (const [text, written] of CELLS) assert.equal(cell(text, FORMULAS), written);
});

test("without the rule a text stands as it is", () => assert.equal(cell("=1+1", null), "=1+1"));
