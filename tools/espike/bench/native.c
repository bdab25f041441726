/* image file + start values -> events, seconds and memory: the core in a process of its own, for callgrind and for
 * resident memory. Arguments: image, start values (one int32 per neuron), bursts to warm up, bursts to measure. */
#define _DEFAULT_SOURCE /* madvise */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "espike/engine.h"
#include "espike/expand.h"

/* The bursts that count: callgrind collects inside this function only. */
__attribute__((noinline)) void measured_bursts(spk_engine_t *engine, long bursts);

void measured_bursts(spk_engine_t *engine, long bursts) {
    for (; bursts > 0; bursts--) {
        spk_engine_burst(engine);
    }
}

/* A file as memory that comes and goes by pages. */
static uint8_t *map_file(const char *path, size_t *size) {
    struct stat about;
    int file = open(path, O_RDONLY);
    if (file < 0 || fstat(file, &about) != 0) {
        exit(2);
    }
    *size = (size_t)about.st_size;
    void *bytes = mmap(NULL, *size, PROT_READ, MAP_PRIVATE, file, 0);
    if (bytes == MAP_FAILED) {
        exit(2);
    }
    close(file);
    return bytes;
}

static void *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
        exit(2);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    void *bytes = malloc(*size);
    if (bytes == NULL || fread(bytes, 1, *size, file) != *size) {
        exit(2);
    }
    fclose(file);
    return bytes;
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + 1e-9 * (double)time.tv_nsec;
}

/* Most memory resident so far, 0 where the system does not tell. getrusage would count the parent's, too. */
static long resident_kb(void) {
    char line[128];
    long kb = 0;
    FILE *status = fopen("/proc/self/status", "r");
    while (status != NULL && kb == 0 && fgets(line, sizeof line, status) != NULL) {
        kb = strncmp(line, "VmHWM:", 6) == 0 ? atol(line + 6) : 0;
    }
    if (status != NULL) {
        fclose(status);
    }
    return kb;
}

static void start(spk_engine_t *engine, const char *image_path, const char *values_path) {
    static spk_image_t image;
    size_t size = 0;
    uint8_t *bytes = map_file(image_path, &size);
    if (spk_image_open(&image, bytes, size) != SPK_OK) {
        exit(3);
    }
    static spk_expansion_t expansion;
    size_t expanded = spk_expansion_bytes(&image);
    if (spk_expand(&image, &expansion, malloc(expanded), expanded) != SPK_OK) {
        exit(4);
    }
    madvise(bytes, size, MADV_DONTNEED); /* whoever needs a page again gets it from the file */
    size_t ram = spk_engine_ram_bytes(&image);
    if (spk_engine_init(engine, &image, &spk_kernel_int8, malloc(ram), ram, 0) != SPK_OK) {
        exit(4);
    }
    uint32_t *values = read_file(values_path, &size);
    for (uint32_t neuron = 0; neuron < image.neuron_count; neuron++) {
        if (spk_engine_inject(engine, neuron, values[neuron]) != SPK_OK) {
            exit(5);
        }
    }
    free(values);
}

int main(int count, char **arguments) {
    static spk_engine_t engine;
    if (count != 5) {
        return 2;
    }
    start(&engine, arguments[1], arguments[2]);
    for (long warm_up = atol(arguments[3]); warm_up > 0; warm_up--) {
        spk_engine_burst(&engine);
    }
    uint64_t events = engine.counters.events;
    double begin = now();
    measured_bursts(&engine, atol(arguments[4]));
    double seconds = now() - begin;
    printf("%llu %.9f %ld\n", (unsigned long long)(engine.counters.events - events), seconds, resident_kb());
    return 0;
}
