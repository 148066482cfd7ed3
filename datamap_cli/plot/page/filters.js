// Filters: for each a range of one signal, with two thumbs and two numbers.

import { element, visible } from "./dom.js";

const STEPS = 1000; // of a slider over many values

/** Rows in `box`; `change` is told the signal and its range, null where the filter is removed. */
export function openFilters(box, map, change) {
  const { words } = map.about;

  function add(signal) {
    const [low, high] = extent(signal.values);
    const whole = signal.step === 1 || (signal.form === "values" && signal.values.every(Number.isInteger));
    const step = whole ? 1 : (high - low) / STEPS || 1;
    const range = [low, high];
    const thumbs = range.map((value, end) => slider(low, high, step, value, `${signal.name}: ${end ? words.most : words.least}`));
    const fields = range.map((value, end) => field(signal.write(value), `${signal.name}: ${end ? words.most : words.least}`));
    const track = element("div", { class: "range" }, ...thumbs);

    function set(end, value) {
      range[end] = end ? Math.max(value, range[0]) : Math.min(value, range[1]);
      thumbs[end].value = range[end];
      fields[end].value = signal.write(range[end]);
      const share = (at) => `${(100 * (at - low)) / (high - low || 1)}%`;
      track.style.setProperty("--from", share(range[0]));
      track.style.setProperty("--to", share(range[1]));
    }
    [0, 1].forEach((end) => {
      set(end, range[end]);
      const told = (value) => {
        set(end, value);
        change(signal.name, [...range]);
      };
      // the last step of a slider may fall short of its end
      thumbs[end].oninput = () => {
        const value = Number(thumbs[end].value);
        told(high - value < step / 2 ? high : value);
      };
      fields[end].onchange = () => told(fields[end].value === "" ? [low, high][end] : Number(fields[end].value));
    });
    const remove = element("button", { type: "button", class: "quiet", "aria-label": `${words.remove}: ${signal.name}` }, "×");
    const row = element("div", { class: "filter", "data-signal": signal.name });
    row.append(element("span", { class: "name" }, visible(signal.name)), fields[0], track, fields[1], remove);
    remove.onclick = () => {
      row.remove();
      change(signal.name, null);
    };
    box.append(row);
    thumbs[0].focus();
    change(signal.name, [...range]);
  }
  return { add, clear: () => box.replaceChildren() };
}

function slider(low, high, step, value, label) {
  const made = element("input", { type: "range", min: low, max: high, step, "aria-label": label });
  made.value = value;
  return made;
}

function field(value, label) {
  const made = element("input", { type: "number", step: "any", "aria-label": label });
  made.value = value;
  return made;
}

function extent(values) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}
