/* sizes at their limits: what passes 32 bits is said to, wherever size_t ends; needs no library, runs on a chip too.
 *
 * The exit status is 0, or the line of the first check that failed modulo 256. */
#include "espike/segment.h"

typedef char writer_is_small[sizeof(spk_segment_writer_t) <= 64 ? 1 : -1];

#define NEED(fine) \
    if (!(fine)) { \
        return __LINE__ % 256 != 0 ? __LINE__ % 256 : 1; \
    }

static uint64_t words[64];
static uint8_t buffer[64];

static uint64_t at_most(uint64_t bytes) { return bytes < SIZE_MAX ? bytes : SIZE_MAX; }

int main(void);

int main(void) {
    static const uint32_t lengths[] = {1, 7, 0x10000, 0x0CCCCCCD, 1 << 28, 0x15555555, 0x15555556, 0x20000000,
                                       0x33333334, 0x40000000, 0x55555556, 0x80000000u, 0xAAAAAAABu, UINT32_MAX};
    spk_segment_policy_t policy;
    spk_segment_writer_t writer;
    spk_segment_policy_default(&policy);
    for (uint32_t group_len = 1; group_len <= 3; group_len++) {
        policy.group_len = group_len;
        for (uint32_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
            const uint32_t length = lengths[i];
            const uint64_t groups = ((uint64_t)length + group_len - 1) / group_len;
            policy.coding = NULL;
            NEED(spk_segment_work_bytes(&policy, SPK_SEGMENT_QUANTIZED, length) >= at_most(12 * groups));
            NEED(spk_segment_buffer_bytes(&policy, SPK_SEGMENT_QUANTIZED, length, 1) >= at_most(26 + 2 * groups + length));
            NEED(spk_segment_buffer_bytes(&policy, SPK_SEGMENT_QUANTIZED, length, 65536) >=
                 at_most(26 + 2 * groups + 65536 * (uint64_t)length));
            if (12 * groups > sizeof words) {
                NEED(spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_QUANTIZED, length, words, sizeof words, buffer,
                                             sizeof buffer, 0) == SPK_ERROR_RAM);
            }
            policy.coding = spk_segment_version_2();
            for (int kind = 0; kind < 3; kind++) {
                const uint64_t width = kind == SPK_SEGMENT_QUANTIZED ? 8 : kind == SPK_SEGMENT_INTEGERS ? 32 : 1;
                const uint64_t own = kind == SPK_SEGMENT_QUANTIZED ? 12 * groups : 0;
                size_t work = spk_segment_work_bytes(&policy, (spk_segment_kind_t)kind, length);
                size_t room = spk_segment_buffer_bytes(&policy, (spk_segment_kind_t)kind, length, 3);
                NEED(length <= SPK_SEGMENT_MOST_VALUES ? work >= at_most(own + width * length / 8) : work == 0);
                NEED(length <= SPK_SEGMENT_MOST_VALUES ? room >= at_most(3 * (width * length / 8)) : room == 0);
            }
        }
    }
    return 0;
}

#ifdef __riscv
void _start(void);

/* Linux's exit, as QEMU has it for programs. */
void _start(void) {
    register int status __asm__("a0") = main();
    register int call __asm__("a7") = 93;
    __asm__ volatile("ecall" : : "r"(status), "r"(call));
    for (;;) {
    }
}
#endif
