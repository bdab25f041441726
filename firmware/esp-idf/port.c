/* boards with Espressif's SDK: UART driver, a partition as flash, esp_timer; bursts on the last core, the link's interrupt on the
 * first. Written against ESP-IDF 5; not built by espike's own tests, which only check that it compiles (docs/platformio.md). */
#include "app.h"

#include <string.h>

#include "driver/uart.h"
#include "esp_attr.h"
#include "esp_cpu.h"
#include "esp_heap_caps.h"
#include "esp_partition.h"
#include "esp_rom_sys.h"
#include "esp_sleep.h"
#include "esp_system.h"
#include "esp_timer.h"
#include "freertos/FreeRTOS.h"
#include "freertos/task.h"

#include "esp-idf/start.h"

#ifndef SPK_BOARD_NAME
#define SPK_BOARD_NAME esp-idf
#endif
#ifndef SPK_ARENA_CAPS /* MALLOC_CAP_SPIRAM: the network in external RAM */
#define SPK_ARENA_CAPS MALLOC_CAP_INTERNAL
#endif

#define LINK UART_NUM_0
#define LINK_BAUD 115200
#define LINK_BUFFER_BYTES 4096
#define FRAME_BYTES (APP_PAYLOAD_BYTES + 32u)
#define STORE_LABEL "espike"
#define SECTOR_BYTES 4096u
#define KEPT_FREE_BYTES (24u * 1024u) /* of the heap, for drivers and tasks */
#define RETAINED_BYTES 4096u
#define STACK_BYTES 8192u
#define GUARD_MARK 0x47554152u

RTC_NOINIT_ATTR static SPK_ARENA(retained, RETAINED_BYTES);
RTC_NOINIT_ATTR static uint32_t guard_mark;

static const esp_partition_t *store;
static const uint8_t *mapped;
static esp_timer_handle_t guard;
static uint8_t waiting[256];
static int waiting_count;
static int waiting_at;
static uint64_t start_us;
static uint32_t start_cycles;

static uint32_t reset_cause(void) {
    uint32_t by_guard = guard_mark == GUARD_MARK;
    guard_mark = 0;
    switch (esp_reset_reason()) {
    case ESP_RST_POWERON:
    case ESP_RST_EXT:
        return SPK_RESET_POWER;
    case ESP_RST_SW:
        return by_guard ? SPK_RESET_GUARD : SPK_RESET_SOFTWARE;
    case ESP_RST_PANIC:
    case ESP_RST_INT_WDT:
    case ESP_RST_TASK_WDT:
    case ESP_RST_WDT:
        return SPK_RESET_GUARD;
    case ESP_RST_DEEPSLEEP:
        return SPK_RESET_SLEEP;
    default:
        return SPK_RESET_OTHER;
    }
}

static void guard_ran_out(void *context) {
    (void)context;
    guard_mark = GUARD_MARK;
    esp_restart();
}

static void open_store(void) {
    const void *bytes = NULL;
    esp_partition_mmap_handle_t handle;
    store = esp_partition_find_first(ESP_PARTITION_TYPE_DATA, ESP_PARTITION_SUBTYPE_ANY, STORE_LABEL);
    if (store != NULL && esp_partition_mmap(store, 0, store->size, ESP_PARTITION_MMAP_DATA, &bytes, &handle) == ESP_OK) {
        mapped = bytes;
    }
}

const spk_port_t *spk_port_init(void) {
    static spk_port_t port;
    const esp_timer_create_args_t timer = {.callback = guard_ran_out, .name = "espike guard"};
    size_t most = heap_caps_get_largest_free_block(SPK_ARENA_CAPS);
    size_t arena_bytes = most > KEPT_FREE_BYTES ? (most - KEPT_FREE_BYTES) & ~(size_t)7 : 0;
    open_store();
    esp_timer_create(&timer, &guard);
    start_us = (uint64_t)esp_timer_get_time();
    start_cycles = esp_cpu_get_cycle_count();
    port = (spk_port_t){
        .name = SPK_TEXT(SPK_BOARD_NAME),
        .flash_bytes = store != NULL ? store->size : 0,
        .sector_bytes = SECTOR_BYTES,
        .arena = heap_caps_aligned_alloc(8, arena_bytes, SPK_ARENA_CAPS),
        .arena_bytes = (uint32_t)arena_bytes,
        .cycles_hz = esp_rom_get_cpu_ticks_per_us() * 1000000u,
        .reset_cause = reset_cause(),
        .retained = retained,
        .retained_bytes = sizeof retained,
    };
    return &port;
}

