/* image -> rows expanded, and their propagation: builds for hosts only (the others keep two functions that refuse). */
#include "espike/expand.h"

#include "propagate.h"

#ifndef SPK_VECTOR

size_t spk_expansion_bytes(const spk_image_t *image) {
    (void)image;
    return 0;
}

int spk_expand(spk_image_t *image, spk_expansion_t *expansion, void *memory, size_t bytes) {
    (void)image;
    (void)expansion;
    (void)memory;
    (void)bytes;
    return SPK_ERROR_RAM;
}

#else

enum { /* kinds of entries */
    KIND_SHORT, /* a word: 16-bit target, 16-bit weight above it */
    KIND_WORD,  /* a word: 8-bit weight, 24-bit target above it */
    KIND_LONG,  /* 32-bit target, 32-bit weight */
    KIND_FLOAT  /* 32-bit target, binary32 weight */
};

enum { BEYOND = 4 }; /* entries behind the last list that may be read, never counted */

typedef struct {
    uint32_t target;
    int32_t weight;
} long_t;

typedef struct {
    uint32_t target;
    float weight;
} float_entry_t;

/* A synapse on its way from a row to its entry. */
typedef struct {
    uint32_t kind;
    uint32_t target_first;
    unsigned shift; /* of int8 weights: the projection's, one more where candidates are marked */
    int32_t least;
    int32_t most;
    uint8_t *at;
} expanding_t;

static size_t entry_bytes(uint32_t kind) { return kind == KIND_SHORT || kind == KIND_WORD ? 4 : 8; }

static size_t align8(size_t bytes) { return (bytes + 7) & ~(size_t)7; }

static void look(void *context, uint32_t target, uint32_t weight) {
    expanding_t *e = context;
    int32_t shifted = (int32_t)(weight << e->shift);
    (void)target;
    e->least = shifted < e->least ? shifted : e->least;
    e->most = shifted > e->most ? shifted : e->most;
}

static void store(void *context, uint32_t target, uint32_t weight) {
    expanding_t *e = context;
    target += e->target_first;
    uint32_t entry[2] = {target, weight << e->shift};
    if (e->kind == KIND_SHORT) {
        entry[0] = target | entry[1] << 16;
    } else if (e->kind == KIND_WORD) {
        entry[0] = target << 8 | (entry[1] & 255u);
    }
    memcpy(e->at, entry, entry_bytes(e->kind));
    e->at += entry_bytes(e->kind);
}

/* Visit every synapse of a neuron, projections in image order. `first`: number of each area's first neuron. */
static void visit_neuron(const spk_image_t *image, const uint32_t *area, const uint32_t *first, uint32_t index,
                         expanding_t *e, spk_row_visit_t visit) {
    const uint32_t *projection = image->projections + area[AREA_PROJECTION_FIRST] * PROJECTION_WORDS;
    const uint32_t *end = projection + area[AREA_PROJECTION_COUNT] * PROJECTION_WORDS;
    for (; projection != end; projection += PROJECTION_WORDS) {
        uint32_t row = index - projection[PROJECTION_SOURCE_FIRST];
        if (row >= projection[PROJECTION_ROWS]) {
            continue;
        }
        e->target_first = first == NULL ? 0 : first[projection[PROJECTION_ENDS] >> 16];
        e->shift = CODEC_SHIFT(projection[PROJECTION_CODEC]);
        e->shift += SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 && image->candidates_only;
        spk_row_each(image, projection, row, visit, e);
    }
}

/* The smallest entries that hold every synapse. */
static uint32_t kind_of(const spk_image_t *image) {
    if (SPK_PRECISION_OF(image) != SPK_PRECISION_INT8) {
        return KIND_FLOAT;
    }
    expanding_t e = {0};
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        for (uint32_t i = 0; i < area[AREA_NEURONS]; i++) {
            visit_neuron(image, area, NULL, i, &e, look);
        }
    }
    if (image->neuron_count <= 1u << 16 && e.least >= INT16_MIN && e.most <= INT16_MAX) {
        return KIND_SHORT;
    }
    return image->neuron_count <= 1u << 24 && e.least >= INT8_MIN && e.most <= INT8_MAX ? KIND_WORD : KIND_LONG;
}

