/* image bytes -> image view: untrusted bytes checked once, then read where they lie. */
#ifndef ESPIKE_IMAGE_H
#define ESPIKE_IMAGE_H

#include <stddef.h>
#include <stdint.h>

#include "espike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* docs/image.md specifies the format. */
#define SPK_IMAGE_VERSION 1
#define SPK_IMAGE_HEADER_BYTES 136
#define SPK_IMAGE_BLOCK_BYTES 4096
#define SPK_IMAGE_TEST_BYTES 28   /* of a self-test's record, before its stimulus */
#define SPK_IMAGE_SENSES_BYTES 32 /* of the senses' record, before its encoders */
#define SPK_IMAGE_TEST_BURSTS_MOST 1024
#define SPK_NEURONS_MOST 268435456 /* 2^28: any arena stays below 4 GiB */

/* The header's precision field. */
#define SPK_PRECISION_INT8 1
#define SPK_PRECISION_FP16 2
#define SPK_PRECISION_FP32 3

/* A checked image. Its pointers lead into the caller's bytes, which must stay in place, unchanged,
 * as long as the view or an engine made from it is used. */
typedef struct {
    const uint8_t *bytes;         /* the image, 4-byte aligned */
    const uint32_t *areas;        /* area records, area_count of them */
    const uint32_t *projections;  /* projection records, projection_count of them */
    const uint32_t *learning;     /* learning records, learning_count of them */
    const uint32_t *power;        /* (neuron, value) pairs, power_count of them, neurons ascending */
    const uint8_t *test;          /* NULL, or the self-test's record, test_bytes long: docs/image.md, self-test */
    const uint8_t *senses;        /* NULL, or the record of the senses: docs/image.md, senses */
    uint32_t total_bytes;         /* of the image, header and block CRCs included */
    uint32_t neuron_count;
    uint32_t synapse_count;
    uint32_t area_count;
    uint32_t projection_count;
    uint32_t power_count;
    uint32_t learning_count;
    uint32_t test_bytes;
    uint32_t meta_offset;         /* UTF-8 JSON for people and tools; the engine never reads it */
    uint32_t meta_bytes;
    uint32_t timestep_us;         /* burst period that the network was made for, 0 = none */
    uint16_t history;             /* fire queues that engines keep for delays and learning, 0 = the last alone */
    uint16_t delay_most;          /* longest delay of a projection, bursts */
    uint8_t has_delay_zero;       /* 1: some projection arrives in the burst it starts in */
    uint8_t is_driven;            /* 1: potentials drive some of the weights */
    uint8_t has_models;           /* 1: some areas have neuron models of trained networks */
    uint8_t precision;            /* SPK_PRECISION_... */
    uint8_t candidates_only;      /* 1: neurons are updated only in bursts in which input reached them */
    const struct spk_expansion *expansion; /* NULL, or rows that spk_expand decoded */
    uint32_t error_offset;        /* after a refusal: the byte offset of what was refused */
} spk_image_t;

/* Check `size` bytes at `bytes` (4-byte aligned) and fill the view. Every byte is covered by a CRC, every
 * offset, count, parameter and synapse row is checked: after SPK_OK no access through the view can leave the bytes.
 * Bytes behind the image's own end are ignored. Time is linear in the image's size.
 * Returns SPK_OK or TRUNCATED, MAGIC, VERSION, CRC, LAYOUT, ROW, PARAMETER; image->error_offset says where. */
int spk_image_open(spk_image_t *image, const uint8_t *bytes, size_t size);

/* The 32-byte SHA-256 of the quantized connectome that the image encodes. */
const uint8_t *spk_image_network_hash(const spk_image_t *image);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
