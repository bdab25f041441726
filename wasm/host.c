/* what a host passes -> fine, or an error that it can ask for; its own memory. */
#include "host.h"

#include <stddef.h>

#include "pool.h"

static int32_t last_error;
static uint32_t last_detail;

int32_t host_fail(int32_t error, uint32_t detail) {
    last_error = error;
    last_detail = detail;
    return error;
}

int32_t host_fine(void) { return host_fail(SPK_OK, 0); }

int32_t ttc_last_error(void) { return last_error; }

uint32_t ttc_last_detail(void) { return last_detail; }

const char *ttc_error_name(int32_t error) {
    static const char *const names[] = {
        "null pointer", "pointer is not to the host's memory", "pointer not aligned", "arguments overlap", "no such handle",
        "wrong length", "no stream free", "no memory left", "stream has begun",
    };
    if (error > TTC_ERROR_NULL) {
        return spk_error_name(error);
    }
    return error < TTC_ERROR_STARTED ? "unknown error" : names[TTC_ERROR_NULL - error];
}

#ifdef __wasm__
extern uint8_t __heap_base;

/* Memory that the host may name: what it allocated here, or made behind the module's own. */
static int is_host_memory(const void *at, uint64_t bytes) {
    pool_place_t place = pool_place(at, bytes);
    uint64_t end = (uint64_t)(uintptr_t)at + bytes;
    uint64_t memory = (uint64_t)__builtin_wasm_memory_size(0) << 16;
    return end <= memory && (place == POOL_INSIDE_HOST_RUN ||
                             (place == POOL_OUTSIDE && (uintptr_t)at >= (uintptr_t)&__heap_base));
}
#else
/* Natively all but the arena is the host's, as far as can be seen. */
static int is_host_memory(const void *at, uint64_t bytes) {
    return bytes <= UINTPTR_MAX - (uintptr_t)at && pool_place(at, bytes) != POOL_INSIDE;
}
#endif

int32_t host_check_span(const host_span_t *span) {
    if (span->bytes == 0) {
        return SPK_OK; /* never used */
    }
    if (span->at == NULL) {
        return host_fail(TTC_ERROR_NULL, span->argument);
    }
    if ((uintptr_t)span->at % span->align != 0) {
        return host_fail(TTC_ERROR_ALIGN, span->argument);
    }
    return is_host_memory(span->at, span->bytes) ? SPK_OK : host_fail(TTC_ERROR_POINTER, span->argument);
}

static int overlap(const host_span_t *a, const host_span_t *b) {
    uint64_t first = (uint64_t)(uintptr_t)a->at;
    uint64_t second = (uint64_t)(uintptr_t)b->at;
    return a->bytes != 0 && b->bytes != 0 && first < second + b->bytes && second < first + a->bytes;
}

int32_t host_check_spans(const host_span_t *spans, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        int32_t error = host_check_span(&spans[i]);
        for (uint32_t j = 0; error == SPK_OK && j < i; j++) {
            error = overlap(&spans[j], &spans[i]) ? host_fail(TTC_ERROR_OVERLAP, spans[i].argument) : SPK_OK;
        }
        if (error != SPK_OK) {
            return error;
        }
    }
    return SPK_OK;
}

int32_t ttc_alloc(uint32_t size, void **out_ptr) {
    host_span_t out = {out_ptr, sizeof *out_ptr, sizeof *out_ptr, 2};
    if (host_check_span(&out) != SPK_OK) {
        return last_error;
    }
    if (size == 0) {
        return host_fail(TTC_ERROR_LENGTH, POOL_PAGES * POOL_PAGE_BYTES);
    }
    void *memory = pool_take(POOL_HOST, size);
    if (memory == NULL) {
        return host_fail(TTC_ERROR_MEMORY, size);
    }
    *out_ptr = memory;
    return host_fine();
}

int32_t ttc_dealloc(void *ptr, uint32_t cap) {
    uint32_t bytes = pool_bytes(POOL_HOST, ptr);
    if (bytes == 0) {
        return host_fail(ptr == NULL ? TTC_ERROR_NULL : TTC_ERROR_POINTER, 1);
    }
    if (bytes != cap) {
        return host_fail(TTC_ERROR_LENGTH, bytes);
    }
    pool_give(ptr);
    return host_fine();
}
