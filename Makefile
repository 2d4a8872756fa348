# Botyard: `make run` starts everything, `make test` checks everything, `make help` lists the rest.
SHELL := /bin/sh
.DEFAULT_GOAL := help
PY := .venv/bin/python
BIN := .venv/bin
# More test processes than most machines have cores: many tests wait for processes that they kill.
JOBS ?= 4
# COVERAGE=1 counts covered lines too and asks for nine in ten; it makes the tests half as slow again.
COVER := $(if $(COVERAGE),--cov --cov-report=term --cov-fail-under=90)
KILLS ?= 1000
SEED ?= 1
LIVES ?= 20
STEPS ?= 20
KINDS ?= all
# Without compiled files every process would compile thousands of modules at each start.
unexport PYTHONDONTWRITEBYTECODE
LOCK := $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-annotate --no-header --no-build

.PHONY: help setup setup-run run test checks compiled lint types style templates imports floats dead-code bandit audit fmt \
	test-fast check-long check-changed check-migrations check-chaos check-parity check-billing check-properties check-sequences chaos stripe-stand-in drift translations bench-ticks bench-webhooks bench-idle bench-login \
	bench-sessions bench-backtest bench-ledger bench-revenue screenshots vendor messages lock lock-check clean

help: ## List the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' Makefile

setup: ## Make .venv with the product and the test tools
	@dev/setup.sh all

setup-run:
	@dev/setup.sh run

run: setup-run ## Start everything on this machine (PORT=8000 DEMO=1 MARKET_REPLAY=file)
	@exec $(PY) -m dev.run

# The checks take one slot, politely, and the tests the other: a processor that waits for one works
# for the other. What the checks say is told at the end, in one piece.
test: setup ## All checks and all tests (COVERAGE=1 counts covered lines too)
	@log=$$(mktemp); trap 'rm -f '$$log EXIT; $(MAKE) --no-print-directory --keep-going --jobs=2 CHECKS_LOG=$$log tests checks-beside; \
	status=$$?; cat $$log; \
	if [ $$status = 0 ]; then echo "== all checks and tests passed"; else echo "== FAILED (see above)"; fi; \
	exit $$status

.PHONY: tests checks-beside
tests: compiled
	@$(PY) -m dev.messages compile
	@echo "== tests"
	@$(PY) -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(COVER)

checks-beside:
	@nice -n 5 $(MAKE) --no-print-directory --keep-going checks >$(CHECKS_LOG) 2>&1

checks: lint lock-check translations

# In a fresh clone every test process would compile all tests for itself, at the same time.
compiled: setup
	@[ -d tests/trading/__pycache__ ] || $(PY) -m pytest --collect-only -q >/dev/null 2>&1 || true

lint: types style templates imports floats dead-code ## Style, types, templates, import rules, floats, dead code

types: setup
	@echo "== mypy --strict"
	@$(BIN)/mypy

style: setup
	@echo "== ruff"
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .

templates: setup
	@echo "== djlint"
	@$(BIN)/djlint app/templates --lint --quiet

imports: setup
	@echo "== import rules"
	@$(BIN)/lint-imports --no-logo

floats: setup
	@echo "== no floats among money"
	@$(PY) -m dev.no_floats

dead-code: setup
	@echo "== dead code"
	@$(PY) -m dev.dead_code

# Part of check-long: nearly all that it looks for ruff has seen before, in a fiftieth of the time.
bandit: setup
	@echo "== bandit"
	@$(BIN)/bandit -c pyproject.toml -q -r app dev bench deploy worker.py wsgi.py gunicorn.conf.py

audit: setup ## Known holes in the packages we use (needs the network)
	@$(PY) -m dev.audit

fmt: setup ## Format the code and fix what can be fixed safely
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

test-fast: setup translations ## The tests without browser, chaos and recorded data
	@$(PY) -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "not journey and not chaos and not shared and not long"

check-long: setup translations ## The larger part of what `make test` tries a part of: sweeps, widths, files, kills; bandit
	@echo "== long tests"
	@$(PY) -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m long
	@$(MAKE) --no-print-directory bandit

check-changed: setup ## The checks beyond `make test` for what differs from main (BASE=main DRY=1)
	@$(PY) -m dev.changed $(if $(DRY),--dry) $(BASE)

