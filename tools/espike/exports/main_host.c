/* The exported network as a program of this machine. */
#include <stdio.h>

#include "espike/engine.h"
#include "network.h"
#include "program.h"

static void print(const char *text) { fputs(text, stdout); }

int main(void) {
    static SPK_ARENA(arena, NETWORK_RAM_BYTES);
    return program_run(print, arena, sizeof arena);
}
