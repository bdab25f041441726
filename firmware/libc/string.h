/* The part of the C library that bare-metal boards need; the core uses no more than this. */
#ifndef ESPIKE_LIBC_STRING_H
#define ESPIKE_LIBC_STRING_H

#include <stddef.h>

void *memcpy(void *restrict to, const void *restrict from, size_t count);
void *memmove(void *to, const void *from, size_t count);
void *memset(void *to, int value, size_t count);
int memcmp(const void *a, const void *b, size_t count);

#endif
