PYTHON ?= python3
BIN := .venv/bin

demo: venv  ## the main job on the embedded model: 80 labelled pictures, read back and checked
	$(BIN)/python jobs/generate.py tiny --out out/demo --per-finding 8
	$(BIN)/python jobs/verify.py out/demo
	@echo "Open out/demo/contact_sheet.png, then any picture below out/demo/images/."

test: venv
	$(BIN)/pytest -m "not slow"

venv: .venv/installed

.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet -c constraints.txt -e '.[test]'
	touch $@

lint: venv
	$(BIN)/ruff check
	$(BIN)/ruff format --check

bench: venv
	for file in benchmarks/[a-z]*.py; do $(BIN)/python $$file || exit 1; done

s3:  ## a real S3 server on loopback for development; `tests/ceph.sh down .s3` stops it
	tests/ceph.sh up .s3 7480

.PHONY: demo test venv lint bench s3
