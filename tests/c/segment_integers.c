/* int16 and int8 -> the codes of the same numbers in binary32: the way without floats that chips compile, against the
 * one with them, over random and adversarial (value, scale) pairs; then whole segments of either.
 *
 * Prints the pairs that went without floats, and the segments compared. */
#include <stdio.h>
#include <stdlib.h>

#define segment_quantize quantize_here /* the file under test is part of this program, its static functions too */
#include "../../c_core/src/segment_quantize.c"

#define PAIRS 128u
#define ROUNDS 9000u /* of PAIRS */

typedef struct {
    segment_open_t open;
    segment_group_t group[PAIRS];
} work_t;

static const uint8_t widths[] = {3, 5, 7, 8};
static uint32_t seed = 1;

static uint32_t draw(void) {
    seed ^= seed << 13;
    seed ^= seed >> 17;
    seed ^= seed << 5;
    return seed;
}

static void need(int fine, const char *what) {
    if (!fine) {
        puts(what);
        exit(1);
    }
}

/* A scale at which the value lies on a tie or a unit in the last place or two from it; a power of two; any at all. */
static float odd_scale(int32_t value, uint32_t qmax) {
    float magnitude = (float)(value < 0 ? -value : value == 0 ? 1 : value);
    float code = (float)(draw() % (qmax + 2));
    uint32_t bits;
    switch (draw() % 6) {
    case 0: bits = spk_bits_from_float(magnitude / (code + 0.5f)); break;
    case 1: bits = spk_bits_from_float(1.0f / ((code + 0.5f) / magnitude)); break;
    case 2: return spk_float_from_bits((127 - 60 + draw() % 120) << 23);
    case 3: return spk_float_from_bits(0x00800000u + draw() % 0x7E000000u);
    case 4: return spk_float_from_bits(spk_half_to_float_bits((uint16_t)(draw() % 0x7BFFu + 1)));
    default: bits = spk_bits_from_float(magnitude / (float)(draw() % 512 + 1));
    }
    return spk_float_from_bits(bits + draw() % 5 - 2);
}

static int32_t odd_value(spk_values_t type) {
    static const int16_t ends[] = {0, 1, -1, 127, -127, -128, 32767, -32767, -32768, 16384, 255, 12345};
    uint32_t shift = draw() % 15;
    int32_t value = draw() % 4 == 0 ? ends[draw() % 12] : (int32_t)(int16_t)draw() >> shift;
    return type == SPK_VALUES_INT8 ? (int32_t)(int8_t)value : value;
}

/* One value a group. Returns 1 where the way without floats took them. */
static int compare_pairs(spk_values_t type, uint32_t bits, int only_usual) {
    const uint32_t qmax = segment_qmax(bits);
    work_t work = {.group = {{0}}};
    spk_segment_policy_t policy;
    spk_segment_policy_default(&policy);
    policy.group_len = 1;
    spk_segment_writer_t writer = {.policy = &policy, .work = &work, .tensor_len = PAIRS, .bits = (uint8_t)bits};
    int16_t wide[PAIRS];
    int8_t narrow[PAIRS];
    float piece[PAIRS];
    uint8_t codes[PAIRS];
    uint8_t wanted[PAIRS];
    for (uint32_t i = 0; i < PAIRS; i++) {
        int32_t value = odd_value(type);
        float scale = odd_scale(value, qmax);
        inverse_t inverse;
        while (only_usual && !split_inverse(1.0f / scale, &inverse)) {
            scale = odd_scale(value, qmax);
        }
        wide[i] = (int16_t)value;
        narrow[i] = (int8_t)value;
        piece[i] = (float)value;
        work.group[i] = (segment_group_t){scale, 1.0f / scale, scale * (float)(draw() % (2 * qmax))};
    }
    const void *values = type == SPK_VALUES_INT16 ? (const void *)wide : narrow;
    segment_tally_t a = {0};
    segment_tally_t b = {0};
    int taken = code_integers(&writer, values, type, 0, PAIRS, codes, &a);
    code_plain(&writer, piece, 0, PAIRS, wanted, &b);
    if (!taken) {
        quantize_here(&writer, values, type, 0, PAIRS, codes, &a);
    }
    for (uint32_t i = 0; i < PAIRS; i++) {
        if (codes[i] != wanted[i]) {
            printf("%d at scale %08x, %u bits: %u, not %u\n", wide[i], (unsigned)spk_bits_from_float(work.group[i].scale),
                   (unsigned)bits, codes[i], wanted[i]);
            exit(1);
        }
    }
    need(a.reach == b.reach && a.rises == b.rises, "reach");
    return taken;
}

