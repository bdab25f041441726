/* frame -> scales: groupwise calibration, and whether a frame keeps to it. */
#include "segment.h"

#define INFINITE_BITS 0x7F800000u
#define MAGNITUDE_BITS 0x7FFFFFFFu
#define LARGEST 0x7F7FFFFFu /* bits of the largest finite binary32 */
#define SMALLEST 0x00800000u /* bits of the smallest normal one */

/* Largest magnitude, as bits; infinities and NaNs count as what their bits are. */
SPK_CLONES static uint32_t most_float(const float *values, uint32_t count) {
    uint32_t most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits = spk_bits_from_float(values[i]) & MAGNITUDE_BITS;
        most = bits > most ? bits : most;
    }
    return most;
}

/* Largest finite magnitude, as bits. */
static uint32_t most_finite(const float *values, uint32_t count) {
    uint32_t most = most_float(values, count);
    if (most < INFINITE_BITS) {
        return most;
    }
    most = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t bits = spk_bits_from_float(values[i]) & MAGNITUDE_BITS;
        most = bits > most && bits < INFINITE_BITS ? bits : most;
    }
    return most;
}

/* The same of integers. */
static uint32_t most_integer(const void *values, spk_values_t type, uint32_t first, uint32_t count) {
    const int16_t *wide = (const int16_t *)values + first;
    const int8_t *narrow = (const int8_t *)values + first;
    int32_t high = 0;
    int32_t low = 0;
    for (uint32_t i = 0; i < count; i++) {
        int32_t value = type == SPK_VALUES_INT16 ? wide[i] : narrow[i];
        high = value > high ? value : high;
        low = value < low ? value : low;
    }
    return spk_bits_from_float((float)(high > -low ? high : -low));
}

/* Largest finite magnitude of a range, as bits. */
static uint32_t most_of(const void *values, spk_values_t type, uint32_t first, uint32_t count) {
    return type == SPK_VALUES_FLOAT32 ? most_finite((const float *)values + first, count)
                                      : most_integer(values, type, first, count);
}

int segment_takes(spk_segment_writer_t *writer, const segment_tally_t *tally) {
    const spk_segment_policy_t *policy = writer->policy;
    /* an empty frame is exact at any scale */
    int low = tally->reach != 0 && spk_float_from_bits(tally->reach) < writer_open(writer)->low;
    int asks = tally->rises || low;
    if ((tally->rises && policy->headroom) || (asks && writer->low_frames + 1 >= policy->hysteresis_frames)) {
        writer->state |= WRITER_CARRIES;
        return 0;
    }
    writer->low_frames = asks ? (uint8_t)(writer->low_frames + 1) : 0;
    return 1;
}

/* The smallest positive binary16 at or above a scale, which may have become 0, or the nearest to it, as a binary32. */
static float half_scale(float scale, int up) {
    uint32_t half = spk_half_from_float_bits(spk_bits_from_float(scale));
    float held = spk_float_from_bits(spk_half_to_float_bits((uint16_t)half));
    if (up && (held < scale || held == 0)) {
        held = spk_float_from_bits(spk_half_to_float_bits((uint16_t)(half + 1)));
    }
    return held;
}

/* May a group with this maximum be coded at this scale? */
static int holds(const spk_segment_policy_t *policy, float scale, float qmax, float most) {
    if (spk_bits_from_float(scale) >= INFINITE_BITS) {
        return 0;
    }
    return !policy->headroom || scale * qmax * ((float)policy->low_q8 / 256.0f) <= most;
}

/* A binary32 scale whose inverse and whose largest value are finite. */
static float float_scale(float scale, float qmax) {
    float largest = spk_float_from_bits(spk_bits_from_float(spk_float_from_bits(LARGEST) / qmax) - 1);
    float smallest = spk_float_from_bits(SMALLEST);
    return scale < smallest ? smallest : scale > largest ? largest : scale;
}

/* Scales of all groups, whose maxima stand in `limit`. Returns the first group that binary16 cannot hold; the number
 * of groups where it holds all. */
