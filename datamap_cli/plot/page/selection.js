// Box and lasso. Plotly's own look at every point at every move of the pointer; these look once, when it is let go.

import { drawing } from "./dom.js";

const CLICK = 4; // pixels: a press that moves less is a click

/** Positions of the visible points inside a polygon of [x, y] in the units of the axes. */
export function within(polygon, traces, places) {
  const [xs, ys] = [polygon.map(([x]) => x), polygon.map(([, y]) => y)];
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const found = [];
  places.forEach((positions, k) => {
    if (traces[k].visible === "legendonly") return;
    const { x, y } = traces[k];
    for (let i = 0; i < positions.length; i++)
      if (x[i] >= left && x[i] <= right && y[i] >= low && y[i] <= high && holds(xs, ys, x[i], y[i])) found.push(positions[i]);
  });
  return Uint32Array.from(found).sort();
}

/** Whether a ray from the point crosses the polygon's edges an odd number of times. */
function holds(xs, ys, x, y) {
  let odd = false;
  for (let i = 0, j = xs.length - 1; i < xs.length; j = i++)
    if (ys[i] > y !== ys[j] > y && x < ((xs[j] - xs[i]) * (y - ys[i])) / (ys[j] - ys[i]) + xs[i]) odd = !odd;
  return odd;
}

/** Lets the user draw on the map while `tool()` is a box or a lasso; `done` gets the polygon in axis units, `clicked` a
 * press without a move. Returns what puts the outline where its polygon lies now, and what forgets it. */
export function openSelection(plot, tool, done, clicked) {
  const outline = drawing("path", {});
  const sheet = drawing("svg", { class: "outline" }, outline);
  plot.after(sheet);
  let polygon = [];

  const axes = () => [plot._fullLayout.xaxis, plot._fullLayout.yaxis];
  const pointer = (event) => {
    const { left, top } = plot.getBoundingClientRect();
    const along = (axis, pixels) => Math.min(Math.max(pixels - axis._offset, 0), axis._length);
    const [x, y] = axes();
    return [x.p2d(along(x, event.clientX - left)), y.p2d(along(y, event.clientY - top))];
  };

  /** By the place, not by the element: Plotly has handles of its own along the edges. */
  function isOnMap(event) {
    const { left, top } = plot.getBoundingClientRect();
    const [x, y] = axes();
    const [across, down] = [event.clientX - left - x._offset, event.clientY - top - y._offset];
    return across >= 0 && across <= x._length && down >= 0 && down <= y._length;
  }

  function place() {
    const [x, y] = axes();
    const corners = polygon.map(([a, b]) => `${(x._offset + x.d2p(a)).toFixed(1)} ${(y._offset + y.d2p(b)).toFixed(1)}`);
    outline.setAttribute("d", corners.length > 1 ? `M${corners.join("L")}Z` : "");
    sheet.style.top = `${plot.offsetTop}px`;
  }

  plot.addEventListener(
    "mousedown",
    (press) => {
      const kind = tool();
      if (press.button !== 0 || !["select", "lasso"].includes(kind) || !isOnMap(press)) return;
      press.stopPropagation();
      press.preventDefault();
      const start = pointer(press);
      const path = [start];
      let moved = false;
      const move = (event) => {
        moved ||= Math.hypot(event.clientX - press.clientX, event.clientY - press.clientY) > CLICK;
        if (!moved) return;
        const end = pointer(event);
        path.push(end);
        polygon = kind === "lasso" ? path : [start, [end[0], start[1]], end, [start[0], end[1]]];
        place();
      };
      const release = (event) => {
        removeEventListener("mousemove", move, true);
        move(event);
        if (moved) done(polygon);
        else clicked();
      };
      addEventListener("mousemove", move, true);
      addEventListener("mouseup", release, { once: true, capture: true });
    },
    true,
  );

  return {
    place,
    forget() {
      polygon = [];
      outline.setAttribute("d", "");
    },
  };
}
