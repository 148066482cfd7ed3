// The list of the chosen examples: as long as it is, only the rows in sight are there.

import { element } from "./dom.js";

const AHEAD = 4; // rows made beyond those in sight

/** A list in `box`; `fill` makes the contents of a row from a position, `choose` is told which one the user goes to. */
export function openList(box, fill, choose) {
  const sheet = element("div", { class: "sheet", role: "presentation" });
  box.append(sheet);
  let positions = new Uint32Array(0);
  let active = -1;
  let turn = 0;

  const height = () => parseFloat(getComputedStyle(box).getPropertyValue("--row"));

  async function render() {
    const now = ++turn;
    const row = height();
    const first = Math.max(0, Math.floor(box.scrollTop / row) - AHEAD);
    const last = Math.min(positions.length, Math.ceil((box.scrollTop + box.clientHeight) / row) + AHEAD);
    const rows = await Promise.all(
      Array.from(positions.subarray(first, last), async (position, k) => {
        const made = element("div", { class: "row", role: "option", id: `row-${first + k}`, "data-position": position });
        made.setAttribute("aria-setsize", positions.length);
        made.setAttribute("aria-posinset", first + k + 1);
        made.setAttribute("aria-selected", first + k === active);
        made.style.top = `${(first + k) * row}px`;
        made.append(...(await fill(position)));
        made.onclick = () => go(first + k);
        return made;
      }),
    );
    if (now !== turn) return;
    sheet.style.height = `${positions.length * row}px`;
    sheet.replaceChildren(...rows);
    if (active >= first && active < last) box.setAttribute("aria-activedescendant", `row-${active}`);
    else box.removeAttribute("aria-activedescendant");
  }

  /** Scrolls no further than the active row needs to be in sight. */
  function reveal() {
    const top = active * height();
    if (top < box.scrollTop) box.scrollTop = Math.max(top, 0);
    else if (top + height() > box.scrollTop + box.clientHeight) box.scrollTop = top + height() - box.clientHeight;
    return render();
  }

  function go(index) {
    if (!positions.length) return;
    active = Math.min(Math.max(index, 0), positions.length - 1);
    reveal();
    choose(positions[active]);
  }

  box.addEventListener("scroll", render);
  new ResizeObserver(() => (active < 0 ? render() : reveal())).observe(box); // a pinned example takes room
  box.addEventListener("keydown", (event) => {
    const page = Math.max(1, Math.floor(box.clientHeight / height()) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (!(event.key in steps) || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    go(active === -1 && event.key === "ArrowUp" ? 0 : active + steps[event.key]);
  });

  return {
    /** Shows these positions, from the top. */
    show(next) {
      positions = next;
      active = -1;
      box.scrollTop = 0;
      return render();
    },
    /** Marks the row of this position, if there is one. */
    mark(position) {
      active = positions.indexOf(position);
      return active < 0 ? render() : reveal();
    },
  };
}
