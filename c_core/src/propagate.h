/* last fire queue + rows -> accumulators */
#ifndef ESPIKE_PROPAGATE_H
#define ESPIKE_PROPAGATE_H

#include "kernel.h"

/* Add the rows of the last burst's fired neurons to the accumulators of their targets, and count the events. */
void spk_propagate(spk_engine_t *engine);

#endif
