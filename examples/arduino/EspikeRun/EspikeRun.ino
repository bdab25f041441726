// A network compiled in as a C array, run once: prints who fires in each burst, then the state hash, which has to be the host's.
// network.* and program.* are what `espike export c` writes for any network; the core comes as the library in c_core.
#include <espike/engine.h>

#include "network.h"
#include "program.h"

static SPK_ARENA(arena, NETWORK_RAM_BYTES);

static void print(const char *text) { Serial.print(text); }

void setup() {
    Serial.begin(115200);
    program_run(print, arena, sizeof arena);
}

void loop() { delay(1000); }
