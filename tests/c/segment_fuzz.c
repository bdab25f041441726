/* bytes -> segments: any bytes open or are refused, and what opens is read. Built under sanitizers.
 *
 * An input's first byte chooses: even, the rest is read as it is; odd, once magic, counts, index and CRC are repaired, so
 * that mutations get behind those checks. As a program it takes files of inputs, or without any, segments on standard
 * input, each behind its length in 4 bytes, and prints a line each: error and offset of a refusal; else the frames read,
 * the first damaged one or -1, and the CRC-32 of the values, or `large`. With -DFUZZER it is a libFuzzer target. */
#include "espike/bitpack.h"
#include "espike/link.h"
#include "segment_reading.h"

#define MOST_VALUES (1u << 14) /* that are decoded of a segment */

/* Every frame in order, then some again. *damaged: the first that cannot be decoded, or -1. */
static uint32_t read_frames(open_t *open, uint32_t frames, int64_t *damaged) {
    uint32_t *each = memory(sizeof *each * frames);
    uint32_t crc = 0;
    uint32_t read = 0;
    int error = SPK_OK;
    need(read_set(open, open->segment.frame_count) == SPK_ERROR_PARAMETER);
    need(spk_segment_read(&open->reader, UINT32_MAX, open->values) == SPK_ERROR_PARAMETER);
    while (read < frames && (error = read_frame(open, read)) == SPK_OK) {
        crc = spk_crc32(crc, open->values, open->frame_bytes);
        each[read++] = spk_crc32(0, open->values, open->frame_bytes);
    }
    need(error == SPK_OK || (error == SPK_ERROR_CODE && open->segment.version == 2));
    *damaged = error == SPK_OK ? -1 : (int64_t)read;
    for (uint32_t k = 0; k < 4 && frames != 0; k++) {
        uint32_t frame = crc % frames * (k + 1) / 4;
        error = read_frame(open, frame);
        need(frame < read ? error == SPK_OK && spk_crc32(0, open->values, open->frame_bytes) == each[frame]
                          : error != SPK_OK || frame / open->segment.block_frames > read / open->segment.block_frames);
    }
    free(each);
    return crc;
}

static void judge(const uint8_t *data, size_t size, int print) {
    uint8_t *copy = memory(size);
    open_t open;
    uint32_t offset = 0;
    memcpy(copy, data, size);
    int error = spk_segment_open(&open.segment, copy, size, &offset);
    need(error == SPK_OK ? open.segment.byte_count <= size : offset <= size);
    if (error != SPK_OK) {
        (void)(print && printf("%d %u\n", error, (unsigned)offset));
    } else if (open_reader(&open)) {
        uint32_t most = MOST_VALUES / open.segment.tensor_len + 1;
        uint32_t frames = open.segment.frame_count < most ? open.segment.frame_count : most;
        int64_t damaged;
        uint32_t crc = read_frames(&open, frames, &damaged);
        (void)(print && printf("%u %d %08x\n", (unsigned)frames, (int)damaged, (unsigned)crc));
        close_reader(&open);
    } else {
        (void)(print && puts("large"));
    }
    fflush(stdout);
    free(copy);
}

static void repair_index(uint8_t *index, uint32_t blocks, uint32_t data_bytes) {
    uint32_t last = 0;
    for (uint32_t k = 0; k < blocks; k++) {
        uint32_t end = spk_load32(index + 4 * k) % (data_bytes + 1);
        last = k + 1 == blocks ? data_bytes : end > last ? end : last;
        spk_store32(index + 4 * k, last);
    }
}

