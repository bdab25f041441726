/* A network of 4 neurons and 4 synapses, by espike export. */
#ifndef NETWORK_H
#define NETWORK_H

#include <stdint.h>

#define NETWORK_KERNEL spk_kernel_int8
#define NETWORK_RAM_BYTES 88

typedef struct { /* what is injected into a neuron in a burst, the first being 1: spk_engine_inject */
    uint32_t burst;
    uint32_t neuron;
    uint32_t value;
} network_stimulus_t;

#ifdef __cplusplus
extern "C" {
#endif

extern const uint32_t network_image[];      /* little-endian words */
extern const uint32_t network_image_bytes;
extern const uint32_t network_bursts;       /* to run */
extern const uint32_t network_hash[2];      /* state hash after them, on the host */
extern const uint32_t network_stimulus_count;
extern const network_stimulus_t network_stimulus[];

#ifdef __cplusplus
}
#endif
#endif
