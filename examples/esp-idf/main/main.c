/* The exported network as the application of ESP-IDF. */
#include <stdio.h>

#include "espike/engine.h"
#include "network.h"
#include "program.h"

void app_main(void);

static void print(const char *text) { fputs(text, stdout); }

void app_main(void) {
    static SPK_ARENA(arena, NETWORK_RAM_BYTES);
    program_run(print, arena, sizeof arena);
}
