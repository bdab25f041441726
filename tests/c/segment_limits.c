/* What only shows at the ends of memory: segments of nearly 4 GiB, and sets in memory that nobody may write. */
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../c_core/src/segment.h"

#define MAPPED (((size_t)1 << 32) + 4096)
#define IDS 1000u

static void need(int fine, const char *what) {
    if (!fine) {
        puts(what);
        exit(1);
    }
}

static void put_head(uint8_t *bytes, uint32_t tensor_len, uint32_t frames) {
    memcpy(bytes, "TQTC\1\10", 6);
    spk_store32(bytes + SEGMENT_GROUP_LEN, UINT32_MAX);
    spk_store32(bytes + SEGMENT_TENSOR_LEN, tensor_len);
    spk_store32(bytes + SEGMENT_FRAME_COUNT, frames);
    spk_store32(bytes + SEGMENT_SCALE_COUNT, 1);
    bytes[SEGMENT_SCALES_1 + 1] = 0x3C; /* 1.0 */
    spk_store32(bytes + SEGMENT_SCALES_1 + 2, tensor_len * frames);
}

/* Zeros that take no memory until they are written. */
static void huge_segments(void) {
    uint8_t *bytes = mmap(NULL, MAPPED, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    spk_segment_t segment;
    spk_segment_reader_t reader;
    uint32_t offset;
    float value = 0;
    if (bytes == MAP_FAILED) {
        return;
    }
    put_head(bytes, 1, UINT32_MAX - 28);
    need(spk_segment_open(&segment, bytes, MAPPED, &offset) == SPK_OK, "4 GiB less a byte is refused");
    need(segment.byte_count == UINT32_MAX, "its size");
    need(spk_segment_reader_init(&reader, &segment, NULL, NULL, 0) == SPK_OK, "its reader");
    bytes[UINT32_MAX - 1] = 200;
    need(spk_segment_read(&reader, segment.frame_count - 1, &value) == SPK_OK && value == 73, "its last value");
    need(spk_segment_open(&segment, bytes, UINT32_MAX - 1, &offset) == SPK_ERROR_TRUNCATED, "its truncation");
    put_head(bytes, 1, UINT32_MAX - 27);
    need(spk_segment_open(&segment, bytes, MAPPED, &offset) == SPK_ERROR_TRUNCATED, "4 GiB are taken");
    put_head(bytes, 65535, 65537);
    need(spk_segment_open(&segment, bytes, MAPPED, &offset) == SPK_ERROR_TRUNCATED, "more than 4 GiB are taken");
    munmap(bytes, MAPPED);
}

/* Sets are coded from where they lie, which may be flash. */
static void constant_sets(void) {
    uint32_t *set = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    uint32_t detail;
    spk_segment_policy_default(&policy);
    policy.coding = spk_segment_version_2();
    policy.block_frames = 2;
    size_t work_bytes = spk_segment_work_bytes(&policy, SPK_SEGMENT_SETS, IDS);
    size_t capacity = spk_segment_buffer_bytes(&policy, SPK_SEGMENT_SETS, IDS, 300);
    void *work = malloc(work_bytes);
    uint8_t *buffer = malloc(capacity);
    need(set != MAP_FAILED && work != NULL && buffer != NULL, "memory");
    need(spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_SETS, IDS, work, work_bytes, buffer, (uint32_t)capacity,
                                 0) == SPK_OK, "writer");
    for (uint32_t step = 1; step < 300; step++) { /* dense, plain, sparse */
        memset(set, 0, 4096);
        for (uint32_t id = 0; id < IDS; id += 1 + id * id % step) {
            set[id / 32] |= 1u << id % 32;
        }
        need(mprotect(set, 4096, PROT_READ) == 0, "mprotect");
        need(spk_segment_push(&writer, set, SPK_VALUES_BITMAP, 0, &detail) == 1, "push");
        need(mprotect(set, 4096, PROT_READ | PROT_WRITE) == 0, "mprotect");
    }
    need(spk_segment_close(&writer) != 0, "close");
    munmap(set, 4096);
    free(work);
    free(buffer);
}

int main(void) {
    constant_sets();
    if (sizeof(size_t) > 4) {
        huge_segments();
    }
    puts("ok");
    return 0;
}
