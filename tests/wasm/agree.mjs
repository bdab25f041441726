// file of streams -> file of segments and what they decode to, by a module in node.
//
// tests/segment_cases.py writes and reads the files. Arguments: segment.mjs, module, input, output, how many writers at
// once ("all": every case has its writer before the first frame, and they take turns).
import { readFileSync, writeFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const [script, module, input, output, order] = process.argv.slice(2);
const { load, SegmentWriter } = await import(pathToFileURL(script).href);
const codec = await load(readFileSync(module));
const WORDS = 14;
const SCALE = -18;

function* cases(data) {
  for (let at = 0; at < data.byteLength;) {
    const [version, warmBits, groupLen, headroom, lowQ8, driftQ8, hysteresisFrames, blockFrames, hotMinScore,
           warmMinScore, touchEvery, , tensorLen, count] = new Uint32Array(data, at, WORDS);
    const policy = { version, warmBits, groupLen, headroom, lowQ8, driftQ8, hysteresisFrames, blockFrames, hotMinScore,
                     warmMinScore };
    yield { policy, touchEvery, tensorLen, count, values: new Float32Array(data, at + 4 * WORDS, tensorLen * count) };
    at += 4 * (WORDS + tensorLen * count);
  }
}

function push(stream, now) {
  const { writer, tensorLen, values, touchEvery, parts } = stream;
  if (touchEvery !== 0 && now % touchEvery === 0) writer.touch(now);
  try {
    parts.push(writer.push(values.subarray(now * tensorLen, (now + 1) * tensorLen), now));
  } catch (error) {
    if (error.code !== SCALE) throw error;
    stream.refused++;
  }
}

function answer(stream) {
  const parts = [...stream.parts, stream.writer.flush()].filter((part) => part !== null);
  stream.writer.free();
  const chunks = [Uint32Array.of(stream.refused, parts.length)];
  for (const part of parts) {
    const { values } = codec.decode(part);
    chunks.push(Uint32Array.of(part.length), part, Uint32Array.of(values.byteLength), values);
  }
  return chunks.map((chunk) => Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength));
}

const file = readFileSync(input);
const streams = [...cases(file.buffer.slice(file.byteOffset, file.byteOffset + file.length))];
const begin = (stream) => Object.assign(stream, {
  refused: 0, parts: [], writer: new SegmentWriter(codec, stream.tensorLen, stream.policy) });
const answers = [];
if (order === "all") {
  streams.forEach(begin);
  const most = Math.max(...streams.map((stream) => stream.count));
  for (let now = 0; now < most; now++) {
    for (const stream of streams) if (now < stream.count) push(stream, now);
  }
  for (const stream of streams) answers.push(...answer(stream));
} else {
  for (const stream of streams) {
    begin(stream);
    for (let now = 0; now < stream.count; now++) push(stream, now);
    answers.push(...answer(stream));
  }
}
writeFileSync(output, Buffer.concat(answers));
