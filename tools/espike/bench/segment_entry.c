/* entry points -> link: what an application that writes and reads segments of both versions calls of the core, for the
 * size of the code it carries. Never run: the calls are kept because main is. */
#include "espike/segment.h"

int main(void);

int main(void) {
    static spk_segment_policy_t policy;
    static spk_segment_writer_t writer;
    static spk_segment_t segment;
    static spk_segment_reader_t reader;
    static uint64_t work[64];
    static uint8_t buffer[256];
    static int32_t values[64];
    uint32_t detail = 0;
    spk_segment_policy_default(&policy);
    policy.coding = spk_segment_version_2();
    int result = spk_segment_writer_init(&writer, &policy, SPK_SEGMENT_SETS, 64, work, sizeof work, buffer, 256, 0);
    spk_segment_touch(&writer, 1);
    result += spk_segment_push(&writer, values, SPK_VALUES_BITMAP, 0, &detail);
    result += spk_segment_open(&segment, buffer, spk_segment_close(&writer), &detail);
    result += spk_segment_reader_init(&reader, &segment, policy.coding, work, sizeof work);
    result += spk_segment_read(&reader, 0, (float *)(void *)values);
    result += spk_segment_read_integers(&reader, 0, values) + spk_segment_read_set(&reader, 0, (uint32_t *)values);
    return result + (int)spk_segment_bound(&segment, 0);
}
