// The buttons above the map: what dragging does, the map as it was, a picture of it.

import { drawing, element } from "./dom.js";

const TOOLS = {
  zoom: "M10 4a6 6 0 1 0 0 12 6 6 0 0 0 0-12M14.5 14.5 20 20M10 7.5v5M7.5 10h5",
  pan: "M12 3v18M3 12h18M9.5 5.500 12 3l2.500 2.500M9.500 18.500 12 21l2.500-2.500M5.500 9.500 3 12l2.500 2.500M18.500 9.500 21 12l-2.500 2.500",
  select: "M4 8V4h4M11 4h2M16 4h4v4M20 11v2M20 16v4h-4M13 20h-2M8 20H4v-4M4 13v-2",
  lasso: "M8 15.500C5.500 14.700 4 13 4 10.500 4 7 7.600 4.500 12 4.500s8 2.500 8 6-3.600 5.500-8 5.500c-3.500 0-6 .3-6 2 0 1.500 2 2 3.500 1.500",
  home: "M4 11.500 12 4.500l8 7M6.500 10v9.500h11V10",
  picture: "M4 7.500h4L9.500 5h5L16 7.500h4V19H4zM12 10a3 3 0 1 0 0 6 3 3 0 0 0 0-6",
};

/** Those of which one is in use. */
export const DRAGS = ["zoom", "pan", "select", "lasso"];

/** A button for each tool; `use` is told its name. */
export function toolButtons(words, used, use) {
  return Object.entries(TOOLS).map(([tool, path]) => {
    const word = words[{ select: "box" }[tool] ?? tool];
    const button = element("button", { type: "button", id: `tool-${tool}`, title: word, "aria-label": word });
    if (DRAGS.includes(tool)) button.setAttribute("aria-pressed", tool === used);
    button.append(drawing("svg", { viewBox: "0 0 24 24" }, drawing("path", { d: path })));
    button.onclick = () => use(tool);
    return button;
  });
}
