/* what a host passes -> fine, or an error that it can ask for. */
#ifndef ESPIKE_WASM_HOST_H
#define ESPIKE_WASM_HOST_H

#include "ttc.h"

/* An argument: bytes of the host. */
typedef struct {
    const void *at;
    uint64_t bytes;
    uint32_t align;
    uint32_t argument; /* which one, from 1 on */
} host_span_t;

/* Note how the call at hand ends; returns the error. */
int32_t host_fail(int32_t error, uint32_t detail);
int32_t host_fine(void);

/* Is it memory of the host, aligned? Where there are no bytes nothing is asked. Returns 0, or notes the error. */
int32_t host_check_span(const host_span_t *span);

/* The same of each, and none shares bytes with another. */
int32_t host_check_spans(const host_span_t *spans, uint32_t count);

#endif
