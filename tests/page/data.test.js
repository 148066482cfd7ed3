import assert from "node:assert/strict";
import test from "node:test";

import { derived, numbers } from "./data.js";

test("a derived signal is a sum of products to a power", () => {
  const columns = { a: [2, 3, NaN], b: [5, 1, 1] };
  const rule = { terms: [[1, ["b"]], [-2, ["a", "a"]], [10, []]], power: 1 };
  assert.deepEqual([...derived(rule, (name) => columns[name], 3)], [7, -7, NaN]);
  assert.deepEqual([...derived({ terms: [[1, ["a"]]], power: 0.5 }, () => [4, 9, NaN], 3)], [2, 3, NaN]);
});

test("numbers of Plotly's JSON are unpacked, in any type", () => {
  assert.deepEqual([...numbers({ dtype: "f8", bdata: Buffer.from(Float64Array.of(1.5, -2).buffer).toString("base64") })], [1.5, -2]);
  assert.deepEqual([...numbers({ dtype: "i2", bdata: Buffer.from(Int16Array.of(-3, 300).buffer).toString("base64") })], [-3, 300]);
  assert.deepEqual(numbers([1, 2]), [1, 2]);
  assert.deepEqual(numbers(undefined), []);
});
