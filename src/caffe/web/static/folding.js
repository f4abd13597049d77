// Which nodes are drawn: units (a layer with those in place on it), or the outermost closed group around them.

export const COSTS = ["multiply_adds", "count", "memory"];

export function initiallyOpen(net, most = 100) {
  return new Set(net.units.length <= most ? net.groups.map((_, i) => i) : []);
}

export function visible(net, open) {
  const groupOf = new Array(net.units.length).fill(null);
  net.groups.forEach((group, g) => group.units.forEach((unit) => { groupOf[unit] = g; }));
  const shownAs = net.units.map((_, unit) => {
    let outermost = null;
    for (let g = groupOf[unit]; g !== null; g = net.groups[g].parent) if (!open.has(g)) outermost = g;
    return outermost === null ? "u" + unit : "g" + outermost;
  });
  const nodes = new Map();
  net.units.forEach((_, unit) => {
    const id = shownAs[unit];
    if (!nodes.has(id)) nodes.set(id, node(net, id));
  });
  const edges = new Map();
  net.units.forEach((unit, k) => unit.bottoms.forEach((bottom) => {
    const [from, to] = [shownAs[bottom], shownAs[k]];
    if (from !== to) edges.set(from + ">" + to, [from, to]);
  }));
  return { nodes, edges: [...edges.values()], shownAs, groupOf };
}

export function unitsOf(net, group) {
  const found = net.groups[group];
  return [...found.units, ...found.groups.flatMap((inner) => unitsOf(net, inner))];
}

function node(net, id) {
  const index = Number(id.slice(1));
  const units = id[0] === "u" ? [index] : unitsOf(net, index).sort((a, b) => a - b);
  const layers = units.flatMap((unit) => net.units[unit].layers).map((i) => net.layers[i]);
  const main = net.layers[net.units[units[units.length - 1]].layers[0]];
  const found = { id, index, units, layers, main, isGroup: id[0] === "g" };
  found.shape = main.tops.map((top) => main.shapes[top]).find((dims) => dims) ?? null;
  for (const cost of COSTS) found[cost] = layers.reduce((sum, layer) => sum + layer[cost], 0);
  found.error = layers.find((layer) => layer.error)?.error ?? null;
  found.noted = layers.some((layer) => layer.notes.length);
  if (found.isGroup) {
    const group = net.groups[index];
    found.repeats = group.repeats;
    found.kind = group.kind;
    found.title = group.name;
    found.subtitle = group.repeats > 1 ? `${group.repeats} × the same, ${layers.length} layers` : `${layers.length} layers`;
    found.extra = "";
  } else {
    found.title = main.name;
    found.subtitle = main.type + (main.short ? "  " + main.short : "");
    found.extra = layers.slice(1).map((layer) => "+ " + layer.type).join(" ");
  }
  return found;
}
