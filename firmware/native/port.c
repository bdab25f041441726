/* the native board: the application as a POSIX process behind a pty, its flash a file. */
#define _XOPEN_SOURCE 700
#define _DEFAULT_SOURCE

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "app.h"

#define SECTOR_BYTES 4096u
#define RETAINED_BYTES 8192u

static SPK_ARENA(arena, SPK_ARENA_BYTES);
static SPK_ARENA(retained, RETAINED_BYTES);
static sigjmp_buf start;
static uint32_t reset_cause = SPK_RESET_POWER;
static uint8_t *flash;
static int flash_file = -1;
static int wire = -1;
static int keeper = -1; /* our own handle of the pty's other end: without it a closing host would hang the pty up */
static uint8_t waiting[512];
static size_t waiting_count;
static size_t waiting_at;

static void fail(const char *what) {
    fprintf(stderr, "espike-native: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void open_flash(const char *path) {
    struct stat info;
    flash_file = open(path, O_RDWR | O_CREAT, 0644);
    if (flash_file < 0 || fstat(flash_file, &info) != 0) {
        fail(path);
    }
    int is_new = info.st_size < (off_t)SPK_FLASH_BYTES;
    if (is_new && ftruncate(flash_file, SPK_FLASH_BYTES) != 0) {
        fail(path);
    }
    flash = mmap(NULL, SPK_FLASH_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, flash_file, 0);
    if (flash == MAP_FAILED) {
        fail(path);
    }
}

static void open_wire(void) {
    struct termios raw;
    wire = posix_openpt(O_RDWR | O_NOCTTY);
    if (wire < 0 || grantpt(wire) != 0 || unlockpt(wire) != 0) {
        fail("pty");
    }
    const char *name = ptsname(wire);
    keeper = name != NULL ? open(name, O_RDWR | O_NOCTTY) : -1;
    if (keeper < 0 || tcgetattr(keeper, &raw) != 0) {
        fail("pty");
    }
    raw.c_iflag &= (tcflag_t) ~(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR | IGNCR | ICRNL | IXON);
    raw.c_oflag &= (tcflag_t)~OPOST;
    raw.c_lflag &= (tcflag_t) ~(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
    raw.c_cflag = (raw.c_cflag & (tcflag_t) ~(CSIZE | PARENB)) | CS8;
    if (tcsetattr(keeper, TCSANOW, &raw) != 0 || fcntl(wire, F_SETFL, O_NONBLOCK) != 0) {
        fail("pty");
    }
    printf("%s\n", name);
    fflush(stdout);
}

const spk_port_t *spk_port_init(void) {
    static spk_port_t port;
    port = (spk_port_t){
        SPK_TEXT(SPK_BOARD_NAME), SPK_FLASH_BYTES, SECTOR_BYTES, arena, sizeof arena, 1000000000u, reset_cause,
        retained, sizeof retained, 0,
    };
    return &port;
}

int spk_port_read(void) {
    if (waiting_at == waiting_count) {
        ssize_t got = read(wire, waiting, sizeof waiting);
        waiting_at = 0;
        waiting_count = got > 0 ? (size_t)got : 0;
        if (got <= 0) {
            return -1;
        }
    }
    return waiting[waiting_at++];
}

int spk_port_writable(void) {
    struct pollfd out = {wire, POLLOUT, 0};
    return poll(&out, 1, 0) == 1 && (out.revents & POLLOUT) != 0;
}

/* A host that went away stops reading: after this long its bytes are thrown away, as on a wire. */
#define WRITE_PATIENCE_MS 2000

void spk_port_write(const uint8_t *bytes, size_t count) {
    static int deaf;
    while (count != 0) {
        ssize_t put = write(wire, bytes, count);
        if (put > 0) {
            bytes += put;
            count -= (size_t)put;
            deaf = 0;
            continue;
        }
        struct pollfd out = {wire, POLLOUT, 0};
        if (put < 0 && errno != EAGAIN && errno != EINTR) {
            return;
        }
        if (poll(&out, 1, deaf ? 0 : WRITE_PATIENCE_MS) == 0) {
            deaf = 1;
            tcflush(wire, TCOFLUSH);
            return;
        }
    }
}

void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count) { memcpy(bytes, flash + offset, count); }

const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count) {
    (void)count;
    return flash + offset;
}

int spk_port_erase(uint32_t offset) {
    memset(flash + offset, 0xFF, SECTOR_BYTES);
    return 0;
}

int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    for (uint32_t i = 0; i < count; i++) {
        flash[offset + i] &= bytes[i];
    }
    return memcmp(flash + offset, bytes, count) == 0 ? 0 : -1;
}

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t spk_port_micros(void) { return nanoseconds() / 1000; }

uint64_t spk_port_cycles(void) { return nanoseconds(); }

void spk_port_light(int on) { (void)on; }

void spk_port_idle(uint32_t us) {
    struct timespec wait = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    fd_set in;
    if (waiting_at != waiting_count) {
        return;
    }
    FD_ZERO(&in);
    FD_SET(wire, &in);
    FD_SET(STDIN_FILENO, &in);
    if (pselect(wire + 1, &in, NULL, NULL, &wait, NULL) > 0 && FD_ISSET(STDIN_FILENO, &in)) {
        char byte;
        if (read(STDIN_FILENO, &byte, 1) <= 0) {
            exit(0); /* who started the board is gone */
        }
    }
}

static void restart(uint32_t cause) {
    reset_cause = cause;
    siglongjmp(start, 1);
}

void spk_port_reboot(void) { restart(SPK_RESET_SOFTWARE); }

static void guard_ran_out(int signal_number) {
    (void)signal_number;
    restart(SPK_RESET_GUARD);
}

void spk_port_guard(uint32_t ms) {
    struct itimerval after = {{0, 0}, {(time_t)(ms / 1000u), (suseconds_t)(ms % 1000u) * 1000}};
    signal(SIGALRM, guard_ran_out);
    setitimer(ITIMER_REAL, &after, NULL);
}

uint32_t spk_port_stack_unused(void) { return UINT32_MAX; }

void spk_port_sleep(uint32_t us) {
    struct timespec wait = {(time_t)(us / 1000000u), (long)(us % 1000000u) * 1000};
    nanosleep(&wait, NULL);
    memset(arena, 0xA5, sizeof arena); /* nothing else is retained */
    restart(SPK_RESET_SLEEP);
}

int main(int count, char **arguments) {
    if (count != 2) {
        fprintf(stderr, "usage: espike-native FLASH-FILE\nRuns until its standard input ends; prints its pty.\n");
        return 2;
    }
    open_flash(arguments[1]);
    open_wire();
    (void)sigsetjmp(start, 1);
    app_init();
    for (uint32_t busy = 0;; busy++) {
        uint32_t us = app_poll();
        if (us != 0 || busy % 256 == 0) {
            spk_port_idle(us);
        }
    }
}
