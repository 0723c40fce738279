# The verbs of this project. A fresh machine needs Rust, Python 3 and a C compiler; interop asks for more.

SHELL := /bin/bash
PREFIX ?= /usr/local
PYTEST := .venv/suite/bin/python -m pytest -q -p no:cacheprovider
# The tests run the debug build: it checks arithmetic and assertions, and cargo test builds it anyway.
DEBUG_BIN = $(CURDIR)/target/debug/chronik
RELEASE_BIN = $(CURDIR)/target/release/chronik
HOST = $(shell rustc -vV | sed -n 's/^host: //p')

.DEFAULT_GOAL := help
.PHONY: help run build check test test-rust test-clients interop idle footprint crash disk-full kernel-faults images fuzz smoke minimal static install wear recovery append-cost bitflips sim bench bench-peers profile

help: ## print these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## build the broker and run it on 127.0.0.1:9092 with its data in ./data
	cargo run --release --bin chronik

build: ## build the small and fast binary, target/release/chronik
	cargo build --release --bin chronik

check: ## formatting, lints and documentation, without a warning
	cargo fmt --check
	cargo clippy --all-targets --features bench -- -D warnings
	cargo clippy --bin chronik --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --document-private-items

test: test-rust test-clients ## every test: Rust, Python clients, hostile peers, crashes, idleness

test-rust: ## the Rust tests alone
	cargo test --features bench

test-clients: ## the Python tests alone, against target/debug/chronik or CHRONIK_BIN
	tests/support/venv.sh
	cargo build --bin chronik
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" $(PYTEST) -n 4 --dist worksteal -m "not serial" tests/python
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" $(PYTEST) -m serial tests/python

interop: ## kcat, Kafka's console clients and dump-log tool, Wireshark's dissector; the same questions to Kafka; from Kafka and back
	cargo build --bin chronik
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" tests/interop/run
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" tests/interop/differential
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" tests/interop/transfer

idle: build ## print how often an idle broker's threads wake up in a minute: never
	CHRONIK_BIN=$(RELEASE_BIN) tools/idle

footprint: build ## print size, memory and start times
	CHRONIK_BIN=$(RELEASE_BIN) tools/footprint

bench: minimal ## measure broker and floors in one run and print the table of targets; BENCH=--quick, BENCH='--only NAME'
	cargo build --release --features bench --bin chronik --bin chronik-bench
	target/release/chronik-bench $(BENCH)

bench-peers: ## Apache Kafka, Nisshi and librdkafka's mock beside Chronik, also with clients of others; PEERS='--only kafka --quick'
	cargo build --release --features bench --bin chronik --bin chronik-bench
	tools/bench-peers/run $(PEERS)

profile: ## print the costliest functions of producing and fetching, the kernel's among them; needs perf
	cargo build --profile profiling --features bench --bin chronik --bin chronik-bench
	CHRONIK_BIN=target/profiling/chronik CHRONIK_BENCH=target/profiling/chronik-bench tools/profile

wear: build ## print what is written for what is kept: write amplification, syncs per 1,000 records and commits
	CHRONIK_BIN=$(RELEASE_BIN) tools/wear

recovery: build ## print what a start costs with much on the disk; RECOVERY=--full: 10 GiB and 10,000 partitions
	CHRONIK_BIN=$(RELEASE_BIN) tools/recovery $(RECOVERY)

append-cost: build ## print what appending costs now and at the revision BASE, in one run
	CHRONIK_BIN=$(RELEASE_BIN) tools/append-cost $(BASE)

crash: build ## kill -9 under load, CHRONIK_CRASH_ROUNDS times (500)
	tests/support/venv.sh suite
	CHRONIK_BIN=$(RELEASE_BIN) CHRONIK_CRASH_ROUNDS=$${CHRONIK_CRASH_ROUNDS:-500} $(PYTEST) -s tests/python/test_crash.py

disk-full: build ## fill a small file system and free it again under load, CHRONIK_DISK_ROUNDS times (100); needs root
	tests/support/venv.sh suite
	CHRONIK_BIN=$(RELEASE_BIN) CHRONIK_DISK_ROUNDS=$${CHRONIK_DISK_ROUNDS:-100} CHRONIK_EXPECT_MOUNT=1 $(PYTEST) -s tests/python/test_disk.py

kernel-faults: ## kill the broker within the first 60 writes, syncs, renames, truncates and opens of a life; needs strace
	tests/support/venv.sh suite
	cargo build --bin chronik
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" CHRONIK_KERNEL_KILLS=$${CHRONIK_KERNEL_KILLS:-300} $(PYTEST) -s tests/python/test_kernel_faults.py

images: ## a crash at every file operation of many lives, and IMAGES (1000000) ways for the power to go
	CHRONIK_IMAGES=$${IMAGES:-1000000} cargo test --profile many --test crash_images -- --nocapture

sim: ## the broker on a simulated disk: SEED= plays one seed, SEEDS= that many, 200000 in a few minutes (2000)
	CHRONIK_SIM_SEED=$(SEED) CHRONIK_SIM_SEEDS=$(SEEDS) cargo test --profile many --test simulation no_seed_breaks_a_promise -- --nocapture

fuzz: ## bytes that nobody meant, over sockets and into every decoder, CHRONIK_FUZZ_SECONDS (300) long
	cargo build --bin chronik
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" tools/fuzz/fuzz --seconds $${CHRONIK_FUZZ_SECONDS:-300}
	CHRONIK_FUZZ_EXECS=$${CHRONIK_FUZZ_EXECS:-200000} cargo test --test fuzz_short -- --nocapture

bitflips: ## flip every bit of a small data directory, one at a time, and judge what is served
	CHRONIK_BITFLIPS=1 cargo test --profile many --test bit_flips -- --nocapture

smoke: ## start a broker, produce, consume, stop: the quickest sign of life
	tests/support/venv.sh suite
	cargo build --bin chronik
	CHRONIK_BIN="$${CHRONIK_BIN:-$(DEBUG_BIN)}" .venv/suite/bin/python tests/python/scenario.py confluent

minimal: ## build the broker alone: without compression and the commands beside it
	cargo build --profile minimal --bin chronik --no-default-features
	@ls -l target/minimal/chronik

static: ## build one static binary, for a box with nothing on it
	RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --bin chronik --target $(HOST) --target-dir target/static
	@ls -l target/static/$(HOST)/release/chronik

install: build ## copy the binary to PREFIX/bin (/usr/local)
	install -D -m 755 target/release/chronik $(DESTDIR)$(PREFIX)/bin/chronik
