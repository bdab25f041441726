"""The core in other build systems, and what vendors' SDKs would compile."""

from __future__ import annotations

import fnmatch
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import engines
import pytest

from espike import export, toolchain
from espike.toolchain import CORE, CORE_FLAGS, FIRMWARE, ROOT

ARDUINO_H = """
#pragma once
#include <stdint.h>
#include <stdio.h>
struct { void begin(long) {} void print(const char *text) { fputs(text, stdout); } } Serial;
static inline void delay(unsigned long) {}
"""
SDK = {
    "driver/uart.h": """
typedef int esp_err_t; typedef int uart_port_t; typedef uint32_t TickType_t; typedef void *QueueHandle_t;
typedef struct { int baud_rate, data_bits, parity, stop_bits, flow_ctrl; uint8_t rx_flow_ctrl_thresh; int source_clk; }
    uart_config_t;
enum { ESP_OK, UART_NUM_0 = 0, UART_DATA_8_BITS = 3, UART_PARITY_DISABLE = 0, UART_STOP_BITS_1 = 1,
    UART_HW_FLOWCTRL_DISABLE = 0, UART_SCLK_DEFAULT = 4 };
esp_err_t uart_driver_install(uart_port_t, int, int, int, QueueHandle_t *, int);
esp_err_t uart_param_config(uart_port_t, const uart_config_t *);
int uart_read_bytes(uart_port_t, void *, uint32_t, TickType_t);
int uart_write_bytes(uart_port_t, const void *, size_t);
esp_err_t uart_get_tx_buffer_free_size(uart_port_t, size_t *);
""",
    "esp_attr.h": "#define RTC_NOINIT_ATTR\n",
    "esp_cpu.h": "typedef uint32_t esp_cpu_cycle_count_t; esp_cpu_cycle_count_t esp_cpu_get_cycle_count(void);\n",
    "esp_heap_caps.h": """
#define MALLOC_CAP_INTERNAL (1 << 11)
size_t heap_caps_get_largest_free_block(uint32_t);
void *heap_caps_aligned_alloc(size_t, size_t, uint32_t);
""",
    "esp_partition.h": """
typedef int esp_partition_type_t; typedef int esp_partition_subtype_t; typedef int esp_partition_mmap_memory_t;
typedef uint32_t esp_partition_mmap_handle_t;
typedef struct { uint32_t address, size; } esp_partition_t;
enum { ESP_PARTITION_TYPE_DATA = 1, ESP_PARTITION_SUBTYPE_ANY = 255, ESP_PARTITION_MMAP_DATA = 0 };
const esp_partition_t *esp_partition_find_first(esp_partition_type_t, esp_partition_subtype_t, const char *);
esp_err_t esp_partition_read(const esp_partition_t *, size_t, void *, size_t);
esp_err_t esp_partition_write(const esp_partition_t *, size_t, const void *, size_t);
esp_err_t esp_partition_erase_range(const esp_partition_t *, size_t, size_t);
esp_err_t esp_partition_mmap(const esp_partition_t *, size_t, size_t, esp_partition_mmap_memory_t, const void **,
    esp_partition_mmap_handle_t *);
""",
    "esp_rom_sys.h": "uint32_t esp_rom_get_cpu_ticks_per_us(void);\n",
    "esp_sleep.h": "void esp_deep_sleep(uint64_t);\n",
    "esp_system.h": """
typedef enum { ESP_RST_UNKNOWN, ESP_RST_POWERON, ESP_RST_EXT, ESP_RST_SW, ESP_RST_PANIC, ESP_RST_INT_WDT,
    ESP_RST_TASK_WDT, ESP_RST_WDT, ESP_RST_DEEPSLEEP } esp_reset_reason_t;
esp_reset_reason_t esp_reset_reason(void);
void esp_restart(void);
""",
    "esp_timer.h": """
typedef struct esp_timer *esp_timer_handle_t;
typedef struct { void (*callback)(void *); void *arg; int dispatch_method; const char *name;
    int skip_unhandled_events; } esp_timer_create_args_t;
esp_err_t esp_timer_create(const esp_timer_create_args_t *, esp_timer_handle_t *);
esp_err_t esp_timer_start_once(esp_timer_handle_t, uint64_t);
esp_err_t esp_timer_stop(esp_timer_handle_t);
int64_t esp_timer_get_time(void);
""",
    "freertos/FreeRTOS.h": "#define portNUM_PROCESSORS 2\n#define pdMS_TO_TICKS(ms) ((TickType_t)((ms) / 10u))\n",
    "freertos/task.h": """
typedef void *TaskHandle_t;
int xTaskCreatePinnedToCore(void (*)(void *), const char *, uint32_t, void *, unsigned, TaskHandle_t *, int);
unsigned uxTaskGetStackHighWaterMark(TaskHandle_t);
""",
}
"""Declarations of what firmware/esp-idf uses, as ESP-IDF 5 documents them; nothing is linked."""

