/* last fire queue + rows -> accumulators */
#ifndef ESPIKE_PROPAGATE_H
#define ESPIKE_PROPAGATE_H

#include "kernel.h"

/* Add the rows of one delay, from 1 on, of the neurons that fired so many bursts ago, sources ascending, to the
 * accumulators of their targets; count the events and mark the areas that are reached. */
void spk_propagate(spk_engine_t *engine, uint32_t delay);

/* The rows without delay of an area's neurons that have just fired. */
void spk_propagate_now(spk_engine_t *engine, uint32_t area);

/* The rows of delay 1 from the image's expansion and the list of fired neurons; builds for hosts. */
void spk_propagate_expanded(spk_engine_t *engine);

/* Fill the list of fired neurons from the fire queue, count it, and sum what its ids add to the state hash. */
void spk_list_fired(spk_engine_t *engine, uint32_t sum[2]);
#define SPK_LIST_SPARE 8u /* entries behind the list that may be written */

#endif
