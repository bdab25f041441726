# espike: `make demo` and `make test` set themselves up; `make help` lists the rest.

VENV := .venv
PYTHON ?= python3
BIN := $(VENV)/bin
CORE := $(shell find c_core hostsim -name '*.[ch]' -o -name '*.inc' -o -name _build.py)
PACKAGES := gcc-riscv64-unknown-elf gcc-xtensa-lx106 qemu-system-misc clang lld nodejs qemu-user gcc-aarch64-linux-gnu libc6-dev-arm64-cross

.DEFAULT_GOAL := help
.PHONY: help setup demo test coverage toolchain firmware bench soak lint reference wasm clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

setup: $(VENV)/ready ## make .venv with espike in it (once; again when pyproject.toml or the core changes)

$(VENV)/ready: $(VENV)/installed $(CORE)
	@$(BIN)/python setup.py -q build_ext --inplace
	@touch $@

$(VENV)/installed: pyproject.toml setup.py
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "espike needs Python 3.11 or later; set PYTHON=..., or: apt-get install python3 python3-venv python3-dev"; exit 1; }
	@command -v cc >/dev/null || { echo "espike needs a C compiler: apt-get install gcc libc6-dev python3-dev"; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
		{ echo "espike needs venv: apt-get install python3-venv"; exit 1; }
	@$(PYTHON) -c 'import sys, sysconfig, os; sys.exit(not os.path.exists(os.path.join(sysconfig.get_paths()["include"], "Python.h")))' || \
		{ echo "espike needs Python's headers: apt-get install python3-dev"; exit 1; }
	@test -x $(BIN)/python || { echo "making $(VENV)"; $(PYTHON) -m venv $(VENV); }
	@echo "installing espike into $(VENV)"
	@$(BIN)/pip install -q --disable-pip-version-check -e '.[dev,plot]'
	@touch $@

demo: setup ## grow, pack, flash, run and verify a network on the boards of this machine
	@$(BIN)/espike demo

test: setup ## all tests; what needs `make toolchain` is skipped, visibly, without it; in CI they are counted
	@$(BIN)/python scripts/check_core.py
	@if [ -n "$$ESPIKE_CI" ]; then $(BIN)/python scripts/coverage.py; else $(BIN)/pytest -n 2; fi

coverage: setup ## all tests, counting: lines of Python, branches of the C core; fails below the gates
	@$(BIN)/python scripts/check_core.py
	@$(BIN)/python scripts/coverage.py

lint: setup ## ruff and mypy
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

firmware: setup ## every board's firmware whose compiler is here, and the images that chips boot
	@$(BIN)/python -m SCons -s
	@ls build/*/firmware.bin >/dev/null 2>&1 && wc -c build/*/firmware.bin || echo "no chip image: no cross compiler, or no esptool"

bench: setup ## measure every figure, goals beside them
	@$(BIN)/espike bench

soak: setup ## the long runs: 10^5 bursts, full sweeps, longer fuzzing
	@$(BIN)/pytest -n 2 --soak

reference: setup ## docs/api-python.md and docs/api-c.md, from docstrings and headers
	@$(BIN)/python scripts/api_reference.py

wasm: setup ## the segment codec for node and browsers, as a library, and a page that shows segments
	@$(BIN)/python -c 'from espike import wasm; print(*wasm.build(), sep="\n")'

toolchain: ## cross compilers, QEMU and clang from Debian (as root)
	@if [ "$$(id -u)" = 0 ]; then \
		export DEBIAN_FRONTEND=noninteractive; apt-get update -qq; \
		apt-get install -y -qq --no-install-recommends $(PACKAGES) && \
		apt-get install -y -qq --no-install-recommends "libclang-rt-$$(clang -dumpversion | cut -d. -f1)-dev" && \
		{ apt-get install -y -qq --no-install-recommends chromium-headless-shell || \
		  apt-get install -y -qq --no-install-recommends chromium; }; \
	else echo "run as root: apt-get install $(PACKAGES)"; exit 1; fi

clean: ## remove what was built, keep .venv
	@rm -rf build out hostsim/espike_sim/*.so