/* Where the pieces of an expansion lie. Returns its bytes. */
static size_t expansion_layout(const spk_image_t *image, uint32_t kind, uint8_t *memory, spk_expansion_t *expansion,
                               uint32_t **first) {
    size_t empty = align8(((size_t)image->neuron_count + 1) * 4);
    size_t firsts = empty + align8((size_t)image->neuron_count * 4);
    size_t powered = firsts + align8((size_t)image->area_count * 4);
    size_t synapses = powered + align8(image->area_count);
    if (memory != NULL) {
        expansion->kind = kind;
        expansion->start = (const uint32_t *)(void *)memory;
        expansion->empty = (const uint32_t *)(void *)(memory + empty);
        expansion->powered = memory + powered;
        expansion->synapses = memory + synapses;
        *first = (uint32_t *)(void *)(memory + firsts);
    }
    return synapses + entry_bytes(kind) * ((size_t)image->synapse_count + BEYOND);
}

/* Lists hold what arrives after one burst with weights that stay. */
static int is_expandable(const spk_image_t *image) {
    return !image->is_driven && image->delay_most <= 1 && !image->has_delay_zero && image->learning_count == 0;
}

size_t spk_expansion_bytes(const spk_image_t *image) {
    if (!is_expandable(image)) {
        return 0;
    }
    return expansion_layout(image, kind_of(image), NULL, NULL, NULL);
}

static void expand_power(const spk_image_t *image, const uint32_t *first, uint32_t *empty, uint8_t *powered) {
    uint32_t nothing = SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 ? 0 : 0x80000000u;
    for (uint32_t i = 0; i < image->neuron_count; i++) {
        empty[i] = nothing;
    }
    memset(powered, 0, image->area_count);
    uint32_t area = 0;
    for (const uint32_t *pair = image->power; pair != image->power + 2 * image->power_count; pair += 2) {
        while (area + 1 < image->area_count && pair[0] >= first[area + 1]) {
            area++;
        }
        powered[area] = 1;
        uint32_t mark = SPK_PRECISION_OF(image) == SPK_PRECISION_INT8 && image->candidates_only;
        empty[pair[0]] = pair[1] << mark | mark;
    }
}

int spk_expand(spk_image_t *image, spk_expansion_t *expansion, void *memory, size_t bytes) {
    if (!is_expandable(image)) {
        return SPK_OK;
    }
    uint32_t kind = kind_of(image);
    uint32_t *first = NULL;
    if (bytes < expansion_layout(image, kind, memory, expansion, &first)) {
        return SPK_ERROR_RAM;
    }
    uint32_t neuron = 0;
    for (uint32_t a = 0; a < image->area_count; a++) {
        first[a] = neuron;
        neuron += image->areas[a * AREA_WORDS + AREA_NEURONS];
    }
    expand_power(image, first, (uint32_t *)(uintptr_t)expansion->empty, (uint8_t *)(uintptr_t)expansion->powered);
    uint8_t *entries = (uint8_t *)(uintptr_t)expansion->synapses;
    uint32_t *start = (uint32_t *)(uintptr_t)expansion->start;
    expanding_t e = {.kind = kind, .at = entries};
    for (uint32_t a = 0; a < image->area_count; a++) {
        const uint32_t *area = image->areas + a * AREA_WORDS;
        for (uint32_t i = 0; i < area[AREA_NEURONS]; i++) {
            *start++ = (uint32_t)((size_t)(e.at - entries) / entry_bytes(kind));
            visit_neuron(image, area, first, i, &e, store);
        }
    }
    *start = image->synapse_count;
    memset(e.at, 0, BEYOND * entry_bytes(kind));
    image->expansion = expansion;
    return SPK_OK;
}

#define LISTS 32

/* Lists on their way: asked for from memory before the first of them is read. */
typedef struct {
    uint32_t count;
    uint32_t begin[LISTS];
    uint32_t end[LISTS];
} lists_t;

/* Sums of int8 images wrap, as they do on boards: the packer proves that they fit, a forged image may not. */
static inline void add(uint32_t *input, uint32_t target, int32_t weight) { input[target] += (uint32_t)weight; }

static inline void add_marked(uint32_t *input, uint32_t target, int32_t weight) {
    const uint32_t sum = input[target] + (uint32_t)weight;
    input[target] = sum | 1u;
}

