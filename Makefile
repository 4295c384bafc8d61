# Two commands matter: `make demo` shows what Tocsin does, `make test` proves it on real parts.
#
#   make demo [ARGS=--stay]   play recorded logs through the whole chain and tell the story; builds and fetches what it needs
#   make test                 formatting, lints and all tests, on a real broker, engine and receiver
#   make prove                the long versions and all benches; one table, and target/prove.json
#   make lint                 formatting and lints alone
#   make parts                fetch what tests run on (engine, kafka, keycloak, oidc-provider, peers, postgres, pypi, mcp, conformance, chromium) into .parts/
#   make clean-parts          forget it again
#   make screenshot           take the picture of the approval page in README.md anew

SHELL := /bin/bash
.DEFAULT_GOAL := help
.PHONY: help demo test prove lint build release test-build prove-build parts engine kafka peers keycloak oidc postgres pypi mcp conformance browser chromium screenshot clean-parts demo-tools test-tools
MAKEFLAGS += --no-print-directory

CARGO ?= cargo
PROVE_ROWS := $(CURDIR)/target/prove.ndjson

help:
	@sed -n 's/^#   make/make/p' Makefile

# Fetching waits for the network and building for the processor, so they run side by side.
demo: demo-tools
	@$(MAKE) -j3 engine peers release
	@target/release/tocsin demo $(ARGS)

test: test-tools
	@$(MAKE) -j4 parts test-build
	$(CARGO) test --workspace --locked

# A row that falls short stays in the table; a test that fails fails the command, after the table.
# Figures are taken from what users run, so everything here is built for release.
prove: test-tools
	@$(MAKE) -j4 parts prove-build
	@mkdir -p target && rm -f $(PROVE_ROWS)
	@failed=0; \
	export TOCSIN_PROVE=1 TOCSIN_PROVE_OUT=$(PROVE_ROWS); \
	$(CARGO) test --workspace --locked --release --no-fail-fast -- --test-threads=1 || failed=1; \
	$(CARGO) bench --workspace --locked || failed=1; \
	target/release/tocsin bench detection --revokes-years 1000 --out target/bench || failed=1; \
	python3 tests/prove/agents.py $(PROVE_ROWS) || failed=1; \
	python3 tests/prove/cloudtrail.py $(PROVE_ROWS) || failed=1; \
	python3 tests/prove/times.py $(PROVE_ROWS) || failed=1; \
	python3 tests/prove/table.py $(PROVE_ROWS) target/prove.json || failed=1; \
	exit $$failed

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings

build:
	$(CARGO) build --workspace --locked

release:
	$(CARGO) build --release --locked --no-default-features

test-build: lint
	$(CARGO) test --workspace --locked --no-run

prove-build:
	$(CARGO) test --workspace --locked --release --no-run
	$(CARGO) bench --workspace --locked --no-run

parts: engine kafka peers keycloak oidc postgres pypi mcp conformance browser chromium

engine kafka peers keycloak oidc postgres pypi mcp conformance browser chromium:
	@parts/$@.sh

screenshot: engine browser chromium
	TOCSIN_SCREENSHOT=$(CURDIR)/docs/approval.png $(CARGO) test --locked --test it browser::

clean-parts:
	rm -rf .parts

demo-tools:
	@parts/tools.sh cargo cc node npm

test-tools:
	@parts/tools.sh cargo cc node npm java mvn python3 git openssl
