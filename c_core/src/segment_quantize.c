/* values -> biased codes, and what coding them costs.
 *
 * m = |v| * (1 / scale) + 1/2, truncated, at most qmax; code = qmax +- m: all in binary32, no contraction. On a frame
 * that fits |v| / scale is far below 2^24; a larger product, or a NaN, is cut there so that truncation is defined. */
#include "segment.h"

#define INFINITE_BITS 0x7F800000u
#define MAGNITUDE_BITS 0x7FFFFFFFu
#define CUT 16777216.0f
#define STRIDE 32u /* values at a time; their squared errors go into SUMS sums */
#define SUMS 16u

/* One code. Returns the squared error in units of the scale. */
SPK_INLINE float code_value(float value, float inverse, int32_t qmax, uint8_t *code, uint32_t *magnitude) {
    uint32_t bits = spk_bits_from_float(value);
    *magnitude = bits & MAGNITUDE_BITS;
    float t = spk_float_from_bits(*magnitude) * inverse;
    int32_t m = (int32_t)((t < CUT ? t : CUT) + 0.5f);
    m = m < qmax ? m : qmax;
    float e = t + (float)-m;
    *code = (uint8_t)(bits >> 31 ? qmax - m : qmax + m);
    return e * e;
}

/* Errors of one group, in units of its scale, into the frame's. */
SPK_INLINE void fold(segment_tally_t *tally, const float *most, const float *square, float scale) {
    for (uint32_t i = 0; i < SEGMENT_LANES; i++) {
        float a = most[i] * scale * scale; /* scale * scale may be infinite, and 0 times that a NaN */
        tally->most[i] = a > tally->most[i] ? a : tally->most[i];
        tally->square[i] += (square[i] + square[i + SEGMENT_LANES]) * scale * scale;
    }
}

SPK_INLINE void note_reach(segment_tally_t *tally, const segment_group_t *group, uint32_t reach) {
    tally->rises |= reach > spk_bits_from_float(group->limit);
    tally->reach = reach > tally->reach ? reach : tally->reach;
}

/* Values of one group in strides that compilers vectorize. Returns how many were done. */
SPK_INLINE uint32_t code_strides(const float *restrict values, uint32_t count, const segment_group_t *group,
                                 int32_t qmax, uint8_t *restrict codes, segment_tally_t *tally, int measures) {
    float most[SEGMENT_LANES] = {0};
    float square[SUMS] = {0};
    uint32_t far = 0;
    uint32_t done = 0;
    for (; done + STRIDE <= count; done += STRIDE) {
        float error[STRIDE];
        uint32_t magnitude[STRIDE];
        for (uint32_t i = 0; i < STRIDE; i++) {
            error[i] = code_value(values[done + i], group->inverse, qmax, codes + done + i, magnitude + i);
        }
        for (uint32_t i = 0; i < STRIDE; i++) {
            far = magnitude[i] > far ? magnitude[i] : far;
        }
        for (uint32_t i = 0; measures && i < STRIDE; i++) {
            most[i % SEGMENT_LANES] = error[i] > most[i % SEGMENT_LANES] ? error[i] : most[i % SEGMENT_LANES];
            square[i % SUMS] += error[i];
        }
    }
    note_reach(tally, group, far);
    if (measures) {
        fold(tally, most, square, group->scale);
    }
    return done;
}

/* The last values of a group, fewer than a stride. */
static void code_rest(const float *values, uint32_t count, const segment_group_t *group, int32_t qmax,
                          uint8_t *codes, segment_tally_t *tally) {
    float most[SEGMENT_LANES] = {0};
    float square[SUMS] = {0};
    uint32_t reach = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t magnitude;
        float error = code_value(values[i], group->inverse, qmax, codes + i, &magnitude);
        most[i % SEGMENT_LANES] = error > most[i % SEGMENT_LANES] ? error : most[i % SEGMENT_LANES];
        square[i % SUMS] += error;
        reach = magnitude > reach ? magnitude : reach;
    }
    if (tally->measures) {
        fold(tally, most, square, group->scale);
    }
    note_reach(tally, group, reach);
}

/* Where the scale is 0 so is every decoded value: each value is its own error. */
static void tally_lost(segment_tally_t *tally, const float *values, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        float square = values[i] * values[i];
        float *most = &tally->most[i % SEGMENT_LANES];
        *most = square > *most ? square : *most;
        tally->square[i % SEGMENT_LANES] += square;
    }
}

/* A piece of a frame, group by group. */
SPK_INLINE void code_piece(const spk_segment_writer_t *writer, const float *values, uint32_t first, uint32_t count,
                           uint8_t *codes, segment_tally_t *tally, int measures) {
    const uint32_t length = writer->policy->group_len;
    const int32_t qmax = (int32_t)segment_qmax(writer->bits);
    const segment_group_t *group = writer_groups(writer) + first / length;
    uint32_t room = length - first % length;
    for (uint32_t begin = 0; begin < count; group++) {
        uint32_t here = count - begin < room ? count - begin : room;
        uint32_t done = SPK_BLOCKS ? code_strides(values + begin, here, group, qmax, codes + begin, tally, measures) : 0;
        if (done < here) {
            code_rest(values + begin + done, here - done, group, qmax, codes + begin + done, tally);
        }
        if (measures && group->scale == 0) {
            tally_lost(tally, values + begin, here);
        }
        begin += here;
        room = length;
    }
}

static void code_plain(const spk_segment_writer_t *writer, const float *values, uint32_t first, uint32_t count,
                       uint8_t *codes, segment_tally_t *tally) {
    if (!SPK_BLOCKS) {
        code_piece(writer, values, first, count, codes, tally, (int)tally->measures);
    } else if (tally->measures) {
        code_piece(writer, values, first, count, codes, tally, 1);
    } else {
        code_piece(writer, values, first, count, codes, tally, 0);
    }
}

#if SPK_AVX2
#include "segment_avx2.inc"

static void code_floats(const spk_segment_writer_t *writer, const float *values, uint32_t first, uint32_t count,
                        uint8_t *codes, segment_tally_t *tally) {
    (__builtin_cpu_supports("avx2") ? code_avx2 : code_plain)(writer, values, first, count, codes, tally);
}
#else
#define code_floats code_plain
#endif

/* Integers as floats; floats without those that are not finite. */
static void load_piece(const void *values, spk_values_t type, uint32_t first, uint32_t count, float *piece) {
    for (uint32_t i = 0; i < count; i++) {
        if (type == SPK_VALUES_INT16) {
            piece[i] = ((const int16_t *)values)[first + i];
        } else if (type == SPK_VALUES_INT8) {
            piece[i] = ((const int8_t *)values)[first + i];
        } else {
            float value = ((const float *)values)[first + i];
            piece[i] = (spk_bits_from_float(value) & MAGNITUDE_BITS) < INFINITE_BITS ? value : 0;
        }
    }
}

#include "segment_integers.inc"

void segment_quantize(const spk_segment_writer_t *writer, const void *values, spk_values_t type, uint32_t first,
                      uint32_t count, uint8_t *codes, segment_tally_t *tally) {
    float piece[SEGMENT_PIECE];
    if (type == SPK_VALUES_FLOAT32) {
        const segment_tally_t before = *tally;
        code_floats(writer, (const float *)values + first, first, count, codes, tally);
        if (tally->reach < INFINITE_BITS) {
            return;
        }
        *tally = before;
    } else if (!SPK_BLOCKS && code_integers(writer, values, type, first, count, codes, tally)) {
        return;
    }
    load_piece(values, type, first, count, piece);
    code_floats(writer, piece, first, count, codes, tally);
}
