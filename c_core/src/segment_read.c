/* segment -> frames */
#include "segment.h"

#include "bitpack.h"

size_t spk_segment_reader_bytes(const spk_segment_t *segment, const spk_segment_coding_t *coding) {
    return segment->version == 1 || coding == NULL ? 0 : coding->work_bytes(segment->kind, segment->tensor_len);
}

int spk_segment_reader_init(spk_segment_reader_t *reader, const spk_segment_t *segment,
                            const spk_segment_coding_t *coding, void *work, size_t work_bytes) {
    if (segment->version != 1 && coding == NULL) {
        return SPK_ERROR_VERSION;
    }
    if ((uintptr_t)work % 8 != 0 || work_bytes < spk_segment_reader_bytes(segment, coding)) {
        return SPK_ERROR_RAM;
    }
    *reader = (spk_segment_reader_t){.segment = segment, .coding = coding, .work = work, .next = UINT32_MAX};
    return SPK_OK;
}

/* Values first .. first + count - 1 of a frame. */
static void scale_plain(const spk_segment_t *segment, const uint8_t *codes, uint32_t first, uint32_t count,
                        float *values) {
    const uint32_t length = segment->group_len;
    const int32_t bias = (int32_t)segment_qmax(segment->bits);
    uint32_t room = length - first % length;
    uint32_t done = 0;
    for (uint32_t group = first / length; done < count; group++) {
        const float scale = spk_segment_scale(segment, group);
        const uint32_t end = count - done < room ? count : done + room;
        for (; done < end; done++) {
            values[done] = (float)(codes[done] - bias) * scale;
        }
        room = length;
    }
}

#if SPK_AVX2
#include <immintrin.h>

#define AVX2 static inline __attribute__((always_inline, target("avx2,f16c")))

AVX2 void scale_eight(const uint8_t *codes, __m256i bias, __m256 scale, float *values) {
    __m256i x = _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)(const void *)codes));
    _mm256_storeu_ps(values, _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_sub_epi32(x, bias)), scale));
}

__attribute__((target("avx2,f16c"))) static void scale_avx2(const spk_segment_t *segment, const uint8_t *codes,
                                                            uint32_t first, uint32_t count, float *values) {
    const uint32_t length = segment->group_len;
    const __m256i bias = _mm256_set1_epi32((int)segment_qmax(segment->bits));
    const uint8_t *half = segment->bytes + SEGMENT_SCALES_1 + (first == 0 ? 0 : 2 * (size_t)(first / length));
    uint32_t room = first == 0 ? length : length - first % length;
    for (uint32_t done = 0; done < count; half += 2) {
        const __m256 scale = _mm256_broadcastss_ps(_mm_cvtph_ps(_mm_cvtsi32_si128((int)spk_load16(half))));
        const uint32_t end = count - done < room ? count : done + room;
        for (; done + 32 <= end; done += 32) {
            scale_eight(codes + done, bias, scale, values + done);
            scale_eight(codes + done + 8, bias, scale, values + done + 8);
            scale_eight(codes + done + 16, bias, scale, values + done + 16);
            scale_eight(codes + done + 24, bias, scale, values + done + 24);
        }
        for (; done + 8 <= end; done += 8) {
            scale_eight(codes + done, bias, scale, values + done);
        }
        for (; done < end; done++) {
            values[done] = (float)(codes[done] - _mm256_extract_epi32(bias, 0)) * _mm256_cvtss_f32(scale);
        }
        room = length;
    }
}

static void scale_piece(const spk_segment_t *segment, const uint8_t *codes, uint32_t first, uint32_t count,
                        float *values) {
    int wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c");
    (wide ? scale_avx2 : scale_plain)(segment, codes, first, count, values);
}
#else
#define scale_piece scale_plain
#endif

/* Version 1: frames are packed codes, each from a byte of its own on. */
static int read_packed(const spk_segment_t *segment, uint32_t frame, float *values, int32_t *integers) {
    const uint8_t *bytes = segment->bytes + segment->data_offset +
                           frame * spk_packed_bytes(segment->tensor_len, segment->bits);
    const int32_t bias = (int32_t)segment_qmax(segment->bits);
    uint32_t left = segment->tensor_len;
    while (left != 0) {
        uint8_t unpacked[SEGMENT_PIECE];
        uint32_t count = left < SEGMENT_PIECE ? left : SEGMENT_PIECE;
        uint32_t first = segment->tensor_len - left;
        const uint8_t *codes = segment->bits == 8 ? bytes : unpacked;
        if (segment->bits != 8) {
            (void)bitpack_unpack(unpacked, bytes, (size_t)(segment->bytes + segment->byte_count - bytes), count, segment->bits);
        }
        for (uint32_t i = 0; integers != NULL && i < count; i++) {
            integers[first + i] = codes[i] - bias;
        }
        if (values != NULL) {
            scale_piece(segment, codes, first, count, values + first);
        }
        bytes += spk_packed_bytes(count, segment->bits);
        left -= count;
    }
    return SPK_OK;
}

int spk_segment_read(spk_segment_reader_t *reader, uint32_t frame, float *values) {
    const spk_segment_t *segment = reader->segment;
    if (segment->kind == SPK_SEGMENT_SETS || frame >= segment->frame_count) {
        return SPK_ERROR_PARAMETER;
    }
    return segment->version == 1 ? read_packed(segment, frame, values, NULL)
                                 : reader->coding->read(reader, frame, values, SPK_VALUES_FLOAT32);
}

int spk_segment_read_integers(spk_segment_reader_t *reader, uint32_t frame, int32_t *values) {
    const spk_segment_t *segment = reader->segment;
    if (segment->kind == SPK_SEGMENT_SETS || frame >= segment->frame_count) {
        return SPK_ERROR_PARAMETER;
    }
    return segment->version == 1 ? read_packed(segment, frame, NULL, values)
                                 : reader->coding->read(reader, frame, values, SPK_VALUES_INT32);
}

int spk_segment_read_set(spk_segment_reader_t *reader, uint32_t frame, uint32_t *bitmap) {
    const spk_segment_t *segment = reader->segment;
    if (segment->kind != SPK_SEGMENT_SETS || frame >= segment->frame_count) {
        return SPK_ERROR_PARAMETER;
    }
    return reader->coding->read(reader, frame, bitmap, SPK_VALUES_BITMAP);
}
