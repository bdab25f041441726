/* bytes -> segment: what a reader may rely on; policy and tiers. */
#include "segment.h"

#include "espike/bitpack.h"
#include "espike/link.h"

void spk_segment_policy_default(spk_segment_policy_t *policy) {
    *policy = (spk_segment_policy_t){.group_len = 64, .hot_min_score = 512, .warm_min_score = 64,
                                     .drift_q8 = {26, 26, 26}, .low_q8 = 143, .block_frames = 128,
                                     .bits = {8, 7, 3}, .headroom = 1, .measure_frames = 8,
                                     .hysteresis_frames = 1};
}

void spk_segment_policy_plain(spk_segment_policy_t *policy) {
    spk_segment_policy_default(policy);
    policy->headroom = 0;
    policy->low_q8 = 0;
}

static int is_width(uint32_t bits) { return bits == 3 || bits == 5 || bits == 7 || bits == 8; }

int spk_segment_policy_check(const spk_segment_policy_t *policy) {
    int fine = policy->group_len >= 1 && policy->low_q8 <= 256 && policy->block_frames >= 1 &&
               policy->headroom <= 1 && policy->hysteresis_frames >= 1;
    for (int tier = 0; tier < 3; tier++) {
        /* a frame has to fit the scales that were made for it: (1 + drift) * low < 1, with room for rounding */
        uint32_t product = (256u + policy->drift_q8[tier]) * policy->low_q8;
        fine = fine && is_width(policy->bits[tier]) && (!policy->headroom || product <= 65000);
    }
    return fine ? SPK_OK : SPK_ERROR_PARAMETER;
}

uint32_t spk_segment_score(uint32_t access_count, uint32_t last_access, uint32_t now) {
    uint32_t age = now - last_access + 1;
    uint32_t product = access_count > UINT32_MAX / 1024 ? UINT32_MAX : access_count * 1024;
    return product / (age != 0 ? age : 1);
}

spk_tier_t spk_segment_tier(const spk_segment_policy_t *policy, uint32_t score) {
    return score >= policy->hot_min_score ? SPK_TIER_HOT : score >= policy->warm_min_score ? SPK_TIER_WARM : SPK_TIER_COLD;
}

static int refuse(uint32_t *offset, uint32_t at, int error) {
    *offset = at;
    return error;
}

/* The first 22 bytes, which both versions share. */
static int open_head(spk_segment_t *segment, const uint8_t *bytes, size_t count, uint32_t *offset) {
    if (count < SPK_SEGMENT_HEAD_BYTES) {
        return refuse(offset, (uint32_t)count, SPK_ERROR_TRUNCATED);
    }
    if (spk_load32(bytes) != SEGMENT_MAGIC_WORD) {
        return refuse(offset, SEGMENT_MAGIC, SPK_ERROR_MAGIC);
    }
    *segment = (spk_segment_t){.bytes = bytes, .version = bytes[SEGMENT_VERSION], .bits = bytes[SEGMENT_BITS],
                               .group_len = spk_load32(bytes + SEGMENT_GROUP_LEN),
                               .tensor_len = spk_load32(bytes + SEGMENT_TENSOR_LEN),
                               .frame_count = spk_load32(bytes + SEGMENT_FRAME_COUNT),
                               .scale_count = spk_load32(bytes + SEGMENT_SCALE_COUNT)};
    if (segment->version != 1 && segment->version != 2) {
        return refuse(offset, SEGMENT_VERSION, SPK_ERROR_VERSION);
    }
    segment->kind = segment->version == 2 ? bytes[SEGMENT_KIND] : SPK_SEGMENT_QUANTIZED;
    return segment->tensor_len == 0 ? refuse(offset, SEGMENT_TENSOR_LEN, SPK_ERROR_LAYOUT) : SPK_OK;
}

/* Widths, groups and scales go together. */
static int check_shape(const spk_segment_t *segment, uint32_t *offset) {
    if (segment->kind != SPK_SEGMENT_QUANTIZED) {
        return segment->bits != 0          ? refuse(offset, SEGMENT_BITS, SPK_ERROR_LAYOUT)
               : segment->group_len != 0   ? refuse(offset, SEGMENT_GROUP_LEN, SPK_ERROR_LAYOUT)
               : segment->scale_count != 0 ? refuse(offset, SEGMENT_SCALE_COUNT, SPK_ERROR_LAYOUT)
                                           : SPK_OK;
    }
    if (segment->bits < 2 || segment->bits > 8) {
        return refuse(offset, SEGMENT_BITS, SPK_ERROR_LAYOUT);
    }
    if (segment->group_len == 0) {
        return refuse(offset, SEGMENT_GROUP_LEN, SPK_ERROR_LAYOUT);
    }
    return segment->scale_count != segment_groups(segment->tensor_len, segment->group_len)
               ? refuse(offset, SEGMENT_SCALE_COUNT, SPK_ERROR_LAYOUT) : SPK_OK;
}

static uint32_t scales_offset(const spk_segment_t *segment) {
    return segment->version == 1 ? SEGMENT_SCALES_1 : SEGMENT_SCALES_2;
}

/* Are all scales finite and not negative? They lie in the bytes. */
static int check_scales(const spk_segment_t *segment, uint32_t *offset) {
    uint32_t size = segment->float_scales ? 4 : 2;
    for (uint32_t g = 0; g < segment->scale_count; g++) {
        if (spk_bits_from_float(spk_segment_scale(segment, g)) >= 0x7F800000u) { /* a sign is larger still */
            return refuse(offset, scales_offset(segment) + g * size, SPK_ERROR_PARAMETER);
        }
    }
    return SPK_OK;
}