static int receive(TickType_t ticks) {
    if (waiting_at == waiting_count) {
        waiting_at = 0;
        waiting_count = uart_read_bytes(LINK, waiting, 1, ticks);
        if (waiting_count == 1) {
            int more = uart_read_bytes(LINK, waiting + 1, sizeof waiting - 1, 0);
            waiting_count += more > 0 ? more : 0;
        }
        waiting_count = waiting_count > 0 ? waiting_count : 0;
    }
    return waiting_at < waiting_count;
}

int spk_port_read(void) { return receive(0) ? waiting[waiting_at++] : -1; }

void spk_port_write(const uint8_t *bytes, size_t count) { uart_write_bytes(LINK, bytes, count); }

int spk_port_writable(void) {
    size_t room = 0;
    return uart_get_tx_buffer_free_size(LINK, &room) == ESP_OK && room >= FRAME_BYTES;
}

void spk_port_flash_read(uint32_t offset, void *bytes, uint32_t count) {
    if (store == NULL || esp_partition_read(store, offset, bytes, count) != ESP_OK) {
        memset(bytes, 0xFF, count);
    }
}

const uint8_t *spk_port_flash_map(uint32_t offset, uint32_t count) {
    (void)count;
    return mapped != NULL ? mapped + offset : NULL;
}

int spk_port_erase(uint32_t offset) {
    return store != NULL && esp_partition_erase_range(store, offset, SECTOR_BYTES) == ESP_OK ? 0 : -1;
}

static int reads_back(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    uint8_t piece[64];
    for (uint32_t done = 0; done < count; done += sizeof piece) {
        uint32_t length = count - done < sizeof piece ? count - done : sizeof piece;
        spk_port_flash_read(offset + done, piece, length);
        if (memcmp(piece, bytes + done, length) != 0) {
            return 0;
        }
    }
    return 1;
}

int spk_port_program(uint32_t offset, const uint8_t *bytes, uint32_t count) {
    if (store == NULL || esp_partition_write(store, offset, bytes, count) != ESP_OK) {
        return -1;
    }
    return reads_back(offset, bytes, count) ? 0 : -1;
}

void spk_port_guard(uint32_t ms) {
    esp_timer_stop(guard);
    if (ms != 0) {
        esp_timer_start_once(guard, (uint64_t)ms * 1000u);
    }
}

uint32_t spk_port_stack_unused(void) { return (uint32_t)uxTaskGetStackHighWaterMark(NULL); }

uint64_t spk_port_micros(void) { return (uint64_t)esp_timer_get_time(); }

/* The core's counter has 32 bits: the clock says which of its rounds this is. */
uint64_t spk_port_cycles(void) {
    uint64_t about = (spk_port_micros() - start_us) * esp_rom_get_cpu_ticks_per_us();
    uint32_t counted = (uint32_t)esp_cpu_get_cycle_count() - start_cycles;
    return about + (uint64_t)(int64_t)(int32_t)(counted - (uint32_t)about);
}

void spk_port_idle(uint32_t us) { receive(pdMS_TO_TICKS(us / 1000u)); }

/* Lights of SDK boards are the application's. */
void spk_port_light(int on) { (void)on; }

void spk_port_sleep(uint32_t us) { esp_deep_sleep(us); }

void spk_port_reboot(void) { esp_restart(); }

static void run(void *context) {
    (void)context;
    app_init();
    for (;;) {
        uint32_t us = app_poll();
        if (us != 0) {
            spk_port_idle(us);
        }
    }
}

void espike_start(void) {
    const uart_config_t how = {
        .baud_rate = LINK_BAUD, .data_bits = UART_DATA_8_BITS, .parity = UART_PARITY_DISABLE,
        .stop_bits = UART_STOP_BITS_1, .flow_ctrl = UART_HW_FLOWCTRL_DISABLE, .source_clk = UART_SCLK_DEFAULT,
    };
    uart_driver_install(LINK, LINK_BUFFER_BYTES, LINK_BUFFER_BYTES, 0, NULL, 0);
    uart_param_config(LINK, &how);
    xTaskCreatePinnedToCore(run, "espike", STACK_BYTES, NULL, 1, NULL, portNUM_PROCESSORS - 1);
}
