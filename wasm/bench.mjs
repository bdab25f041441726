// module -> microseconds (JSON): a frame of 512 floats pushed and decoded, the best of many rounds.
//
// Arguments: a module, bits (3, 5, 7, 8), version (1, 2).
import { readFileSync } from "node:fs";
import { load } from "./segment.mjs";

const [module, bits = "8", version = "1"] = process.argv.slice(2);
const LEN = 512, FRAMES = 64, CAPACITY = 1 << 18, ROUNDS = 200;
const codec = await load(readFileSync(module));
const { ttc, scratch } = codec;
const at = codec.room(4 * LEN * FRAMES + CAPACITY + 4 * LEN * 512), out = at + 4 * LEN * FRAMES, values = out + CAPACITY;

// Random, but the same at every run.
let state = 1;
const random = () => (state = Math.imul(state, 1103515245) + 12345 >>> 0) / 2 ** 32 - 0.5;
codec.floats(at, LEN * FRAMES).forEach((_, i, all) => { all[i] = random(); });

function best(count, call) {
  let least = Infinity;
  for (let round = 0; round < ROUNDS; round++) {
    const begin = process.hrtime.bigint();
    for (let i = 0; i < count; i++) codec.check(call(i));
    least = Math.min(least, Number(process.hrtime.bigint() - begin) / count / 1000);
  }
  return least;
}

codec.check(ttc.ttc_create_with_policy(LEN, 0, 0xffffffff, 0, Number(bits), 26, 64, scratch));
const handle = codec.word(0);
codec.check(ttc.ttc_configure(handle, Number(version), 1, 143, 1, 128));
const count = version === "1" ? 1024 : 64;
const push = best(count, (i) => ttc.ttc_push_frame(handle, 0, at + i % FRAMES * 4 * LEN, LEN, out, CAPACITY, scratch));
codec.check(ttc.ttc_flush(handle, out, CAPACITY, scratch));
const bytes = codec.word(0);
codec.check(ttc.ttc_segment_info(out, bytes, scratch));
const frames = codec.word(6);
const decode = best(1, () => ttc.ttc_decode_segment(out, bytes, values, LEN * 512, scratch)) / frames;
console.log(JSON.stringify({ push_us: push, decode_us: decode, frames, bytes }));
