// What the page carries, unpacked when it is asked for. A point's position is its place in all the point traces.

const TYPES = {
  i1: Int8Array,
  u1: Uint8Array,
  i2: Int16Array,
  u2: Uint16Array,
  i4: Int32Array,
  u4: Uint32Array,
  f4: Float32Array,
  f8: Float64Array,
};
const BLOCKS_KEPT = 512;

function fromBase64(text) {
  return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
}

/** JSON in the element with this id. */
export function json(id) {
  return JSON.parse(document.getElementById(id).textContent);
}

/** Bytes that stand in the element with this id, deflated and in base64. */
async function inflate(id) {
  const packed = new Blob([fromBase64(document.getElementById(id).textContent)]);
  const stream = packed.stream().pipeThrough(new DecompressionStream("deflate-raw"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

/** An array of Plotly's JSON, which may be packed, as one JavaScript calculates with. */
export function numbers(array) {
  if (!array || array.bdata === undefined) return array ?? [];
  const bytes = fromBase64(array.bdata);
  return new TYPES[array.dtype](bytes.buffer, 0, bytes.length / TYPES[array.dtype].BYTES_PER_ELEMENT);
}

/** Lists, a block of positions at a time: `at(kind, position)` gives what each of the block's columns holds there. */
export function openBlocks(about) {
  const cache = new Map();
  function block(id) {
    const found = cache.get(id) ?? inflate(id).then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
    cache.delete(id); // the one used last stands last
    cache.set(id, found);
    if (cache.size > BLOCKS_KEPT) cache.delete(cache.keys().next().value);
    return found;
  }
  async function at(kind, position) {
    const columns = await block(`${kind}-${Math.floor(position / about.block)}`);
    return columns.map((column) => column[position % about.block]);
  }
  return { block, at };
}

/** Id and texts of the example at this position. */
export async function example(blocks, about, position) {
  const [[id], texts] = await Promise.all([
    blocks.at("ids", position),
    about.texts.names.length ? blocks.at("texts", position) : [],
  ]);
  return { id, texts };
}

/** Why the label at this position is suspected; null where the page does not carry it. */
export async function evidence(map, position) {
  const { about, blocks } = map;
  if (!about.evidence) return null;
  const [positions] = await blocks.block("evidence-at");
  const row = positions.indexOf(position);
  if (row < 0) return null;
  const [joined, parts, nearest, same, marks] = await blocks.at("evidence", row);
  const quoted = ([id, label, ...texts]) => ({ position: -1, id, label, texts });
  const point = async (other) => ({
    position: other,
    label: map.signals.get("label")?.values[other] ?? NaN,
    ...(await example(blocks, about, other)),
  });
  const found = (other) => (typeof other === "number" ? point(other) : quoted(other));
  return {
    joined,
    parts: about.evidence.opinions.map((opinion, k) => ({ opinion, part: parts[k] })),
    marks,
    nearest: await Promise.all(nearest.map(async ([other, similarity]) => ({ ...(await found(other)), similarity }))),
    same: same === null ? null : await found(same),
  };
}

/** The positions whose texts hold the query, in any case, or whose id it is; `goesOn` says whether it is still wanted. */
export async function search(blocks, about, query, goesOn) {
  const sought = query.toLowerCase();
  const found = [];
  for (let start = 0; start < about.points && goesOn(); start += about.block) {
    const number = start / about.block;
    const [ids] = await blocks.block(`ids-${number}`);
    const texts = about.texts.names.length ? await blocks.block(`texts-${number}`) : [];
    for (let row = 0; row < ids.length; row++)
      if (ids[row] === query || texts.some((column) => column[row].toLowerCase().includes(sought)))
        found.push(start + row);
    if (number % 16 === 15) await new Promise((resolve) => setTimeout(resolve)); // let the page breathe
  }
  return Uint32Array.from(found);
}

/** A signal that follows from others: a sum of products of their values, to a power. */
export function derived({ terms, power }, valuesOf, points) {
  const sum = new Float64Array(points);
  for (const [factor, names] of terms) {
    const columns = names.map(valuesOf);
    for (let i = 0; i < points; i++) sum[i] += columns.reduce((product, values) => product * values[i], factor);
  }
  return power === 1 ? sum : sum.map((value) => value ** power);
}

/** The signals by name: values by position, NaN where there is none, and how one is written. */
export async function openSignals(about, drawn) {
  const axis = (name) => drawn[about.axes.x === name ? "x" : "y"];
  const columns = about.signals.map(async (signal, number) => {
    const { form } = signal;
    if (form === "values" || form === "steps") return { ...signal, ...unpack(signal, await inflate(`signal-${number}`), about.points) };
    const values = form === "follows" ? derived(signal, axis, about.points) : drawn[form];
    return { ...signal, values, write: (value) => String(Number(value.toPrecision(6))) };
  });
  return new Map((await Promise.all(columns)).map((column) => [column.name, column]));
}

function unpack(signal, bytes, points) {
  const values = new Float64Array(points);
  if (signal.form === "values") {
    for (let i = 0; i < points; i++) values[i] = signal.values[bytes[i]] ?? NaN;
    return { values, write: String };
  }
  for (let i = 0; i < points; i++) {
    const code = (bytes[i] << 8) | bytes[points + i];
    values[i] = code === 0xffff ? NaN : signal.low + code * signal.step;
  }
  return { values, write: (value) => String(Number(value.toFixed(signal.decimals))) };
}

/** The courses: probabilities of label and runner-up at a position, evaluation by evaluation, NaN where unknown. */
export async function openCourses(about) {
  if (!about.courses) return null;
  const bytes = await inflate("courses");
  return (position) =>
    about.courses.evaluations.map((evaluation, t) => {
      const label = bytes[2 * t * about.points + position];
      const rest = bytes[(2 * t + 1) * about.points + position];
      const runnerUp = (254 - label - rest) & 0xff;
      return { evaluation, label: label === 255 ? NaN : label / 254, runnerUp: runnerUp === 255 ? NaN : runnerUp / 254 };
    });
}