static int open_1(spk_segment_t *segment, size_t count, uint32_t *offset) {
    uint64_t end = SPK_SEGMENT_HEAD_BYTES + 2 * (uint64_t)segment->scale_count;
    if (end > count || end > UINT32_MAX) {
        return refuse(offset, SEGMENT_SCALES_1, SPK_ERROR_TRUNCATED);
    }
    uint32_t at = (uint32_t)end - 4;
    uint64_t frame = spk_packed_bytes(segment->tensor_len, segment->bits);
    segment->data_bytes = spk_load32(segment->bytes + at);
    segment->data_offset = at + 4;
    if (segment->data_bytes / frame != segment->frame_count || segment->data_bytes % frame != 0) {
        return refuse(offset, at, SPK_ERROR_LAYOUT);
    }
    end += segment->data_bytes;
    if (end > count || end > UINT32_MAX) {
        return refuse(offset, at, SPK_ERROR_TRUNCATED);
    }
    segment->byte_count = (uint32_t)end;
    return check_scales(segment, offset);
}

/* No encoder says so much in so few bytes: a value takes more than 1/8192 byte, a set too. */
static int is_plausible(const spk_segment_t *segment, uint32_t blocks) {
    uint64_t each = segment->kind == SPK_SEGMENT_SETS ? 1 : segment->tensor_len;
    uint64_t most = 8192 * ((uint64_t)segment->data_bytes + 16 * (uint64_t)blocks);
    return segment->frame_count == 0 || each <= most / segment->frame_count;
}

static int check_index(const spk_segment_t *segment, uint32_t blocks, uint32_t *offset) {
    uint32_t at = segment->data_offset + segment->data_bytes;
    uint32_t last = 0;
    for (uint32_t k = 0; k < blocks; k++, at += 4) {
        uint32_t end = spk_load32(segment->bytes + at);
        if (end < last || end > segment->data_bytes) {
            return refuse(offset, at, SPK_ERROR_LAYOUT);
        }
        last = end;
    }
    return last == segment->data_bytes ? SPK_OK : refuse(offset, SEGMENT_DATA_LEN_2, SPK_ERROR_LAYOUT);
}

static int open_2(spk_segment_t *segment, size_t count, uint32_t *offset) {
    if (count < SEGMENT_SCALES_2 + 4) {
        return refuse(offset, (uint32_t)count, SPK_ERROR_TRUNCATED);
    }
    uint32_t flags = segment->bytes[SEGMENT_FLAGS];
    segment->float_scales = (flags & SEGMENT_FLOAT_SCALES) != 0;
    segment->bounded = (flags & SEGMENT_BOUNDED) != 0;
    segment->block_frames = (uint16_t)spk_load16(segment->bytes + SEGMENT_BLOCK_FRAMES);
    segment->data_bytes = spk_load32(segment->bytes + SEGMENT_DATA_LEN_2);
    if (segment->tensor_len > SPK_SEGMENT_MOST_VALUES) {
        return refuse(offset, SEGMENT_TENSOR_LEN, SPK_ERROR_LAYOUT);
    }
    if (segment->kind > SPK_SEGMENT_SETS) {
        return refuse(offset, SEGMENT_KIND, SPK_ERROR_LAYOUT);
    }
    if (flags > (SEGMENT_FLOAT_SCALES | SEGMENT_BOUNDED) || (segment->float_scales && segment->kind != SPK_SEGMENT_QUANTIZED)) {
        return refuse(offset, SEGMENT_FLAGS, SPK_ERROR_LAYOUT);
    }
    if (segment->block_frames == 0) {
        return refuse(offset, SEGMENT_BLOCK_FRAMES, SPK_ERROR_LAYOUT);
    }
    uint32_t blocks = segment->frame_count / segment->block_frames + (segment->frame_count % segment->block_frames != 0);
    uint64_t scales = (segment->float_scales ? 4 : 2) * (uint64_t)segment->scale_count;
    uint64_t bytes = SEGMENT_SCALES_2 + scales + segment->data_bytes + 4 * (uint64_t)blocks + 4;
    if (!is_plausible(segment, blocks)) {
        return refuse(offset, SEGMENT_FRAME_COUNT, SPK_ERROR_LAYOUT);
    }
    if (bytes > count || bytes > UINT32_MAX) {
        return refuse(offset, SEGMENT_DATA_LEN_2, SPK_ERROR_TRUNCATED);
    }
    segment->byte_count = (uint32_t)bytes;
    segment->data_offset = (uint32_t)(SEGMENT_SCALES_2 + scales);
    uint32_t crc_at = segment->byte_count - 4;
    if (spk_crc32(0, segment->bytes, crc_at) != spk_load32(segment->bytes + crc_at)) {
        return refuse(offset, crc_at, SPK_ERROR_CRC);
    }
    int error = check_scales(segment, offset);
    return error != SPK_OK ? error : check_index(segment, blocks, offset);
}

int spk_segment_open(spk_segment_t *segment, const uint8_t *bytes, size_t count, uint32_t *offset) {
    *offset = 0;
    int error = open_head(segment, bytes, count, offset);
    error = error != SPK_OK ? error : check_shape(segment, offset);
    if (error != SPK_OK) {
        return error;
    }
    return segment->version == 1 ? open_1(segment, count, offset) : open_2(segment, count, offset);
}

float spk_segment_scale(const spk_segment_t *segment, uint32_t group) {
    const uint8_t *scales = segment->bytes + scales_offset(segment);
    return spk_float_from_bits(segment->float_scales
                                   ? spk_load32(scales + 4 * (size_t)group)
                                   : spk_half_to_float_bits((uint16_t)spk_load16(scales + 2 * (size_t)group)));
}

float spk_segment_bound(const spk_segment_t *segment, uint32_t group) {
    return spk_segment_scale(segment, group) * 0.5001f;
}
