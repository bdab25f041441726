/* image + stimulus -> fire queue, burst by burst. */
#ifndef ESPIKE_ENGINE_H
#define ESPIKE_ENGINE_H

#include <stddef.h>
#include <stdint.h>

#include "espike/image.h"
#include "espike/ledger.h"

#ifdef __cplusplus
extern "C" {
#endif

/* cffi begin */

/* The number type an engine runs on. An application names the kernels it wants; others are not linked. */
typedef struct spk_kernel spk_kernel_t;

/* cffi end */
extern const spk_kernel_t spk_kernel_int8;
extern const spk_kernel_t spk_kernel_fp16;
extern const spk_kernel_t spk_kernel_fp32;
/* The same for networks with neuron models (trained ones) as well. */
extern const spk_kernel_t spk_kernel_int8_trained;
extern const spk_kernel_t spk_kernel_fp16_trained;
extern const spk_kernel_t spk_kernel_fp32_trained;
/* All of it, and images whose weights learn, or are driven by the potential of their source. */
extern const spk_kernel_t spk_kernel_int8_learning;
extern const spk_kernel_t spk_kernel_fp16_learning;
extern const spk_kernel_t spk_kernel_fp32_learning;
/* cffi begin */

/* What an engine counted since its reset; equal on every target. */
typedef struct {
    uint64_t fired;        /* neurons that fired, summed over bursts */
    uint64_t events;       /* synaptic events: synapses of the rows that were read */
    uint64_t saturations;  /* potentials that were clamped */
} spk_counters_t;

/* One running network. The caller owns the struct and the arena; fields are read-only outside the core. */
typedef struct {
    const spk_image_t *image;
    const spk_kernel_t *kernel;
    uint32_t *frames;           /* ring of fire queues, bitmaps of all neurons */
    uint32_t *fired;            /* bitmap of the last burst's fire queue, bit id % 32 of word id / 32 */
    uint32_t *firing;           /* bitmap that the next burst fills */
    void *potential;            /* int16, float32 or binary16 (neurons,) */
    uint32_t *fired_list;       /* ids of the last burst's fire queue, ascending; NULL unless the image is expanded */
    uint32_t *area_state;       /* per area: byte offsets into the arena */
    uint32_t *learned;          /* per learning record: byte offset of its weights in the arena */
    uint8_t *arena;
    spk_ledger_t *ledgers;      /* tracked areas, linked by next; NULL = none */
    spk_counters_t counters;
    uint32_t hash[2];           /* state hash: fired ids */
    uint32_t potential_hash[2]; /* state hash with potentials */
    uint32_t frame;             /* place of `fired` in the ring */
    uint32_t burst;             /* number of the last burst, 0 after a reset */
    uint32_t fired_count;       /* neurons that fired in the last burst */
    uint32_t next_injected;     /* smallest neuron that may still be injected before the next burst */
    uint8_t track_potentials;
} spk_engine_t;

/* Bytes of arena that an engine of this image needs: per neuron the potential, the accumulator, what its area's
 * refractory and fire limit need, two fired bits and a byte per 32 neurons; 24 bytes per area. The same on every target. */
size_t spk_engine_ram_bytes(const spk_image_t *image);

/* Start at burst 0 with zero state in `ram` (8-byte aligned, ram_bytes >= spk_engine_ram_bytes(image)).
 * image and ram must outlive the engine. `track_potentials` != 0 keeps the hash with potentials, which costs time
 * in proportion to the neurons in every burst. Call again to reset. Ledgers are dropped: track them again.
 * Returns SPK_OK, SPK_ERROR_PRECISION, SPK_ERROR_LEARNING, SPK_ERROR_MODEL, SPK_ERROR_RAM, SPK_ERROR_FLOAT, or
 * SPK_ERROR_LAYOUT or _PARAMETER where a learning record or a neuron model is out of range. */
int spk_engine_init(spk_engine_t *engine, const spk_image_t *image, const spk_kernel_t *kernel, void *ram,
                    size_t ram_bytes, int track_potentials);

/* Start the same network again, at burst 0 with zero state. Ledgers are dropped. Returns what spk_engine_init returns. */
int spk_engine_reset(spk_engine_t *engine);

/* Add a stimulus entry to the next burst. Between two bursts neurons must come strictly ascending.
 * `value`: int8: codes as int32 bits; fp32, fp16: potential as binary32 bits; magnitude up to the area's limit.
 * Returns SPK_OK, SPK_ERROR_NEURON or SPK_ERROR_STIMULUS (nothing was added). */
int spk_engine_inject(spk_engine_t *engine, uint32_t neuron, uint32_t value);

/* cffi end */
/* Fixed memory for an engine, sized when it is compiled: SPK_ARENA(name, bytes); */
#define SPK_ARENA(name, bytes) uint64_t name[((bytes) + 7) / 8]
/* cffi begin */

/* Would spk_engine_inject take this value for this neuron? Same results, nothing is added, order is not looked at. */
int spk_engine_inject_check(const spk_engine_t *engine, uint32_t neuron, uint32_t value);

/* Run one burst: inject, dynamics, archive, learn, clean up. Returns the number of neurons that fired. */
uint32_t spk_engine_burst(spk_engine_t *engine);

/* Everything that a network's next burst depends on, but for its image, as bytes: so many for an image; written between two
 * bursts; read back into an engine of the same image and kernel that has just been started. Not for expanded images. */
size_t spk_engine_snapshot_bytes(const spk_image_t *image);
void spk_engine_save(const spk_engine_t *engine, uint8_t *bytes);
void spk_engine_restore(spk_engine_t *engine, const uint8_t *bytes);

/* The next fired neuron of the last burst at or after `from`; image->neuron_count where there is none. */
uint32_t spk_engine_next_fired(const spk_engine_t *engine, uint32_t from);

/* Potential of a neuron (below neuron_count): int8: sign-extended to 32 bits; fp32 and fp16: its bits, never -0. */
uint32_t spk_engine_potential(const spk_engine_t *engine, uint32_t neuron);

/* Area index of a neuron (below neuron_count). */
uint32_t spk_engine_area(const spk_engine_t *engine, uint32_t neuron);

/* Number of the first neuron of an area (below area_count), and how many it has. */
uint32_t spk_engine_area_first(const spk_engine_t *engine, uint32_t area);
uint32_t spk_engine_area_count(const spk_engine_t *engine, uint32_t area);

/* Archive an area's fire queue in `ledger` from the next burst on. The caller owns the ledger, made with
 * spk_ledger_init for this area's neuron count; it must outlive the engine's next init. */
void spk_engine_track(spk_engine_t *engine, spk_ledger_t *ledger, uint32_t area);

/* cffi end */

#ifdef __cplusplus
}
#endif
#endif