/* Errors of one group, which the way without floats knows to 2^-16 of a scale. */
static void compare_errors(spk_values_t type, uint32_t bits) {
    const uint32_t qmax = segment_qmax(bits);
    work_t work = {.group = {{0}}};
    spk_segment_policy_t policy;
    spk_segment_policy_default(&policy);
    policy.group_len = PAIRS;
    spk_segment_writer_t writer = {.policy = &policy, .work = &work, .tensor_len = PAIRS, .bits = (uint8_t)bits};
    int16_t wide[PAIRS];
    int8_t narrow[PAIRS];
    float piece[PAIRS];
    uint8_t codes[PAIRS];
    float scale = (float)(type == SPK_VALUES_INT8 ? 128 : 32768) / (float)qmax * (1 + (float)(draw() % 256) / 256);
    work.group[0] = (segment_group_t){scale, 1.0f / scale, 40000};
    for (uint32_t i = 0; i < PAIRS; i++) {
        wide[i] = (int16_t)(type == SPK_VALUES_INT8 ? (int8_t)draw() : (int16_t)draw());
        narrow[i] = (int8_t)wide[i];
        piece[i] = wide[i];
    }
    segment_tally_t a = {.measures = 1};
    segment_tally_t b = {.measures = 1};
    need(code_integers(&writer, type == SPK_VALUES_INT16 ? (const void *)wide : narrow, type, 0, PAIRS, codes, &a),
         "a usual scale needs floats");
    code_plain(&writer, piece, 0, PAIRS, codes, &b);
    float most = 0, square = 0, wanted_most = 0, wanted_square = 0;
    for (uint32_t lane = 0; lane < SEGMENT_LANES; lane++) {
        most = a.most[lane] > most ? a.most[lane] : most;
        wanted_most = b.most[lane] > wanted_most ? b.most[lane] : wanted_most;
        square += a.square[lane];
        wanted_square += b.square[lane];
    }
    float unit = scale * scale;
    need(most - wanted_most < 1e-4f * unit && wanted_most - most < 1e-4f * unit, "largest error");
    need(square - wanted_square < 1e-2f * unit && wanted_square - square < 1e-2f * unit, "sum of errors");
}

/* A stream of random integers, growing and falling, in one of three types -> a hash of its segments; the largest error. */
static uint32_t stream(const spk_segment_policy_t *policy, uint32_t tensor_len, uint32_t first, int bytes_only,
                       spk_values_t type, uint32_t *segments, float *most) {
    uint8_t buffer[4096];
    int16_t wide[300];
    int8_t narrow[300];
    float floats[300];
    uint32_t detail;
    uint32_t crc = 0;
    spk_segment_writer_t writer;
    size_t work_bytes = spk_segment_work_bytes(policy, SPK_SEGMENT_QUANTIZED, tensor_len);
    void *work = malloc(work_bytes);
    need(work != NULL && spk_segment_writer_init(&writer, policy, SPK_SEGMENT_QUANTIZED, tensor_len, work, work_bytes,
                                                 buffer, sizeof buffer, 0) == SPK_OK, "writer");
    seed = first;
    for (uint32_t frame = 0; frame < 60; frame++) {
        uint32_t shift = draw() % 4 == 0 ? draw() % 16 : frame / 6;
        for (uint32_t i = 0; i < tensor_len; i++) {
            int32_t value = (int32_t)(int16_t)draw() >> shift;
            wide[i] = (int16_t)(bytes_only ? value >> 8 : value);
            narrow[i] = (int8_t)wide[i];
            floats[i] = wide[i];
        }
        const void *values = type == SPK_VALUES_INT16 ? (const void *)wide
                             : type == SPK_VALUES_INT8 ? (const void *)narrow : floats;
        int taken = spk_segment_push(&writer, values, type, 0, &detail);
        if (taken == 0 || frame == 59) {
            uint32_t count = spk_segment_close(&writer);
            for (uint32_t i = 0; i < count; i++) {
                crc = (crc << 5 | crc >> 27) ^ buffer[i] * 0x9E3779B1u;
            }
            *segments += count != 0;
            taken = taken == 0 ? spk_segment_push(&writer, values, type, 0, &detail) : taken;
        }
        need(taken == 1 || taken == SPK_ERROR_SCALE, "push");
    }
    *most = writer.max_square;
    free(work);
    return crc;
}

static int is_near(float a, float b) { return a - b <= 1e-3f * b && b - a <= 1e-3f * b; }

static uint32_t compare_streams(void) {
    static const uint32_t lengths[] = {1, 7, 33, 128, 129, 300};
    uint32_t segments = 0;
    spk_segment_policy_t policy;
    for (uint32_t k = 0; k < 6 * 4 * 2 * 3; k++) {
        spk_segment_policy_default(&policy);
        policy.coding = k / 24 % 2 ? spk_segment_version_2() : NULL;
        policy.headroom = k / 48 != 1;
        policy.low_q8 = policy.headroom ? policy.low_q8 : 0;
        policy.hysteresis_frames = (uint8_t)(1 + k / 48);
        policy.group_len = 1 + draw() % 200;
        policy.measure_frames = (uint8_t)(k % 3);
        policy.bits[0] = policy.bits[1] = policy.bits[2] = widths[k / 6 % 4];
        uint32_t first = draw();
        for (int bytes_only = 0; bytes_only <= 1; bytes_only++) {
            const uint32_t length = lengths[k % 6];
            float most[3];
            uint32_t wanted = stream(&policy, length, first, bytes_only, SPK_VALUES_FLOAT32, &segments, most);
            need(stream(&policy, length, first, bytes_only, SPK_VALUES_INT16, &segments, most + 1) == wanted, "int16");
            need(is_near(most[1], most[0]), "error of int16");
            if (bytes_only) {
                need(stream(&policy, length, first, 1, SPK_VALUES_INT8, &segments, most + 2) == wanted, "int8");
                need(is_near(most[2], most[0]), "error of int8");
            }
        }
    }
    return segments;
}

int main(void) {
    unsigned taken = 0;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        spk_values_t type = round % 3 == 0 ? SPK_VALUES_INT8 : SPK_VALUES_INT16;
        taken += (unsigned)compare_pairs(type, widths[round % 4], round % 8 != 0) * PAIRS;
        compare_errors(type, widths[round % 4]);
    }
    unsigned segments = compare_streams();
    printf("%u %u\n", taken, segments);
    return 0;
}