static inline void add_float(float *input, uint32_t target, float weight) { input[target] += weight; }

#define ADD_SHORT(k, mask) add(input, at[k] & 0xFFFFu, (int32_t)at[k] >> 16 & (mask))
#define ADD_SHORT_MARKED(k) add_marked(input, at[k] & 0xFFFFu, (int32_t)at[k] >> 16)
#define ADD(k, mask) add(input, at[k].target, at[k].weight & (mask))
#define ADD_WORD(k, mask) add(input, at[k] >> 8, (int8_t)at[k] & (mask))
#define ADD_MARKED(k) add_marked(input, at[k].target, at[k].weight)
#define ADD_WORD_MARKED(k) add_marked(input, at[k] >> 8, (int8_t)at[k])
#define ADD_FLOAT(k) add_float(input, at[k].target, at[k].weight)

/* Add lists of one kind: four entries at a time, then the rest. */
#define SCATTER(NAME, ENTRY_T, INPUT_T, ADD)                                                             \
    static void NAME(INPUT_T *restrict input, const ENTRY_T *entries, const lists_t *lists) {            \
        for (uint32_t l = 0; l < lists->count; l++) {                                                    \
            const ENTRY_T *at = entries + lists->begin[l];                                               \
            const ENTRY_T *end = entries + lists->end[l];                                                \
            for (; end - at >= 4; at += 4) {                                                             \
                ADD(0);                                                                                  \
                ADD(1);                                                                                  \
                ADD(2);                                                                                  \
                ADD(3);                                                                                  \
            }                                                                                            \
            for (; at != end; at++) {                                                                    \
                ADD(0);                                                                                  \
            }                                                                                            \
        }                                                                                                \
    }

/* Lists of one kind where adding 0 changes nothing: the last one to four entries as four, those beyond the list with a
 * weight of 0. Lengths differ from list to list, so each branch on what is left would be guessed wrong now and then. */
#define SCATTER_EVEN(NAME, ENTRY_T, ADD)                                                                 \
    static void NAME(uint32_t *restrict input, const ENTRY_T *entries, const lists_t *lists) {           \
        for (uint32_t l = 0; l < lists->count; l++) {                                                    \
            const ENTRY_T *at = entries + lists->begin[l];                                               \
            int32_t left = (int32_t)(lists->end[l] - lists->begin[l]);                                   \
            for (; left > 4; left -= 4, at += 4) {                                                       \
                ADD(0, -1);                                                                              \
                ADD(1, -1);                                                                              \
                ADD(2, -1);                                                                              \
                ADD(3, -1);                                                                              \
            }                                                                                            \
            ADD(0, -(left > 0));                                                                         \
            ADD(1, -(left > 1));                                                                         \
            ADD(2, -(left > 2));                                                                         \
            ADD(3, -(left > 3));                                                                         \
        }                                                                                                \
    }

SCATTER_EVEN(scatter_short, uint32_t, ADD_SHORT)
SCATTER_EVEN(scatter_word, uint32_t, ADD_WORD)
SCATTER_EVEN(scatter_long, long_t, ADD)
SCATTER(scatter_short_marked, uint32_t, uint32_t, ADD_SHORT_MARKED)
SCATTER(scatter_word_marked, uint32_t, uint32_t, ADD_WORD_MARKED)
SCATTER(scatter_long_marked, long_t, uint32_t, ADD_MARKED)
SCATTER(scatter_float, float_entry_t, float, ADD_FLOAT)

static void scatter(spk_engine_t *engine, const lists_t *lists) {
    const spk_expansion_t *expansion = engine->image->expansion;
    void *input = engine->arena + spk_area_state(engine, 0)[STATE_INPUT];
    switch (expansion->kind << 1 | engine->image->candidates_only) {
    case KIND_SHORT << 1:
        scatter_short(input, expansion->synapses, lists);
        break;
    case KIND_SHORT << 1 | 1:
        scatter_short_marked(input, expansion->synapses, lists);
        break;
    case KIND_WORD << 1:
        scatter_word(input, expansion->synapses, lists);
        break;
    case KIND_WORD << 1 | 1:
        scatter_word_marked(input, expansion->synapses, lists);
        break;
    case KIND_LONG << 1:
        scatter_long(input, expansion->synapses, lists);
        break;
    case KIND_LONG << 1 | 1:
        scatter_long_marked(input, expansion->synapses, lists);
        break;
    default:
        scatter_float(input, expansion->synapses, lists);
        break;
    }
}