/* Counts, index and CRC as the rest wants them, where there can be such. */
static void repair(uint8_t *bytes, size_t size) {
    if (size < SEGMENT_SCALES_2 + 8 || size > MOST_BYTES) {
        return;
    }
    spk_store32(bytes, SEGMENT_MAGIC_WORD);
    uint32_t version = bytes[SEGMENT_VERSION] = (uint8_t)(1 + bytes[SEGMENT_VERSION] % 2);
    uint32_t kind = version == 2 ? bytes[SEGMENT_KIND] % 3 : 0;
    uint32_t length = spk_load32(bytes + SEGMENT_TENSOR_LEN);
    uint32_t group = spk_load32(bytes + SEGMENT_GROUP_LEN);
    uint32_t groups = kind != 0 ? 0 : segment_groups(length, group != 0 ? group : 1);
    uint32_t frames = spk_load32(bytes + SEGMENT_FRAME_COUNT);
    uint32_t floats = version == 2 && kind == 0 && (bytes[SEGMENT_FLAGS] & SEGMENT_FLOAT_SCALES) != 0;
    uint64_t head = (version == 1 ? SPK_SEGMENT_HEAD_BYTES : SEGMENT_SCALES_2) + (uint64_t)groups * (floats ? 4 : 2);
    if (head + 4 > size) {
        return;
    }
    spk_store32(bytes + SEGMENT_SCALE_COUNT, groups);
    spk_store32(bytes + SEGMENT_GROUP_LEN, kind != 0 ? 0 : group != 0 ? group : 1);
    bytes[SEGMENT_BITS] = (uint8_t)(kind != 0 ? 0 : 2 + bytes[SEGMENT_BITS] % 7);
    if (version == 1) {
        uint64_t frame = spk_packed_bytes(length, bytes[SEGMENT_BITS]);
        frames = frame != 0 ? (uint32_t)((size - head) / frame) : 0;
        spk_store32(bytes + SEGMENT_FRAME_COUNT, frames);
        spk_store32(bytes + head - 4, (uint32_t)(frames * frame));
        return;
    }
    uint32_t block = (uint32_t)spk_load16(bytes + SEGMENT_BLOCK_FRAMES);
    block = block != 0 ? block : 1;
    bytes[SEGMENT_KIND] = (uint8_t)kind;
    bytes[SEGMENT_FLAGS] = (uint8_t)(bytes[SEGMENT_FLAGS] & (kind != 0 ? SEGMENT_BOUNDED : SEGMENT_BOUNDED | SEGMENT_FLOAT_SCALES));
    bytes[SEGMENT_BLOCK_FRAMES] = (uint8_t)block;
    bytes[SEGMENT_BLOCK_FRAMES + 1] = (uint8_t)(block >> 8);
    uint32_t room = (uint32_t)(size - head - 4);
    frames %= room / 4 < 4096 ? (room / 4 + 1) * block : 4096;
    uint32_t blocks = frames / block + (frames % block != 0);
    frames = 4 * blocks > room ? 0 : frames;
    blocks = frames != 0 ? blocks : 0;
    uint32_t data_bytes = blocks != 0 ? room - 4 * blocks : 0;
    spk_store32(bytes + SEGMENT_FRAME_COUNT, frames);
    spk_store32(bytes + SEGMENT_DATA_LEN_2, data_bytes);
    repair_index(bytes + head + data_bytes, blocks, data_bytes);
    uint32_t end = (uint32_t)head + data_bytes + 4 * blocks;
    spk_store32(bytes + end, spk_crc32(0, bytes, end));
}

static void one_input(const uint8_t *data, size_t size) {
    if (size == 0 || size > MOST_BYTES) {
        return;
    }
    uint8_t *copy = memory(size);
    memcpy(copy, data + 1, size - 1);
    if (data[0] % 2 != 0) {
        repair(copy, size - 1);
    }
    judge(copy, size - 1, 0);
    free(copy);
}

#ifdef FUZZER

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    one_input(data, size);
    return 0;
}

#else

int main(int count, char **paths) {
    uint8_t length[4];
    while (count == 1 && fread(length, 1, sizeof length, stdin) == sizeof length) {
        size_t size = spk_load32(length);
        uint8_t *data = memory(size);
        need(fread(data, 1, size, stdin) == size);
        judge(data, size, 1);
        free(data);
    }
    return for_each_file(count, paths, one_input);
}

#endif
