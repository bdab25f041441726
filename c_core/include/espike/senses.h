/* raw samples -> stimulus, fire queues -> answer: the encoders and the decoder of an image, in integers. */
#ifndef ESPIKE_SENSES_H
#define ESPIKE_SENSES_H

#include <stddef.h>
#include <stdint.h>

#include "espike/engine.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* docs/senses.md has the rules, docs/image.md the record. */
#define SPK_SENSES_NONE -1 /* an answer that names no neuron */

/* Presentations of one image. The caller owns the struct and its memory; fields are read-only outside the core. */
typedef struct {
    const spk_image_t *image;
    const uint32_t *record;
    int32_t *raw;            /* the sample that is on, a value per channel */
    int32_t *state;          /* of encoders, in their order */
    uint32_t *values;        /* of the decoder, per neuron that it reads */
    uint32_t channels;
    uint32_t value_count;
    uint32_t burst;          /* bursts of the presentation that are done */
    uint32_t burst_of_sample; /* of the sample that is on */
    uint32_t samples_taken;
    uint32_t is_decided;     /* the answer is ahead by the decoder's margin: no further burst is run */
} spk_senses_t;

/* Channels of a sample, and bytes of memory that presentations of this image need; 0 where it has no senses. */
uint32_t spk_senses_channels(const spk_image_t *image);
size_t spk_senses_ram_bytes(const spk_image_t *image);

/* Begin to present samples, with `ram` (4-byte aligned), which must outlive the senses, as the image must. The record is
 * checked here, once. Returns SPK_OK, SPK_ERROR_RAM, or SPK_ERROR_LAYOUT where the image has no senses or their record is
 * out of range. */
int spk_senses_init(spk_senses_t *senses, const spk_image_t *image, void *ram, size_t ram_bytes);

/* Begin a presentation: encoders, decoder and, where the senses ask for it, the network at its reset. Returns SPK_OK or
 * what spk_engine_init refuses. */
int spk_senses_begin(spk_senses_t *senses, spk_engine_t *engine);

/* Take a sample: `channels` raw values, copied. It lasts while spk_senses_bursts is not 0, each of its bursts
 * spk_senses_burst. */
void spk_senses_take(spk_senses_t *senses, const int32_t *raw);

/* Bursts that are to come until the next sample, or, after the last one, until the answer; 0 once it is decided. */
uint32_t spk_senses_bursts(const spk_senses_t *senses);

/* Is the presentation over, so that there is an answer? */
int spk_senses_is_done(const spk_senses_t *senses);

/* Stimulate the engine with what the encoders give for the next burst, between bursts, before any other entry. */
void spk_senses_inject(spk_senses_t *senses, spk_engine_t *engine);

/* Note the burst that has just been run. */
void spk_senses_note(spk_senses_t *senses, const spk_engine_t *engine);

/* spk_senses_inject, spk_engine_burst, spk_senses_note. Returns what the burst does: neurons that fired. */
uint32_t spk_senses_burst(spk_senses_t *senses, spk_engine_t *engine);

/* The decoder's value of each neuron that it reads: spikes, a burst, or the bits of a potential as spk_engine_potential
 * has it (fp16: as binary32). Potentials are read here, after the last burst. */
void spk_senses_read(spk_senses_t *senses, const spk_engine_t *engine);

/* The answer, after spk_senses_read: which of the neurons read, from 0, or SPK_SENSES_NONE. */
int32_t spk_senses_answer(const spk_senses_t *senses);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
