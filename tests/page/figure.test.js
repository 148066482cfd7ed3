import assert from "node:assert/strict";
import test from "node:test";

import { categoryIn, fallen, isPlain, ringed, shownPoints } from "./figure.js";

test("a value is in its category, else among the others, and none where there is no value", () => {
  const category = categoryIn({ values: [2, 0], others: 2, valueless: 3 });
  assert.deepEqual([2, 0, 7, NaN].map(category), [0, 1, 2, 3]);
});

test("an opacity falls by ten times as many, within bounds", () => {
  const opacity = (number) => fallen([1.25, 0.16, 0.3, 0.9], number);
  assert.equal(opacity(0), 0.9);
  assert.ok(Math.abs(opacity(1000) - 0.77) < 1e-12);
  assert.equal(opacity(1e9), 0.3);
});

test("of many marked points the first ones of a kind in each cell wear a ring", () => {
  const axes = { x: { values: [0, 0, 0, 0.9, 0] }, y: { values: [0, 0, 0, 0, 0] } };
  const [ranges, marks] = [{ x: [0, 1], y: [0, 1] }, [1, 1, 1, 1, 2]];
  const rule = { most: 4, cells: [2, 2], each: 2 };
  assert.deepEqual([...ringed([0, 1, 2, 3, 4], marks, axes, ranges, rule)], [0, 1, 3, 4]);
  assert.deepEqual([...ringed([0, 1, 2, 3], marks, axes, ranges, rule)], [0, 1, 2, 3]);
});

test("points without a value on an axis, or outside a filter, are not shown", () => {
  const signals = new Map([["a", { values: [1, NaN, 3, 4] }], ["b", { values: [1, 1, 1, 1] }], ["c", { values: [5, 5, NaN, 6] }]]);
  const about = { points: 4, axes: { x: "a", y: "b" } };
  const view = { x: "a", y: "b", colour: "", filters: new Map() };
  assert.ok(isPlain(view, about));
  assert.deepEqual([...shownPoints(view, { about, signals })], [0, 2, 3]);
  view.filters.set("c", [5, 5.5]);
  assert.ok(!isPlain(view, about));
  assert.deepEqual([...shownPoints(view, { about, signals })], [0]);
});
