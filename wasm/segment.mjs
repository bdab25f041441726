// segments <-> frames: the codec of segment.wasm, for node and browsers.
//
//   const codec = await load(bytes or URL of segment.wasm)
//   const writer = new SegmentWriter(codec, tensorLen, { version: 2 });
//   const done = writer.push(frame);        // Uint8Array of the segment that ended, or null
//   const last = writer.flush();
//   for (const bytes of codec.split(file)) { const { frames, tensorLen, values } = codec.decode(bytes); ... }

const BUFFER = -19; // SPK_ERROR_BUFFER
const WORDS = 64; // bytes at the begin of the scratch memory, for what calls write back
const INFO = ["version", "kind", "bits", "groupLen", "groupCount", "tensorLen", "frames", "blockFrames", "byteCount", "bounded"];
export const KINDS = ["quantized", "integers", "sets"];

// Does this machine run segment-simd.wasm?
export const hasSimd = () => WebAssembly.validate(new Uint8Array(
  [0, 97, 115, 109, 1, 0, 0, 0, 1, 5, 1, 96, 0, 1, 123, 3, 2, 1, 0, 10, 10, 1, 8, 0, 65, 0, 253, 15, 253, 98, 11]));

// What the codec refused: `code` of ttc.h, `message` its name, `detail` the number that goes with it.
export class SegmentError extends Error {
  constructor(message, code, detail) {
    super(`${message} (${detail})`);
    this.name = "SegmentError";
    this.code = code;
    this.detail = detail;
  }
}

// An instance of the module from its bytes, or from where it is.
export async function load(source) {
  const bytes = typeof source === "string" || source instanceof URL ? await (await fetch(source)).arrayBuffer() : source;
  return new Codec((await WebAssembly.instantiate(bytes, {})).instance.exports);
}

export class Codec {
  constructor(exports) {
    this.ttc = exports;
    this.scratch = exports.memory.buffer.byteLength; // memory behind the module's own
  }

  // Scratch memory of so many bytes behind the words -> its address.
  room(bytes) {
    const { memory } = this.ttc;
    const lacking = this.scratch + WORDS + bytes - memory.buffer.byteLength;
    if (lacking > 0) memory.grow(Math.ceil(lacking / 65536));
    return this.scratch + WORDS;
  }

  word(index) { return new Uint32Array(this.ttc.memory.buffer, this.scratch, WORDS / 4)[index]; }

  bytes(at, count) { return new Uint8Array(this.ttc.memory.buffer, at, count); }

  floats(at, count) { return new Float32Array(this.ttc.memory.buffer, at, count); }

  name(code) {
    const at = this.ttc.ttc_error_name(code);
    const text = this.bytes(at, 64);
    return String.fromCharCode(...text.subarray(0, text.indexOf(0)));
  }

  // Throws what a call returned, unless it is fine.
  check(code) {
    if (code < 0) throw new SegmentError(this.name(code), code, this.ttc.ttc_last_detail() >>> 0);
  }

  // What a segment says of itself; `kind` is one of KINDS.
  info(segment) {
    const at = this.room(segment.length);
    this.bytes(at, segment.length).set(segment);
    return this.infoAt(at, segment.length);
  }

  infoAt(at, count) {
    this.check(this.ttc.ttc_segment_info(at, count, this.scratch));
    const info = Object.fromEntries(INFO.map((name, i) => [name, this.word(i)]));
    return { ...info, kind: KINDS[info.kind], bounded: info.bounded === 1 };
  }

  // All frames of a segment: `values` holds frame after frame.
  decode(segment) { return this.read(segment, this.ttc.ttc_decode_segment); }

  // |value - decoded value| that each group of quantized frames states, at most.
  bounds(segment) { return this.read(segment, this.ttc.ttc_segment_bounds).values; }

  read(segment, call) {
    const { frames, tensorLen, groupCount } = this.info(segment);
    const count = call === this.ttc.ttc_segment_bounds ? groupCount : frames * tensorLen;
    const from = this.room(segment.length + 4 + 4 * count);
    const to = (from + segment.length + 3) & ~3;
    this.check(call(from, segment.length, to, count, this.scratch));
    return { frames, tensorLen, values: this.floats(to >>> 0, this.word(0)).slice() };
  }

  // The segments of a file, back to back.
  split(file) {
    const parts = [];
    const begin = this.room(file.length);
    this.bytes(begin, file.length).set(file);
    for (let at = 0; at < file.length;) {
      const { byteCount } = this.infoAt(begin + at, file.length - at);
      parts.push(file.subarray(at, at + byteCount));
      at += byteCount;
    }
    return parts;
  }
}

// Compresses one stream. Policy: hotMinScore, warmMinScore, warmBits, driftQ8, groupLen, version, headroom, lowQ8,
// hysteresisFrames, blockFrames; what is not said is as docs/segment.md has it.
export class SegmentWriter {
  constructor(codec, tensorLen, policy = {}, now = 0) {
    const p = { hotMinScore: 512, warmMinScore: 64, warmBits: 7, driftQ8: 26, groupLen: 64, version: 1, headroom: true,
                hysteresisFrames: 1, blockFrames: 128, ...policy };
    p.lowQ8 ??= Math.min(143, Math.floor(65000 / (256 + p.driftQ8)));
    codec.room(0);
    codec.check(codec.ttc.ttc_create_with_policy(tensorLen, now, p.hotMinScore, p.warmMinScore, p.warmBits, p.driftQ8,
                                                 p.groupLen, codec.scratch));
    this.codec = codec;
    this.handle = codec.word(0);
    this.tensorLen = tensorLen;
    this.capacity = 1024; // bytes of a segment: grows to what the stream needs
    const code = codec.ttc.ttc_configure(this.handle, p.version, p.headroom ? 1 : 0, p.lowQ8, p.hysteresisFrames,
                                         p.blockFrames);
    if (code < 0) {
      const error = new SegmentError(codec.name(code), code, codec.ttc.ttc_last_detail() >>> 0);
      this.free();
      throw error;
    }
  }

  touch(now) { this.codec.check(this.codec.ttc.ttc_touch(this.handle, now)); }

  setAccess(count, last) { this.codec.check(this.codec.ttc.ttc_set_access(this.handle, count, last)); }

  // Add a frame of numbers -> the segment before it where one ended, else null.
  push(frame, now = 0) {
    return this.take(frame.length * 4, (at, out) => {
      this.codec.floats(at, frame.length).set(frame);
      return this.codec.ttc.ttc_push_frame(this.handle, now, at, frame.length, out, this.capacity, this.codec.scratch);
    });
  }

  // End the open segment -> its bytes, null where no frame was open.
  flush() {
    return this.take(0, (at, out) => this.codec.ttc.ttc_flush(this.handle, out, this.capacity, this.codec.scratch));
  }

  // The stream ends; what was not flushed is gone.
  free() { this.codec.check(this.codec.ttc.ttc_free(this.handle)); }

  take(bytes, call) {
    for (;;) {
      const at = this.codec.room(bytes + this.capacity);
      const code = call(at, at + bytes);
      if (code !== BUFFER) {
        this.codec.check(code);
        const written = this.codec.word(0);
        return written === 0 ? null : this.codec.bytes(at + bytes, written).slice();
      }
      this.capacity = this.codec.word(0);
    }
  }
}
