# One list of commands, for people and for CI. `make help` shows it.

CARGO ?= cargo
GUEST_TARGET := wasm32-wasip2
GUEST_DIR := target/$(GUEST_TARGET)/guest
VENV := target/venv
DENY_VERSION := 0.20.2
BENCH_RUN = $(CARGO) run --release --locked --package larder-bench --
# Two jobs at a time is what small machines bear; raise it on larger ones.
export CARGO_TERM_COLOR ?= auto

.DEFAULT_GOAL := help
.PHONY: help run build quick setup guest examples test test-rust test-python test-api lint circles bench bench-docs bench-peers bench-client torture judge fuzz deny clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: build ## Build everything and serve on 127.0.0.1:8624, data in ./data
	target/release/larder serve

build: guest ## Build the program: target/release/larder
	$(CARGO) build --release --locked --package larder

quick: guest ## Build it for tests, in a fraction of the time: target/quick/larder
	$(CARGO) build --profile quick --locked --package larder

setup: ## Add what the build needs: the WebAssembly target
	@rustup target list --installed | grep -qx $(GUEST_TARGET) || rustup target add $(GUEST_TARGET)

guest: setup ## Build the built-in guest, a component
	$(CARGO) build --profile guest --locked --target $(GUEST_TARGET) --package larder-api

examples: setup ## Build the example guests, and the one that tests use
	$(CARGO) build --profile guest --locked --target $(GUEST_TARGET) --package larder-example-visits --package larder-test-guest

test: test-rust test-python ## Build everything and run every test

test-rust: quick examples
	$(CARGO) test --profile quick --locked --workspace --exclude larder-example-visits --exclude larder-test-guest

test-python: quick $(VENV)/ready
	$(VENV)/bin/python tests/python/official_client.py target/quick/larder

$(VENV)/ready: tests/python/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

test-api: quick $(VENV)/ready ## Compare docs/openapi.json with the program, and walk it with schemathesis
	@if $(MAKE) --no-print-directory $(VENV)/api-ready; then \
		$(VENV)/bin/python tests/python/openapi.py target/quick/larder; \
	elif $(VENV)/bin/python -m pip index versions schemathesis >/dev/null 2>&1; then \
		exit 1; \
	else \
		echo "test-api: NOT RUN, for PyPI, which has schemathesis, cannot be reached from here"; \
	fi

$(VENV)/api-ready: tests/python/requirements-api.txt $(VENV)/ready
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement $<
	touch $@

lint: guest circles ## Check formatting, lints, docs and imports, warnings fatal
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path tests/judge/Cargo.toml --check
	$(CARGO) clippy --profile quick --locked --workspace --all-targets -- --deny warnings
	$(CARGO) clippy --profile guest --locked --target $(GUEST_TARGET) --package larder-api -- --deny warnings
	$(CARGO) clippy --profile guest --locked --target $(GUEST_TARGET) --package larder-example-visits --package larder-test-guest -- --deny warnings
	$(CARGO) clippy --locked --manifest-path tests/judge/Cargo.toml --target-dir target/judge --all-targets -- --deny warnings
	RUSTDOCFLAGS="--deny warnings" $(CARGO) doc --profile quick --locked --workspace --no-deps --document-private-items

CRATES = $(filter-out target/%,$(wildcard src */src */*/src)) tests/it

circles: ## Check that no files of a crate import each other in a circle
	$(CARGO) run --quiet --profile quick --locked --package larder-circles -- $(CRATES)

deny: ## Check dependencies: licences, sources, withdrawn versions, known faults
	@$(CARGO) deny --version 2>/dev/null | grep -qx "cargo-deny $(DENY_VERSION)" || $(CARGO) install --locked cargo-deny --version $(DENY_VERSION)
	$(CARGO) deny --locked check --hide-inclusion-graph bans licenses sources
	CARGO=$(CARGO) python3 .ci/withdrawn.py
	@if $(CARGO) deny --log-level off fetch db >/dev/null 2>&1; then \
		$(CARGO) deny --locked check advisories; \
	else \
		echo "advisories: NOT CHECKED, for RustSec's database cannot be fetched from here"; \
	fi

bench: build ## Measure in alternating runs, some minutes; BENCH=full takes an hour and more
	$(BENCH_RUN) run $(if $(filter full,$(BENCH)),--full)

bench-docs: bench ## The same, then write figures and plots of docs/performance.md anew
	$(BENCH_RUN) draw

bench-peers: build ## Measure the same work against Redis and etcd, where they are installed
	$(BENCH_RUN) peers

bench-client: build ## Compare the load client with wrk
	$(BENCH_RUN) client

torture: quick examples ## Run torture tests for hours, from where they stopped; TRIAL=name SEED=n MINUTES=n
	$(CARGO) run --profile quick --locked --package larder-torture -- $(TRIAL) $(SEED:%=--seed %) $(ROUNDS:%=--rounds %) $(MINUTES:%=--minutes %)

HISTORIES := target/histories
LIES := stale-read set-lost delete-lost version-ignored insert-overwrites update-creates resurrected \
	ttl-dropped ttl-shortened conflict-applied applied-again wrong-key version-reused value-mixed
JUDGE = $(CARGO) run --quiet --release --locked --manifest-path tests/judge/Cargo.toml --target-dir target/judge --
HISTORY_RUN = $(CARGO) run --profile quick --locked --package larder-torture -- linear --state $(HISTORIES)

judge: quick examples ## Record histories and have another checker judge them, right ones and falsified ones
	rm -rf $(HISTORIES)
	$(CARGO) test --quiet --release --locked --manifest-path tests/judge/Cargo.toml --target-dir target/judge
	$(HISTORY_RUN) --rounds $(or $(ROUNDS),25) --history $(HISTORIES)/right
	$(JUDGE) $(HISTORIES)/right
	for lie in $(LIES); do \
		$(HISTORY_RUN) --seed 1 --history $(HISTORIES)/$$lie --lie $$lie >/dev/null 2>&1; \
		$(JUDGE) $(HISTORIES)/$$lie; [ $$? = 1 ] || exit 1; \
	done

# What libFuzzer needs of the compiler, which stable has; sanitizers, which it has not, are left out.
FUZZ_HOST = $(shell rustc --print host-tuple)
FUZZ_FLAGS := --cfg fuzzing -Ccodegen-units=1 -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
	-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
	-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares

fuzz: ## Fuzz what parses, from where it stopped; TARGET=name MINUTES=n for each
	RUSTFLAGS="$(FUZZ_FLAGS)" $(CARGO) build --profile quick --locked --target $(FUZZ_HOST) --target-dir target/fuzz/build --package larder-fuzz --features libfuzzer $(foreach target,$(or $(TARGET),json msgpack requests plain layout import config),--bin $(target))
	$(CARGO) run --profile quick --locked --package larder-fuzz -- --programs target/fuzz/build/$(FUZZ_HOST)/quick $(TARGET) $(MINUTES:%=--minutes %)

clean: ## Remove what was built, but no data
	$(CARGO) clean