check-chaos: setup translations ## Only the tests that kill processes and servers
	@$(PY) -m pytest -m chaos

check-parity: setup ## Live = paper = back-test over long stretches of every recording, over HTTP too
	@PARITY_CANDLES=60 $(PY) -m pytest -n $(JOBS) -m "" tests/doubles/test_parity.py

check-billing: setup ## Every sequence of Stripe's events in a hundred orders
	@# A test plays several sequences in all orders: longer than a test of the suite may take. What is
	@# a part of another one ("some" of "all", the stories of no recording of all own ones) is left out.
	@BILLING_SHUFFLES=100 $(PY) -m pytest -n $(JOBS) -o timeout=3600 -m "" -k "not some and not no_recording" \
		tests/subscriptions/test_stripe_sequences.py

check-properties: setup ## The properties with twenty times as many made-up cases
	@EXAMPLES=20 $(PY) -m pytest -n $(JOBS) --dist load -m hypothesis

check-sequences: setup ## Random lives of every kind of grid (LIVES=20 SEED=1 STEPS=20 KINDS=all)
	@SEEDS=$(LIVES) SEED=$(SEED) STEPS=$(STEPS) KINDS=$(KINDS) $(PY) -m pytest -n $(JOBS) --dist load -m "" tests/bots/test_sequences.py

chaos: setup ## Kill workers at a hostile exchange, then compare the books (KILLS=1000 SEED=1)
	@$(PY) -m tests.chaos.run --kills $(KILLS) --seed $(SEED)

drift: setup ## Do the migrations make exactly the models' tables?
	@echo "== migrations"
	@$(PY) -m dev.drift

check-migrations: setup ## Each migration back and forth with rows in the tables
	@echo "== migrations, back and forth"
	@$(PY) -m dev.drift --walk

translations: setup
	@echo "== translations"
	@$(PY) -m dev.messages compile
	@$(PY) -m dev.messages check

stripe-stand-in: setup ## A Stripe on this machine for `make run` (docs/architecture/payments.md says how)
	@$(PY) -m tests.doubles.stripe --port 12111 --live --auto --secret whsec_local \
		--webhook http://127.0.0.1:$(or $(PORT),8000)/webhooks/stripe

bench-ticks: setup ## 1,000 paper bots on one worker: ticks, fills, lag, memory
	@$(PY) -m bench.ticks

bench-idle: setup ## Real accounts at a stand-in: calls and time of a tick that finds nothing to do
	@$(PY) -m bench.idle

bench-login: setup ## A log-in with its argon2id over a real web server, 1, 4 and 8 at once
	@$(PY) -m bench.login

bench-sessions: setup ## 10,000 sessions: list, end one, end all, and what that asks of Redis
	@$(PY) -m bench.sessions

bench-webhooks: setup ## Signed callbacks: 600 and 300 a second, with Valkey away and the worker killed (IN=/dev/shm: without the disk)
	@$(PY) -m bench.webhooks $(if $(IN),--in $(IN))

bench-backtest: setup ## Candles per second of a back-test
	@$(PY) -m bench.backtest

bench-revenue: setup ## The statistics of revenue over 10,000 customers with two years of invoices
	@$(PY) -m bench.revenue

bench-ledger: setup ## 50 threads spend one wallet 10,000 times: attempts a second, nothing lost, none below zero
	@$(PY) -m bench.ledger

screenshots: setup ## Pictures of the pages for the README
	@$(PY) -m dev.screenshots

vendor: setup ## Renew app/static/vendor (needs npm)
	@$(PY) -m dev.vendor

messages: setup ## Bring the translation catalogues up to the source, and compile them
	@$(PY) -m dev.messages update
	@$(PY) -m dev.messages compile

lock: setup ## Renew the hashed requirement files after a change of an .in file
	@for name in requirements requirements-local requirements-dev requirements-uv; do \
		echo "$$name.txt"; $(LOCK) $$name.in --output-file $$name.txt || exit 1; done

lock-check: setup ## Do the .txt files still say what the .in files ask?
	@echo "== requirement files"
	@$(PY) -m dev.lock_check

clean: ## Remove caches and test leftovers (.venv and var/ stay)
	@rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache htmlcov .coverage .coverage.* test-results
	@find app dev bench tests migrations -name __pycache__ -type d -prune -exec rm -rf {} +
