/* bytes asked for -> a run of pages of one static arena, or none. */
#include "pool.h"

#include <stddef.h>

#define ARENA_BYTES (POOL_PAGES * POOL_PAGE_BYTES)

/* What is known of a page; of a run's later pages `first` alone counts. */
typedef struct {
    uint32_t bytes; /* asked for, on the first page of a run */
    uint16_t pages; /* on the first page of a run */
    uint16_t first; /* page that the run begins with */
    uint8_t owner;
} page_t;

static uint64_t arena[ARENA_BYTES / sizeof(uint64_t)];
static page_t pages[POOL_PAGES];

/* Offset in the arena; ARENA_BYTES and more: outside. */
static uintptr_t offset_of(const void *at) { return (uintptr_t)at - (uintptr_t)arena; }

/* First page of `count` free ones in a row; POOL_PAGES where there are none. */
static uint32_t first_fit(uint32_t count) {
    uint32_t begin = 0;
    for (uint32_t page = 0; page < POOL_PAGES;) {
        if (pages[page].owner != POOL_FREE) {
            page += pages[page].pages;
            begin = page;
        } else if (++page - begin == count) {
            return begin;
        }
    }
    return POOL_PAGES;
}

void *pool_take(pool_owner_t owner, uint32_t bytes) {
    uint32_t count = bytes / POOL_PAGE_BYTES + (bytes % POOL_PAGE_BYTES != 0);
    uint32_t begin = first_fit(count);
    if (count == 0 || begin == POOL_PAGES) {
        return NULL;
    }
    for (uint32_t page = begin; page < begin + count; page++) {
        pages[page] = (page_t){.first = (uint16_t)begin, .owner = (uint8_t)owner};
    }
    pages[begin].pages = (uint16_t)count;
    pages[begin].bytes = bytes;
    return (uint8_t *)arena + begin * POOL_PAGE_BYTES;
}

uint32_t pool_bytes(pool_owner_t owner, const void *pointer) {
    uintptr_t at = offset_of(pointer);
    if (at >= ARENA_BYTES || at % POOL_PAGE_BYTES != 0) {
        return 0;
    }
    const page_t *page = &pages[at / POOL_PAGE_BYTES];
    return page->owner == (uint8_t)owner ? page->bytes : 0;
}

void pool_give(void *pointer) {
    uint32_t begin = (uint32_t)(offset_of(pointer) / POOL_PAGE_BYTES);
    uint32_t end = begin + pages[begin].pages;
    for (uint32_t page = begin; page < end; page++) {
        pages[page] = (page_t){.owner = POOL_FREE};
    }
}

pool_place_t pool_place(const void *at, uint64_t count) {
    uintptr_t begin = offset_of(at);
    if (begin >= ARENA_BYTES) {
        /* it may still end in the arena: then it lies before it, by less than its own length */
        return (uint64_t)((uintptr_t)0 - begin) < count ? POOL_INSIDE : POOL_OUTSIDE;
    }
    const page_t *page = &pages[begin / POOL_PAGE_BYTES];
    uint64_t end = (uint64_t)page->first * POOL_PAGE_BYTES + pages[page->first].bytes;
    return page->owner == POOL_HOST && begin + count <= end ? POOL_INSIDE_HOST_RUN : POOL_INSIDE;
}
