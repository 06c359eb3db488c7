// zarrita.js, what browsers read with: each array plane by plane. Prints what tests/readers/found.py says.
//
//     node read_zarrita.mjs STORE [--json]

import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { pathToFileURL } from "node:url";

// The packages lie in an environment of their own, not beside this file: READERS_NODE names it.
const load = (name) => import(pathToFileURL(path.join(process.env.READERS_NODE, "node_modules", name)));
const manifest = (name) => JSON.parse(readFileSync(path.join(process.env.READERS_NODE, "node_modules", name, "package.json")));
const entry = (name, key) => path.join(name, manifest(name).exports[key].import ?? manifest(name).exports[key]);
const zarr = await load(entry("zarrita", "."));
const { default: FileSystemStore } = await load(entry("@zarrita/storage", "./fs"));

const store = path.resolve(process.argv[2]);

// Groups' attributes from their files: what is to be proven here is the arrays.
function attributes(group) {
  const folder = path.join(store, group);
  const json = (name) => JSON.parse(readFileSync(path.join(folder, name)));
  if (existsSync(path.join(folder, "zarr.json"))) return json("zarr.json").attributes?.ome ?? {};
  if (!existsSync(path.join(folder, ".zgroup"))) return null;
  return existsSync(path.join(folder, ".zattrs")) ? json(".zattrs") : {};
}

const join = (...parts) => parts.filter((part) => part !== "").join("/");

function* walk(group) {
  const said = attributes(group) ?? {};
  if (said.plate) {
    for (const well of said.plate.wells)
      for (const field of attributes(join(group, well.path)).well.images) yield* listed(join(group, well.path, field.path));
  } else if (said["bioformats2raw.layout"]) {
    const series = attributes(join(group, "OME"))?.series;
    if (series) for (const name of series) yield* listed(join(group, name));
    else for (let n = 0; attributes(join(group, `${n}`)) !== null; n++) yield* listed(join(group, `${n}`));
  } else if (said.multiscales) {
    const [scales] = said.multiscales;
    yield { group, axes: scales.axes.map((axis) => axis.name).join(""), levels: scales.datasets.map((d) => join(group, d.path)) };
    for (const name of attributes(join(group, "labels"))?.labels ?? []) yield* walk(join(group, "labels", name));
  }
}

function* listed(group) {
  if (!attributes(group)?.multiscales) throw new Error(`${group} is listed, and is no image`);
  yield* walk(group);
}

function* indices(extents) {
  if (extents.length === 0) yield [];
  else for (let n = 0; n < extents[0]; n++) for (const rest of indices(extents.slice(1))) yield [n, ...rest];
}

const planeName = (axes, index) => [..."tcz"].map((axis) => axis + (axes.includes(axis) ? index[axes.indexOf(axis)] : 0)).join("");

function mean(values) {
  let sum = 0;
  for (const value of values) sum += Number(value);
  return values.length ? sum / values.length : 0;
}

async function level(axes, name) {
  const array = await zarr.open(zarr.root(new FileSystemStore(path.join(store, name))), { kind: "array" });
  const planes = {};
  for (const index of indices(array.shape.slice(0, -2))) {
    const { data } = await zarr.get(array, [...index, null, null]);
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    planes[planeName(axes, index)] = { sha256: createHash("sha256").update(bytes).digest("hex"), mean: mean(data) };
  }
  return { shape: array.shape, dtype: array.dtype, planes };
}

try {
  const images = {};
  for (const { group, axes, levels } of walk("")) {
    images[group] = { axes, levels: [] };
    for (const name of levels) images[group].levels.push(await level(axes, name));
  }
  const report = { reader: "zarrita", version: manifest("zarrita").version, images, views: {}, validated: [] };
  console.log(process.argv.includes("--json") ? JSON.stringify(report) : `zarrita ${report.version}: ${Object.keys(images).length} images`);
} catch (error) {
  console.log(JSON.stringify({ reader: "zarrita", error: error.stack }));
  process.exit(1);
}
