# The verbs of this repository. A Linux machine with Python >= 3.11 and stable Rust is all they need;
# everything else comes from pip into .venv, once, and is rebuilt only when its sources change.
#
#   make serve [MODEL=folder] [PORT=11556] [ARGS="--api-key K"]
#   make test | lint | fmt | bench | fuzz [FUZZ_S=60] | wheel | clean
#   make families [GOLDEN=folder] | loom

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DELETE_ON_ERROR:

FIRST_GOOD = for p in python3 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done
PYTHON ?= $(shell $(FIRST_GOOD))
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install -q --disable-pip-version-check
MODEL ?=
PORT ?= 11556
ARGS ?=
NAME := $(if $(MODEL),$(notdir $(realpath $(MODEL))),penstock-demo)
export PYO3_PYTHON := $(CURDIR)/$(BIN)/python

RUST_SOURCES := Cargo.toml Cargo.lock pyproject.toml rust/kernels/Cargo.toml $(shell find rust/src rust/kernels -name '*.rs')
PACKAGE := $(shell find python -type f -not -name '*.pyc' -not -name '*.so')
INSTALLED := $(VENV)/.installed
DEV := $(VENV)/.dev
WHEEL := dist/.built

.PHONY: serve test lint lint-python lint-rust test-rust test-python fmt bench families fuzz loom wheel clean
.DEFAULT_GOAL := serve

define HELLO

In another terminal, once the log says "Ready":

curl -N http://127.0.0.1:$(PORT)/v1/chat/completions -H 'content-type: application/json' -d '{"model": "$(NAME)", "messages": [{"role": "user", "content": "Hello!"}], "max_tokens": 64, "stream": true}'

or $(BIN)/python with these five lines (any Python with "pip install openai" will do):

from openai import OpenAI
client = OpenAI(base_url="http://127.0.0.1:$(PORT)/v1", api_key="none")
ask = [{"role": "user", "content": "Hello!"}]
for event in client.chat.completions.create(model=client.models.list().data[0].id, messages=ask, max_tokens=64, stream=True):
    print(event.choices[0].delta.content or "", end="", flush=True)

endef
export HELLO

serve: $(INSTALLED)
	@printf '%s\n' "$$HELLO"
	@exec $(BIN)/penstock serve $(MODEL) --port $(PORT) $(ARGS)

test: lint test-rust test-python

lint: lint-python lint-rust

lint-python: $(DEV) $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/stubtest penstock._core

lint-rust: $(VENV)/.made
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -q -- -D warnings
	cargo clippy --locked --features python -q -- -D warnings

test-rust:
	cargo test --locked --workspace -q

# The wheel is tested as a stranger gets it: installed into an empty environment (tests/launch/test_wheel.py).
# In two halves at once: one keeps a core busy, the other waits for servers most of the time. Each counts as good if it
# has no test, as with PYTEST_ARGS="-k something".
COMPUTING := tests/devices tests/engine tests/layers tests/models tests/parity
test-python: $(DEV) $(INSTALLED) $(WHEEL)
	@export PENSTOCK_TEST_WHEEL="$$(ls $(CURDIR)/dist/*.whl)"; \
	half() { $(BIN)/python -m pytest $(PYTEST_ARGS) "$$@" || [ $$? = 5 ]; }; \
	half $(COMPUTING) >$(VENV)/computing.log 2>&1 & \
	status=0; half $(COMPUTING:%=--ignore=%) || status=1; \
	wait $$! || status=1; cat $(VENV)/computing.log; exit $$status

fmt: $(DEV)
	$(BIN)/ruff check --fix-only -q .
	$(BIN)/ruff format -q .
	cargo fmt --all

bench: $(DEV) $(INSTALLED) $(WHEEL) $(VENV)/.bench
	for bench in front_end engine constrained step life; do $(BIN)/python benches/$$bench.py; done
	cargo bench --locked

# How near every family comes to transformers (tests/parity); GOLDEN: a folder of other golden checkpoints.
families: $(DEV) $(INSTALLED)
	$(BIN)/python tests/parity/families.py $(if $(GOLDEN),--golden $(GOLDEN))

# Each target for FUZZ_S seconds. The flags are those of cargo-fuzz, which need not be there; a nightly toolchain must.
FUZZ_S ?= 60
FUZZ_TARGETS := token_path request_head tool_calls grammar
FUZZ_FLAGS := --cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
	-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
	-Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions -Ccodegen-units=16
fuzz:
	@if ! cargo +nightly --version >/dev/null 2>&1; then \
		echo "make fuzz: SKIPPED, as there is no nightly toolchain (rustup toolchain install nightly)"; exit 0; fi; \
	cd rust/fuzz; for target in $(FUZZ_TARGETS); do \
		mkdir -p corpus/$$target artifacts/$$target; \
		RUSTFLAGS="$(FUZZ_FLAGS)" cargo +nightly run -q --release --target "$$(rustc -vV | sed -n 's/^host: //p')" --bin $$target -- \
			-max_total_time=$(FUZZ_S) -timeout=30 -rss_limit_mb=4096 -print_final_stats=1 \
			-artifact_prefix=artifacts/$$target/ corpus/$$target; \
	done

# Every order in which threads can meet over shared work (rust/kernels/src/share/job.rs).
loom:
	RUSTFLAGS="--cfg loom" cargo test --locked -q -p penstock-kernels --lib --target-dir target/loom job

wheel: $(WHEEL)
	@ls -lh dist/*.whl

clean:
	rm -rf $(VENV) target dist build

$(VENV)/.made:
	@test -n "$(PYTHON)" || { echo "Penstock needs Python 3.11 or newer: none of python3, python3.13, python3.12, python3.11 is (or say make PYTHON=/path/to/python)." >&2; exit 1; }
	@command -v cargo >/dev/null || { echo "Penstock needs stable Rust: there is no cargo on the PATH (see rustup.rs)." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

# What one verb needs of pip, by the name of its list in pyproject.toml.
extra = $(BIN)/python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['optional-dependencies']['$(1)'], sep='\n')"

$(VENV)/.build: pyproject.toml | $(VENV)/.made
	$(PIP) 'maturin>=1.9,<2' 'openai>=3'
	@touch $@

$(DEV): pyproject.toml | $(VENV)/.made
	$(call extra,dev) > $(VENV)/dev.txt
	$(PIP) -r $(VENV)/dev.txt
	@touch $@

$(VENV)/.bench: pyproject.toml | $(VENV)/.made
	$(call extra,bench) > $(VENV)/bench.txt
	$(PIP) -r $(VENV)/bench.txt
	@touch $@

# Both name the same interpreter: PyO3 is built for the path of one, so the second finds all of Rust built.
RELEASE := --release --locked -q

# Editable: a change of Python needs no step, a change of Rust this one.
$(INSTALLED): $(RUST_SOURCES) | $(VENV)/.build
	PIP_QUIET=1 VIRTUAL_ENV=$(CURDIR)/$(VENV) $(BIN)/maturin develop $(RELEASE)
	@touch $@

$(WHEEL): $(RUST_SOURCES) $(PACKAGE) README.md LICENSE | $(VENV)/.build
	rm -rf dist
	$(BIN)/maturin build $(RELEASE) --interpreter $(CURDIR)/$(BIN)/python --out dist
	@touch $@
