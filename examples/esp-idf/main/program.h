/* network.c + arena -> what fires, burst by burst, as text. */
#ifndef PROGRAM_H
#define PROGRAM_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Takes a piece of text; a line may come in several. */
typedef void program_print_t(const char *text);

/* Run network.c's network with its stimulus in `arena` (8-byte aligned, at least NETWORK_RAM_BYTES) and print a line per burst
 * with the neurons that fired, then the state hash. Returns 0 where that is the hash that network.h expects, else 1. */
int program_run(program_print_t *print, void *arena, size_t arena_bytes);

#ifdef __cplusplus
}
#endif
#endif
