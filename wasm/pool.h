/* bytes asked for -> a run of pages of one static arena, or none. */
#ifndef ESPIKE_WASM_POOL_H
#define ESPIKE_WASM_POOL_H

#include <stdint.h>

#define POOL_PAGE_BYTES 1024u
#define POOL_PAGES 4096u

/* Who holds a run. A run of the module's own is nothing that a host may name. */
typedef enum { POOL_FREE = 0, POOL_OWN = 1, POOL_HOST = 2 } pool_owner_t;

/* A run for `bytes` > 0, aligned to 8; the first that is long enough. NULL: none is. */
void *pool_take(pool_owner_t owner, uint32_t bytes);

/* Bytes asked for by the run of this owner that begins at `pointer`; 0 where none does. */
uint32_t pool_bytes(pool_owner_t owner, const void *pointer);

/* Give back the run that begins at `pointer`, as pool_bytes knows it. */
void pool_give(void *pointer);

/* What bytes at .. at + count - 1 of memory are to the arena. */
typedef enum { POOL_OUTSIDE, POOL_INSIDE_HOST_RUN, POOL_INSIDE } pool_place_t;
pool_place_t pool_place(const void *at, uint64_t count);

#endif
