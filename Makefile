# Every target sets itself up: a virtual environment in .venv with the pinned versions.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
APT    := DEBIAN_FRONTEND=noninteractive apt-get -qq -y --no-install-recommends -o DPkg::Lock::Timeout=120

.PHONY: reproduce test slurm dcmtk format lint types bench clean help

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

reproduce: $(STAMP) ## build the phantom, run every ablation, write the report (10 minutes on 2 cores)
	$(BIN)/viewpair reproduce

test: $(STAMP) ## run the tests
	$(BIN)/python -m pytest -n 3 --dist worksteal --durations 20 -m "not slurm"
	$(BIN)/python -m pytest -n 2 --dist worksteal --durations 20 -m slurm

slurm: ## install SLURM for the tests that need a cluster (Debian, as root)
	$(PYTHON) slurm/devcluster install --accounting dbd

dcmtk: ## install dcmtk for the tests that render DICOM beside it (Debian, as root)
	command -v dcmj2pnm >/dev/null || $(APT) install dcmtk || ($(APT) update && $(APT) install dcmtk)

format: $(STAMP) ## format the code
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: $(STAMP) ## check style
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: $(STAMP) ## check types
	$(BIN)/mypy core sweeps analysis viewpair slurm

bench: $(STAMP) ## time the training step, the loaders, the phantom and the ledger
	$(BIN)/viewpair bench step
	$(BIN)/viewpair bench loader
	$(BIN)/viewpair bench phantom
	$(BIN)/viewpair bench ledger

clean: ## remove the environment and every output
	rm -rf $(VENV) outputs
