// steps (JSON on standard input) -> what each yielded (JSON), by a module in node; tests/wasm_steps.py has the format.
import { readFileSync } from "node:fs";

const { module, regions, steps } = JSON.parse(readFileSync(0, "utf8"));
const { instance } = await WebAssembly.instantiate(readFileSync(module), {});
const ttc = instance.exports;

let end = ttc.memory.buffer.byteLength; // of the module's own memory; the regions lie behind it
const places = { end };
for (const [name, count] of Object.entries(regions)) {
  places[name] = end;
  end += Math.ceil(count / 16) * 16;
}
ttc.memory.grow(Math.ceil((end - places.end) / 65536));
places.top = ttc.memory.buffer.byteLength;

const kept = {};
const bytes = (at, count) => new Uint8Array(ttc.memory.buffer, at, count);
const word = (name) => new Uint32Array(ttc.memory.buffer, places[name], 1)[0];

function argument(value) {
  if (typeof value === "number") return value;
  if (value === "null") return 0;
  const [, name, more] = /^([$\w]+)([+-]\d+)?$/.exec(value);
  return (name[0] === "$" ? kept[name] : places[name]) + Number(more ?? 0);
}

function run(step) {
  if (step.put) {
    bytes(places[step.put], step.hex.length / 2).set(Buffer.from(step.hex, "hex"));
    return null;
  }
  if (step.get) return Buffer.from(bytes(argument(step.get), argument(step.count))).toString("hex");
  const code = ttc[step.call](...step.args.map(argument));
  if (step.keep) kept[step.keep] = word(step.keep === "$at" ? "pointer" : "word");
  return [code, ttc.ttc_last_detail() >>> 0, word("word")];
}

process.stdout.write(JSON.stringify(steps.map(run)));