CMAKE_PROJECT = """
cmake_minimum_required(VERSION 3.16)
project(probe LANGUAGES C)
add_subdirectory(%s core)
add_executable(probe main.c program.c network.c)
target_link_libraries(probe PRIVATE espike::core)
"""


def golden_files() -> export.Files:
    from test_export import golden

    return export.c_files(golden(), None)


def test_cmake_builds_the_core_and_a_program(tmp_path: Path) -> None:
    cmake = shutil.which("cmake", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if cmake is None:
        engines.lack("cmake not found")
    files = {name: text for name, text in golden_files().items() if "/" not in name}
    export.write({**files, "CMakeLists.txt": CMAKE_PROJECT % CORE}, tmp_path / "probe")
    for step in (["-S", "probe", "-B", "build", "-DCMAKE_C_FLAGS=-Wall -Werror"], ["--build", "build"]):
        subprocess.run([cmake, *step], cwd=tmp_path, check=True, capture_output=True)
    done = subprocess.run([tmp_path / "build" / "probe"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith("as on the host")


def test_the_library_s_filter_finds_the_core_s_sources() -> None:
    about = json.loads((CORE / "library.json").read_text())["build"]
    [kept] = about["srcFilter"]
    folder = CORE / about["srcDir"]
    found = [p for p in sorted(folder.rglob("*")) if fnmatch.fnmatch(p.relative_to(folder).as_posix(), kept[2:-1])]
    assert found == toolchain.core_sources()
    assert (CORE / about["includeDir"] / "espike" / "engine.h").exists()
    assert "${CMAKE_CURRENT_LIST_DIR}/src/*.c" in (CORE / "CMakeLists.txt").read_text()


@pytest.mark.parametrize("compiler", [["cc", "-x", "c", "-std=c99"], ["c++", "-x", "c++", "-std=c++11"]])
def test_public_headers_are_c_and_cpp(compiler: list[str], tmp_path: Path) -> None:
    if shutil.which(compiler[0]) is None:
        engines.lack(f"{compiler[0]} not found")
    headers = sorted((CORE / "include" / "espike").glob("*.h"))
    text = "".join(f'#include "espike/{path.name}"\n' for path in headers)
    warnings = ["-Wall", "-Wextra", "-Werror", "-pedantic"]
    command = [*compiler, *warnings, f"-I{CORE / 'include'}", "-fsyntax-only", "-"]
    subprocess.run(command, input=text, text=True, check=True, cwd=tmp_path)


def test_the_sketch_runs_on_a_thin_arduino(tmp_path: Path) -> None:
    """Arduino itself is not here: its few functions are stood in for, so this proves the sketch, not the SDK."""
    if shutil.which("c++") is None:
        engines.lack("c++ not found")
    sketch = ROOT / "examples" / "arduino" / "EspikeRun"
    (tmp_path / "Arduino.h").write_text(ARDUINO_H)
    main = '#include "Arduino.h"\n#include "EspikeRun.ino"\nint main() { setup(); }\n'
    (tmp_path / "main.cpp").write_text(main)
    flags = [f"-I{tmp_path}", f"-I{CORE / 'include'}", f"-I{sketch}"]
    sources = [sketch / "program.c", sketch / "network.c", *toolchain.core_sources()]
    subprocess.run(["cc", "-c", *CORE_FLAGS, *flags, *map(str, sources)], cwd=tmp_path, check=True)
    objects = map(str, tmp_path.glob("*.o"))
    subprocess.run(["c++", "-Wall", "-Werror", *flags, "main.cpp", *objects, "-o", "sketch"], cwd=tmp_path, check=True)
    done = subprocess.run([tmp_path / "sketch"], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].endswith("as on the host")


@pytest.mark.parametrize(
    "source", ["firmware/esp-idf/port.c", "firmware/esp-idf/main.c", "examples/esp-idf/main/main.c"]
)
def test_sdk_sources_compile_against_the_published_declarations(source: str, tmp_path: Path) -> None:
    """Syntax and types only: the SDK is not here."""
    for name, text in SDK.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#include <stddef.h>\n#include <stdint.h>\n{text}")
    flags = [*CORE_FLAGS, "-DSPK_BOARD_NAME=probe", f"-I{tmp_path}", f"-I{CORE / 'include'}", f"-I{FIRMWARE}"]
    subprocess.run(["cc", *flags, "-fsyntax-only", ROOT / source], check=True)