static void flush(spk_engine_t *engine, lists_t *lists) {
    scatter(engine, lists);
    for (uint32_t l = 0; l < lists->count; l++) {
        engine->counters.events += lists->end[l] - lists->begin[l];
    }
    lists->count = 0;
}

/* Every area that an area which has fired projects into is reached. */
static void mark_reached(spk_engine_t *engine) {
    const spk_image_t *image = engine->image;
    for (uint32_t a = 0; a < image->area_count; a++) {
        if (!(spk_area_state(engine, a)[STATE_FLAGS] & STATE_HAS_FIRED)) {
            continue;
        }
        const uint32_t *area = spk_area_record(engine, a);
        const uint32_t *projection = image->projections + area[AREA_PROJECTION_FIRST] * PROJECTION_WORDS;
        const uint32_t *end = projection + area[AREA_PROJECTION_COUNT] * PROJECTION_WORDS;
        for (; projection != end; projection += PROJECTION_WORDS) {
            spk_area_state(engine, projection[PROJECTION_ENDS] >> 16)[STATE_FLAGS] |= STATE_IS_REACHED;
        }
    }
}

void spk_propagate_expanded(spk_engine_t *engine) {
    const spk_expansion_t *expansion = engine->image->expansion;
    const uint8_t *synapses = expansion->synapses;
    lists_t lists;
    lists.count = 0;
    if (engine->fired_count != 0) {
        mark_reached(engine);
    }
    for (uint32_t i = 0; i < engine->fired_count; i++) {
        uint32_t neuron = engine->fired_list[i];
        uint32_t begin = expansion->start[neuron];
        const uint8_t *row = synapses + (size_t)begin * entry_bytes(expansion->kind);
        __builtin_prefetch(row);
        __builtin_prefetch(row + 64);
        lists.begin[lists.count] = begin;
        lists.end[lists.count++] = expansion->start[neuron + 1];
        if (lists.count == LISTS) {
            flush(engine, &lists);
        }
    }
    flush(engine, &lists);
}

SPK_CLONES static void sum_ids(const uint32_t *restrict ids, uint32_t count, uint32_t *restrict sum) {
    uint32_t sums[2] = {0, 0};
    for (uint32_t i = 0; i < count; i++) {
        sums[0] += spk_pcg(2 * ids[i]);
        sums[1] += spk_pcg(2 * ids[i] + 1);
    }
    sum[0] += sums[0];
    sum[1] += sums[1];
}

enum { WORDS_AT_A_TIME = 256 };

/* Ids of the set bits of a bitmap, ascending. Returns how many. Most words are 0: the others are listed first, without a
 * branch. Four ids per word are written whether they are there or not: few words hold more, so the branches are
 * foreseen. */
SPK_CLONES static uint32_t list_bits(const uint32_t *bitmap, uint32_t words, uint32_t *ids) {
    uint32_t *list = ids;
    uint32_t found[WORDS_AT_A_TIME];
    for (uint32_t first = 0; first < words; first += WORDS_AT_A_TIME) {
        uint32_t end = words - first < WORDS_AT_A_TIME ? words : first + WORDS_AT_A_TIME;
        uint32_t count = 0;
        for (uint32_t word = first; word < end; word++) {
            found[count] = word;
            count += bitmap[word] != 0;
        }
        for (uint32_t f = 0; f < count; f++) {
            uint32_t bits = bitmap[found[f]];
            uint32_t *at = list;
            list += __builtin_popcount(bits);
            do {
                for (uint32_t k = 0; k < 4; k++) {
                    *at++ = 32 * found[f] + (uint32_t)__builtin_ctz(bits | 1u << 31);
                    bits &= bits - 1;
                }
            } while (bits != 0);
        }
    }
    return (uint32_t)(list - ids);
}

void spk_list_fired(spk_engine_t *engine, uint32_t sum[2]) {
    uint32_t words = spk_words_for(engine->image->neuron_count);
    engine->fired_count = list_bits(engine->fired, words, engine->fired_list);
    sum_ids(engine->fired_list, engine->fired_count, sum);
}

#endif