static uint32_t choose_scales(spk_segment_writer_t *writer, uint32_t groups, float qmax, float factor, int floats) {
    segment_group_t *group = writer_groups(writer);
    int headroom = writer->policy->headroom;
    for (uint32_t g = 0; g < groups; g++) {
        float most = group[g].limit;
        float scale = headroom ? most / qmax * factor : most / qmax;
        if (most > 0) {
            scale = floats ? float_scale(scale, qmax) : half_scale(scale, headroom);
            if (!floats && !holds(writer->policy, scale, qmax, most)) {
                return g;
            }
        }
        group[g].scale = scale;
    }
    return groups;
}

static void set_limits(spk_segment_writer_t *writer, uint32_t groups, float qmax, float factor) {
    segment_group_t *group = writer_groups(writer);
    int headroom = writer->policy->headroom;
    float largest = 0;
    for (uint32_t g = 0; g < groups; g++) {
        largest = group[g].scale > largest ? group[g].scale : largest;
    }
    for (uint32_t g = 0; g < groups; g++) {
        if (headroom && group[g].scale == 0) {
            group[g].scale = largest; /* a silent group takes what the loudest does */
        }
        float full = group[g].scale * qmax;
        float limit = headroom ? full : full * factor;
        group[g].limit = headroom && group[g].limit > limit ? group[g].limit : limit;
        group[g].inverse = group[g].scale > 0 ? 1.0f / group[g].scale : 0;
    }
    writer_open(writer)->low = largest * qmax * ((float)writer->policy->low_q8 / 256.0f);
}

/* How far beyond the frame's own maximum a group may keep its old scale: never so far that the frame were too low. */
static float carry_limit(const spk_segment_policy_t *policy, float factor) {
    return factor * 1.375f * (float)policy->low_q8 < 255.0f ? 1.375f : 1.0f;
}

/* The maximum to calibrate each group for, into `limit`. With headroom a group whose last segment held more keeps 63/64
 * of that, as far as the bound of the frame allows: far fewer segments are begun. */
static void find_maxima(spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t groups,
                        float factor) {
    segment_group_t *group = writer_groups(writer);
    int carries = writer->policy->headroom && writer->state & WRITER_CARRIES;
    uint32_t length = writer->policy->group_len;
    uint32_t left = writer->tensor_len;
    float frame_most = 0;
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t here = left < length ? left : length;
        float most = spk_float_from_bits(most_of(values, type, writer->tensor_len - left, here));
        float held = carries ? group[g].limit / factor * 0.984375f : 0;
        frame_most = most > frame_most ? most : frame_most;
        group[g].limit = most;
        group[g].scale = held;
        left -= here;
    }
    float most_held = frame_most * carry_limit(writer->policy, factor);
    for (uint32_t g = 0; g < groups; g++) {
        float held = group[g].scale < most_held ? group[g].scale : most_held;
        group[g].limit = held > group[g].limit ? held : group[g].limit;
    }
}

int segment_calibrate(spk_segment_writer_t *writer, const void *values, spk_values_t type, int tier,
                      uint32_t *detail) {
    const spk_segment_policy_t *policy = writer->policy;
    uint32_t groups = segment_groups(writer->tensor_len, policy->group_len);
    float qmax = (float)segment_qmax(policy->bits[tier]);
    float factor = 1.0f + (float)policy->drift_q8[tier] / 256.0f;
    find_maxima(writer, values, type, groups, factor);
    writer->low_frames = 0;
    writer->state = 0;
    *detail = choose_scales(writer, groups, qmax, factor, 0);
    if (*detail != groups) {
        if (policy->coding == NULL) {
            return SPK_ERROR_SCALE;
        }
        (void)choose_scales(writer, groups, qmax, factor, 1);
        writer->state |= WRITER_FLOAT_SCALES;
    }
    set_limits(writer, groups, qmax, factor);
    return SPK_OK;
}

