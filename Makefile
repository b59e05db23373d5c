# Each goal prepares what it needs: system packages by apt where they are missing, everything else in .venv.
# Works from any shell, in parallel (-j), without an activated environment.

PYTHON ?= python3
PROFILE ?= smoke
TARGET ?= lab
ARGS ?=

BIN := .venv/bin
MAKEFLAGS += --no-builtin-rules
# A cluster is touched only with an explicit --context; another project's modules are none of ours.
unexport KUBECONFIG PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help report test notebooks setup setup-report lint lock fuzz soak clean bench-client bench-dialects bench-browser bench-interruptions bench-native bench-engine bench-knee bench-knee-lab bench-comparison bench-operator bench-warm circle chaos

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-19s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  PROFILE=$(PROFILE) TARGET=$(TARGET) for make report; ARGS="..." is handed to vdibench run and to pytest'
	@echo '  PYTHON=$(PYTHON) is the Python (3.11 or newer) that .venv is made with'

report: setup-report ## measure real desktops on this machine and write one report
	@$(BIN)/python scripts/report.py run --target $(TARGET) --profile $(PROFILE) $(ARGS)

test: setup ## lint, then every test
	@$(MAKE) --no-print-directory lint
	@exec $(BIN)/python scripts/test.py $(ARGS)

notebooks: setup-report ## open the notebooks in JupyterLab
	@exec $(BIN)/jupyter lab --notebook-dir notebooks $(if $(filter 0,$(shell id -u)),--allow-root) $(ARGS)

setup: ## install what is missing, for everything
	@$(PYTHON) scripts/setup.py

# Without the browser, which only tests need.
setup-report:
	@$(PYTHON) scripts/setup.py --for report

lint: setup ## style, types, import contracts, no outputs in notebooks
	$(BIN)/ruff check --quiet .
	$(BIN)/ruff format --check --quiet .
	$(BIN)/mypy --no-error-summary
	$(BIN)/lint-imports
	$(BIN)/nbstripout --verify --keep-id notebooks/*.ipynb

bench-client: setup ## what a session costs in each mode of the client, against its targets
	$(BIN)/python benchmarks/client_modes.py $(ARGS)

bench-dialects: setup ## WebSocket against WebRTC, and 1.6 beside them: writes docs/results/dialects.md
	$(BIN)/python benchmarks/dialects.py $(ARGS)

bench-browser: setup ## Chromium beside the client under loss: writes docs/results/browser.md
	$(BIN)/python benchmarks/browser.py $(ARGS)

bench-interruptions: setup ## what cuts, restarts and kills do to a session: writes docs/results/interruptions.md
	$(BIN)/python benchmarks/interruptions.py $(ARGS)

bench-native: setup ## native reception beside Python's and bare C: writes docs/results/native.md
	$(BIN)/python benchmarks/native.py $(ARGS)

bench-engine: setup ## what an engine pays to record a frame, and how late that makes its loop
	$(BIN)/python benchmarks/engine.py $(ARGS)

bench-knee: setup ## the knee search on simulated systems: writes docs/results/knee-simulation.md
	$(BIN)/python benchmarks/knee_simulation.py $(ARGS)

bench-knee-lab: setup ## the knee of this host, by the search and by a full sweep: writes docs/results/knee-lab.md
	$(BIN)/python benchmarks/knee_lab.py $(ARGS)

bench-comparison: setup ## false alarms and power of vdibench compare: writes docs/results/comparison.md
	$(BIN)/python benchmarks/comparison_errors.py $(ARGS)

bench-operator: setup ## sessions a second and their cost on played nodes: writes docs/results/operator.md
	$(BIN)/python benchmarks/operator_throughput.py $(ARGS)

bench-warm: setup ## from a wish to the first frame, with warm slots and without: writes docs/results/warm-start.md
	$(BIN)/python benchmarks/warm_start.py $(ARGS)

circle: setup ## by hand, graduated, by operator, on a cluster of this machine: writes docs/results/circle.md
	$(BIN)/python benchmarks/circle.py $(ARGS)

chaos: setup ## kills, faults, restarts and clocks against the operator, then a soak: writes docs/results/chaos.md
	$(BIN)/python benchmarks/chaos.py $(ARGS)

soak: setup ## a hundred sessions for half an hour, ten clusters up and down: writes docs/results/soak.md, cluster-cycles.md
	$(BIN)/python benchmarks/soak.py $(ARGS)
	$(BIN)/python benchmarks/cluster_cycles.py

fuzz: setup ## hostile input for every parser, 10 minutes (FUZZ_SECONDS=600)
	$(BIN)/python tests/fuzz/fuzzer.py --seconds $(or $(FUZZ_SECONDS),600)

lock: ## write requirements.lock anew (UPGRADE=1: newest versions)
	@$(PYTHON) scripts/lock.py $(if $(UPGRADE),--upgrade)

clean: ## remove .venv, caches and build results; runs under results/ stay
	rm -rf .venv .cache .mypy_cache .ruff_cache .pytest_cache .import_linter_cache build dist
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
