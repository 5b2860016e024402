# Two commands matter: `make demo` and `make test`. Each sets up everything it needs in .venv/.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := models runtime convert graphs demos tests __init__.py __main__.py
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: demo test lint fuzz sanitize types browser clean

demo: .venv/.demo
	$(BIN)/pocketgraph demo selfie-blur -o out/demo

test: .venv/.dev browser
	$(BIN)/python -m pytest $(TESTS)

lint: .venv/.dev types
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/mypy

# Coverage-guided fuzzing of the readers, of graphs and of the CHW engine; RUNS inputs each, another SEED tries others.
RUNS ?= 20000
SEED ?= 1
fuzz: .venv/.dev
	mkdir -p build/fuzz/chw
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_tflite.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_onnx.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_graph.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_recording.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0
	cd build/fuzz && ../../$(BIN)/python ../../tests/fuzz/fuzz_chw.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0 chw

# The compiled modules built with AddressSanitizer and UndefinedBehaviorSanitizer: their tests; RUNS calls of its builder
# from C++, guided by coverage; RUNS mutations of models and of what `make fuzz` has kept (blindly: the sanitizer takes
# the place of the coverage). Then ThreadSanitizer. A million of the first takes about ten minutes of one core.
SANITIZED = LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0:quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 \
	POCKETGRAPH_COMPILED="$(CURDIR)/build/sanitize"
sanitize: .venv/.dev
	rm -rf build/sanitize build/thread_check
	$(BIN)/python -m pip install --quiet --no-deps --target build/sanitize -C build-dir=build/sanitize/cmake \
		-C cmake.define.POCKETGRAPH_SANITIZE=ON .
	$(SANITIZED) $(BIN)/python -m pytest -p no:cacheprovider -m "not zoo" \
		tests/runtime/test_chw_*.py tests/runtime/vision/test_warp.py
	mkdir -p build/fuzz/chw build/fuzz/program
	cd build/fuzz && ASAN_OPTIONS=quarantine_size_mb=16 UBSAN_OPTIONS=print_stacktrace=1 \
		../sanitize/pocketgraph/runtime/chw/fuzz_program $(RUNS) $(SEED) program
	cd build/fuzz && $(SANITIZED) ../../$(BIN)/python ../../tests/fuzz/fuzz_chw.py -runs=$(RUNS) -seed=$(SEED) -verbosity=0 chw
	$(CXX) -std=c++20 -O1 -g -fsanitize=thread -pthread -Iruntime/chw/core tests/runtime/chw_selfcheck.cpp \
		runtime/chw/core/program.cpp runtime/chw/core/kernels_portable.cpp -o build/thread_check
	TSAN_OPTIONS=halt_on_error=1 build/thread_check 4 >/dev/null

# The folders of the checkout, laid out as the installed package is, for the type checker.
types:
	rm -rf build/types && mkdir -p build/types/pocketgraph
	for name in models runtime convert graphs demos __init__.py __main__.py; do \
		ln -s "../../../$$name" "build/types/pocketgraph/$$name"; done
	for name in framework solutions; do ln -s "../../../graphs/$$name" "build/types/pocketgraph/$$name"; done

# JavaScript packages for the browser tests; without npm those tests are skipped and say so.
browser:
	@if command -v npm >/dev/null; then cd tests/browser && npm ci --silent --no-audit --no-fund; \
	else echo "npm is not installed: the browser tests will be skipped"; fi

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
		{ echo "pocketgraph needs Python 3.10 or newer, $(PYTHON) is older: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 2; }
	@$(PYTHON) -m venv .venv || { rm -rf .venv; \
		echo "the venv module is incomplete: sudo apt-get install python3-venv"; exit 2; }

.venv/.demo: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[onnx]'
	touch $@

.venv/.dev: .venv/bin/python pyproject.toml
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --editable '.[dev,train]'
	touch $@ .venv/.demo

clean:
	rm -rf .venv build out tests/browser/node_modules
