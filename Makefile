# Everything runs from .venv, which the first target creates: only make and Python are needed.
# `make` alone lists the targets.

PYTHON ?= python3
SEED ?= 1
BASE ?=
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
READY := $(VENV)/ready
TIMES := $(VENV)/times
DEMO := examples/sort_digits
RUN := runs/demo

.DELETE_ON_ERROR:
.PHONY: help setup test test-faults test-node test-faults-node images test-images failure-matrix lint generate
.PHONY: test-examples tools demo bench lock clean

help:
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 20

setup: $(READY) ## Make .venv from requirements/cpu.txt, with PYTHON (default python3)

$(BIN)/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "make: $(PYTHON) is $$($(PYTHON) --version 2>&1); Python 3.11 or later is needed:" \
			"name one with make setup PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import venv, ensurepip' || { \
		echo "make: $(PYTHON) comes without venv or ensurepip; install them (on Debian and" \
			"Ubuntu: apt install python3-venv) or name another PYTHON" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(UV): requirements/uv.txt | $(BIN)/python
	$(BIN)/python -m pip install --quiet --no-deps --require-hashes -r requirements/uv.txt
	@touch $@

$(READY): $(UV) requirements/cpu.txt pyproject.toml
	$(UV) pip install --python $(BIN)/python --no-deps --require-hashes -r requirements/cpu.txt
	$(UV) pip install --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

# $(call stage,name,command): runs the command, and notes how long it took and whether it failed.
# The next stage runs either way, so that one run shows all failures.
define stage
@echo "== $(1)"; failed=; began=$$(date +%s); $(2) || failed=", failed"; \
	echo "$(1): $$(($$(date +%s) - began)) s$$failed" >> $(TIMES)
endef

# Style, format, types, and which package imports which.
define lint
@rm -f $(TIMES)
$(call stage,style,$(BIN)/ruff check)
$(call stage,format,$(BIN)/ruff format --check)
$(call stage,types,$(BIN)/mypy)
$(call stage,imports,$(BIN)/lint-imports)
endef

# The last line of a target with stages: the time of each, and an error if one failed.
define verdict
@echo "== time"; cat $(TIMES); ! grep -q ", failed$$" $(TIMES)
endef

# Tensors are small: a second thread costs more than it gains. Nothing is fetched from a model hub.
test test-faults test-examples lint: export OMP_NUM_THREADS := 1
test test-faults test-node test-examples lint: export HF_HUB_OFFLINE := 1

# What other targets run is left out. Tests of parts take one core each: as many run as there are.
SHORT := not faults and not node and not images and not examples

test: $(READY) ## Lint, then all tests; those without a control plane and an engine come first
	$(lint)
	$(call stage,tests of parts,$(BIN)/pytest -q -n logical --dist loadfile -m "not engine and not cluster and $(SHORT)")
	$(call stage,Kubernetes,$(BIN)/python -m tests.cluster.binaries)
	$(call stage,tests on a control plane,$(BIN)/pytest -q -m "cluster and $(SHORT)")
	$(call stage,tests with engines,$(BIN)/pytest -q -m "engine and not cluster and $(SHORT)")
	$(verdict)

test-faults: tools ## Long tests with injected faults, which make test leaves out
	$(BIN)/pytest -q -m faults

test-examples: $(READY) ## Run the examples by the commands of their READMEs, to the reward they state
	$(BIN)/pytest -q -m examples --durations=0

tools: $(READY) ## Find or build the programs of the test cluster; takes minutes the first time
	$(BIN)/python -m tests.cluster.binaries

# Kubernetes in namespaces of this machine: containerd, a kubelet, DNS, and the roles in pods.
test-node: $(READY) ## Test in real pods; needs root, and installs Debian packages (containerd, runc)
	$(BIN)/python -m tests.node $(PYTEST)

test-faults-node: $(READY) ## The same with more faults, which take longer
	$(BIN)/python -m tests.node -m node $(PYTEST)

# BASE: the image to build on; by default Docker's Python, or Debian's where none can be pulled.
images: $(READY) ## Build the three images for CPUs with docker, or with buildah as root; BASE=IMAGE
	BASE=$(BASE) $(BIN)/python -m tests.images

test-images: $(READY) ## Build the images and run in each what its pods run first; 20 GB of disk
	BASE=$(BASE) $(BIN)/pytest -m images tests/images --durations=0

failure-matrix: $(READY) ## Write docs/failure-matrix.md from what the last make test-node measured
	$(call written,docs/failure-matrix.md,$(BIN)/python -m tests.node.matrix)

lint: $(READY) ## Check style, format, types, and which package imports which
	$(lint)
	$(verdict)

# $(call written,file,command): a command that fails leaves the file as it was.
define written
$(2) > $(1).new || { rm -f $(1).new; exit 1; }; mv $(1).new $(1)
endef

generate: $(READY) ## Regenerate crds/, docs/manifest.md, docs/changes.md and parts of helm/
	$(call written,crds/rljob.dev_rljobs.yaml,$(BIN)/python -m rljob_operator.crd)
	cp crds/rljob.dev_rljobs.yaml helm/rljob/files/
	$(call written,docs/manifest.md,$(BIN)/python -m rljob.api.reference)
	$(call written,docs/changes.md,$(BIN)/python -m rljob.api.change_reference)
	$(call written,helm/rljob/README.md,$(BIN)/python helm/readme.py)
	$(BIN)/python -m helm.monitoring

demo: $(READY) ## Train the sorting demo with SEED (default 1) into runs/demo; resumes a stopped run
	@if grep -qs '"state": "succeeded"' $(RUN)/summary.json; then rm -rf $(RUN); fi
	@if [ ! -e $(RUN) ] || [ ! -e $(DEMO)/build ]; then \
		$(BIN)/python $(DEMO)/prepare.py --seed $(SEED); fi
	$(BIN)/rljob run $(DEMO)/job.yaml --run-dir $(RUN) --seed $(SEED)

bench: $(READY) ## Run all benchmarks; each ends with a line of JSON
	@set -e; for benchmark in benchmarks/*.py; do \
		echo "== $$benchmark"; $(BIN)/python $$benchmark; \
	done

# Versions that still fit are kept; `make lock UPGRADE=--upgrade` takes the newest.
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" \
	--override requirements/overrides.txt

lock: $(UV) ## Regenerate the files of requirements/ from pyproject.toml
	$(COMPILE) $(UPGRADE) pyproject.toml --override requirements/overrides-cpu.txt \
		--extra operator --extra trainer --extra wandb --extra rollout --extra dev \
		-o requirements/cpu.txt
	$(COMPILE) $(UPGRADE) pyproject.toml --override requirements/overrides-operator.txt \
		--extra operator -c requirements/cpu.txt -o requirements/operator.txt
	set -e; for extra in trainer rollout; do \
		$(COMPILE) $(UPGRADE) pyproject.toml --extra $$extra -c requirements/cpu.txt \
			-o requirements/$$extra.txt; \
	done
	$(COMPILE) $(UPGRADE) requirements/build.in --no-annotate -c requirements/cpu.txt \
		-o requirements/build.txt

clean: ## Remove caches and what the demo prepares; .venv and runs stay
	rm -rf .hypothesis .import_linter_cache .mypy_cache .pytest_cache .ruff_cache $(DEMO)/build
	find . -name __pycache__ -not -path './$(VENV)/*' -prune -exec rm -rf {} +
