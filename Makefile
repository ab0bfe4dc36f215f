PYTHON ?= python3
BIN := .venv/bin
# Where it is set, each of a job's processes would compile anew all that it imports: 28 s in place of 10.
unexport PYTHONDONTWRITEBYTECODE

demo: venv  ## labelled pictures of ten findings; then the whole way from X-rays to both questions' answers, on phantoms
	PYTHON=$(BIN)/python runs/demo.sh

# One thread a test: with more, tests side by side would fight for the cores.
test: export OMP_NUM_THREADS = 1
test: venv  ## the tests but the slow ones, with local Ray, a real S3 server and a real browser where they are installed
# Three at a time on two cores: a third of their time tests wait, for Ray, a server or a browser to start.
	$(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder -m "not slow and not docker"

unit: export OMP_NUM_THREADS = 1
unit: venv  ## the unit tests: no Ray, no server
	$(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder -m "not slow and not docker" tests/unit

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --no-compile -c constraints.txt -e '.[test]'
	touch $@

image:  ## the image of docker/Dockerfile, and the S3 server for development
	docker build -f docker/Dockerfile -t cxr .
	docker build -f docker/s3.Dockerfile -t cxr-s3 .

image-test: venv  ## builds and runs them on a base of debootstrap's; needs root, docker.io, docker-compose, debootstrap
	$(BIN)/pytest -m docker tests/images

lint: venv  ## style and format
	$(BIN)/ruff check
	$(BIN)/ruff format --check

fmt: venv  ## mends what it can of lint's complaints
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: venv  ## static types
	$(BIN)/mypy

bench: venv  ## what benchmarks/README.md says of speed, measured side by side
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file || exit 1; done

gpu: venv  ## what benchmarks/README.md says of a GPU, beside the stock ways, in ten minutes: out/gpu/gpu.md
	PYTHON=$(BIN)/python benchmarks/gpu.sh

s3: venv  ## a real S3 server with a bucket, on loopback; says what to export, and how to stop it
	@tests/ceph.sh try .s3 7480

help:  ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed -E 's/:[^#]*## */\t/' | expand -t 12

.PHONY: demo test unit venv image image-test lint fmt types bench gpu s3 help
