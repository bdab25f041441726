/* How likely values and sets are, given what came before: contexts and predictors of version 2; docs/segment.md. */
#ifndef ESPIKE_SEGMENT_MODEL_H
#define ESPIKE_SEGMENT_MODEL_H

#include "coder.h"
#include "segment.h"

/* In work memory, behind a writer's groups: this, contexts, activity (uint8 per value), frame before (int8, int32 or
 * bitmap). */
typedef struct {
    coder_t coder;
    coder_context_t plain; /* is the next frame stored plainly? */
    uint32_t error[3];     /* what each predictor missed lately, Q24.8 */
    uint32_t tensor_len;
    uint32_t data_begin;
    uint32_t frames;  /* of the open block */
    uint32_t blocks;  /* begun */
    uint32_t count;   /* sets: of the frame before */
    int32_t most;     /* quantized: largest code; else 0 */
    uint8_t kind;
    uint8_t bits;
} model_t;

/* What runs through the values of a frame. */
typedef struct {
    uint32_t plain;
    uint32_t left;     /* of code_residual */
    int32_t value;     /* the value before, 0 at first */
} model_run_t;

size_t model_bytes(uint32_t kind, uint32_t tensor_len);

/* Nothing is known of the stream: behind a plain frame, whose values stay as the frame before, ... */
void model_forget(model_t *model);

/* ... and at the begin of a block, where the frame before is all 0. */
void model_begin_block(model_t *model);

/* Code values first .. first + count - 1 of a frame. Returns 0 where a decoded one is out of range. */
int model_values(model_t *model, model_run_t *run, uint32_t first, uint32_t count, int32_t *values);

/* Code a set. Returns 0 where a decoded index or count is out of range. */
int model_set(model_t *model, uint32_t plain, uint32_t *bitmap);

#endif
