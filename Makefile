# Everything starts here: `make demo` and `make test` set up .venv themselves.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

# The demo: the small network that comes with the package. NETWORKS=article adds the article's four, with random weights;
# WEIGHTS=imagenet downloads and uses the real ones, at each network's own side.
WEIGHTS ?= random
NETWORKS ?= $(if $(filter random%,$(WEIGHTS)),seedling,article)
DEMO ?= demo
SPECIES ?= 16
OBSERVATIONS ?= 24
SEED ?= 1
EPOCHS ?= 30
FOUR = $(addprefix --backbone ,seedling colour vgg16 vgg19 resnet50 inception_v3) --weights $(WEIGHTS) --weights seedling=shipped

# The article's study: DATA is the PlantCLEF 2014 package, OPTIONS any options of `finetune article`.
DATA ?=
OUT ?= article
OPTIONS ?=

# Where benchmarks find photographs and weights, and put their results.
PHOTOS ?= ../shared/data/plants39
REAL_WEIGHTS ?= ../shared/weights
BENCH ?= bench
PHOTOS_OPTION = $(if $(wildcard $(PHOTOS)),--photos $(PHOTOS))

.PHONY: help install lint test test-exhaustive demo article docs bench-store bench-recipes bench-doctor bench-heads bench-finetune bench-evaluate bench-card lock clean

help:
	@echo "make demo     set up, then photographs -> features -> heads -> fine-tuning -> fused scores, offline"
	@echo "make demo NETWORKS=article     the article's four networks besides, with random weights"
	@echo "make demo WEIGHTS=imagenet     the same with the real ImageNet weights (downloads about 350 MB)"
	@echo "make article DATA=FOLDER       the article's whole study on the PlantCLEF 2014 package; OPTIONS=--dry-run tells how long it takes"
	@echo "make test     set up, then run the tests"
	@echo "make test-exhaustive    every network, every damage of every file, many kills, where make test takes a sample"
	@echo "make lint     formatting, types and the direction of imports"
	@echo "make docs     reference pages from the commands, then the documentation as a site in site/, without network"
	@echo "make install  only set up .venv"
	@echo "make bench-store    speed and memory of the store: ratios from one run, tables and $(BENCH)/*.json (half an hour)"
	@echo "make bench-recipes  what each region-of-interest recipe does to accuracy, on PHOTOS with REAL_WEIGHTS, and boxes beside those of scikit-image"
	@echo "make bench-doctor   what the data doctor finds of trouble planted in PHOTOS, with REAL_WEIGHTS"
	@echo "make bench-heads    heads at the size of PlantCLEF 2014 and how they grow: time, memory, distance from the best possible (an hour)"
	@echo "make bench-finetune fine-tuning beside Keras' fit on arrays in memory, cost of augmentation, memory"
	@echo "make bench-evaluate fusion, intervals and run files at the size of PlantCLEF 2014, and how they grow (ten minutes, 4 GB of temporary files)"
	@echo "make bench-card     what can be known of a graphics card without one, on PHOTOS with REAL_WEIGHTS (a minute)"
	@echo "make lock     renew requirements.lock"

install: $(READY)

$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if (3, 11) <= sys.version_info < (3, 14) else "error: Expected Python 3.11 to 3.13, got " + sys.version.split()[0] + ". Name one: make PYTHON=python3.12")'
	@echo "Installing into .venv: 3.6 GB, a few minutes"
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	@touch $(READY)

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

test: install
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

test-exhaustive: install
	PHYTOBENCH_EXHAUSTIVE=1 $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder

demo: install
	$(BIN)/finetune demo --out "$(DEMO)" --species $(SPECIES) --observations $(OBSERVATIONS) --epochs $(EPOCHS) --seed $(SEED) $(if $(filter article,$(NETWORKS)),$(FOUR))
	@if [ -t 1 ] && [ -n "$$DISPLAY$$WAYLAND_DISPLAY" ]; then $(BIN)/python -m webbrowser "$(DEMO)/report.html"; fi

# Weights are ImageNet's here unless WEIGHTS is given: the default above is the demo's.
article: install
	$(if $(DATA),,$(error Expected DATA=FOLDER, the PlantCLEF 2014 package, got none. For example: make article DATA=PlantCLEF2014))
	$(BIN)/finetune article "$(DATA)" --out "$(OUT)" --weights $(if $(filter file,$(origin WEIGHTS)),imagenet,$(WEIGHTS)) $(OPTIONS)

docs: install
	$(BIN)/python docs/reference.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet --site-dir site
	@echo "Documentation   site/index.html"

bench-store: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_roi.py --json $(BENCH)/roi.json $(PHOTOS_OPTION)
	$(BIN)/python tests/benchmarks/bench_reading.py --json $(BENCH)/reading.json
	$(BIN)/python tests/benchmarks/bench_engines.py --json $(BENCH)/engines.json
	$(BIN)/python tests/benchmarks/bench_build.py --json $(BENCH)/build.json $(PHOTOS_OPTION)
	$(BIN)/python tests/benchmarks/bench_growth.py --json $(BENCH)/growth.json --picture $(BENCH)/growth.png
	$(BIN)/python tests/benchmarks/bench_requests.py --json $(BENCH)/requests.json

bench-recipes: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_recipes.py --json $(BENCH)/recipes.json --photos $(PHOTOS) --weights $(REAL_WEIGHTS)
	$(BIN)/python -m pytest tests/featstore/roi/test_contours.py -k real_photographs --every-photograph -rP

bench-doctor: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_doctor.py --json $(BENCH)/doctor-1.json --photos $(PHOTOS) --weights $(REAL_WEIGHTS) --seed 1
	$(BIN)/python tests/benchmarks/bench_doctor.py --json $(BENCH)/doctor-2.json --photos $(PHOTOS) --weights $(REAL_WEIGHTS) --seed 2

bench-heads: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_heads.py --json $(BENCH)/heads.json --plain
	$(BIN)/python tests/benchmarks/bench_heads_growth.py --json $(BENCH)/heads-growth.json --picture $(BENCH)/heads-growth.png

bench-finetune: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_augment.py --json $(BENCH)/augment.json $(PHOTOS_OPTION)
	$(BIN)/python tests/benchmarks/bench_finetune.py --json $(BENCH)/finetune.json $(PHOTOS_OPTION)

bench-evaluate: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_evaluate.py --json $(BENCH)/evaluate.json --picture $(BENCH)/evaluate.png
	$(BIN)/python tests/benchmarks/bench_runfiles.py --json $(BENCH)/runfiles.json

bench-card: install
	mkdir -p $(BENCH)
	$(BIN)/python tests/benchmarks/bench_card.py --json $(BENCH)/card.json --photos $(PHOTOS) --weights $(REAL_WEIGHTS)

lock:
	$(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet uv
	.venv-lock/bin/uv pip compile --quiet --universal --python-version 3.11 --group dev pyproject.toml \
		--no-emit-index-url --no-emit-find-links --no-header --no-annotate --upgrade -o requirements.lock
	rm -r .venv-lock

clean:
	rm -rf $(DEMO) $(BENCH) .venv
