# The project's commands. `make demo` and `make test` are all a newcomer needs.
SHELL := /bin/bash
CARGO ?= cargo
SEED ?= 1
N ?= 10000
export RUST_BACKTRACE ?= 1

.PHONY: demo test deps verify fix bench sim build matrix dist fuzz

# Installs what is missing, builds, runs the whole story on this machine and prints the report.
demo: deps build
	@"$$(.ci/bin-dir)/eport" demo

# Every test: cores by simulation, shells by real processes.
test: deps build
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
	  $(CARGO) nextest run --workspace; \
	else \
	  $(CARGO) test --workspace; \
	fi

build:
	@$(CARGO) build --workspace --lib --bins

# System packages: a C++ compiler and libclang, which RocksDB's binding needs.
deps:
	@.ci/deps

# Changes nothing: format, lints, layering, documents in step, licences and advisories where cargo-deny is installed.
verify: deps
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --workspace --all-targets -- -D warnings
	@$(CARGO) test -q --workspace --test layering
	@if $(CARGO) deny --version >/dev/null 2>&1; then \
	  $(CARGO) deny check licenses bans sources; \
	else \
	  echo "verify: cargo-deny is not installed, licences and advisories not checked (cargo install cargo-deny)"; \
	fi

fix:
	@$(CARGO) fmt --all
	@$(CARGO) clippy --workspace --all-targets --fix --allow-dirty --allow-staged
	@UPDATE=1 $(CARGO) test -q --workspace --test layering --test reference

# Ratios against yardsticks of the same run; results in docs/reference/benchmarks.md.
bench: deps build
	@.ci/bench

# Seeded simulation of the cores: make sim SEED=1 N=10000
sim: deps
	@$(CARGO) run -q -p eport-sim --bin eport-sim -- --seed $(SEED) --seeds $(N)
	@$(CARGO) run -q -p eport-sim --bin eport-sim -- --catalogs --seed $(SEED) --seeds $$(($(N) / 10 + 1))

# Each step of each move × each fault, with real processes; writes docs/reference/fault-matrix.md. MINUTES bounds the run.
MINUTES ?= 20
matrix: deps build
	@.ci/matrix --minutes $(MINUTES)

# Hostile bytes for every parser: make fuzz MINUTES=10 ONLY=ca; by coverage where cargo-fuzz and a nightly compiler are.
ONLY ?=
fuzz: deps build
	@.ci/fuzz $(MINUTES) $(ONLY)

# Archive, .deb, checksums and signed list of the two programs: without failpoints, which the script proves by looking into them.
# RELEASE_KEY names the key that signs (docs/reference/releases.md).
dist: deps
	@.ci/dist
