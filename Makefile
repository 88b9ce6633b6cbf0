# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test browser lint clean

demo: .venv/ready
	$(BIN)/eqr solve --file examples/sudoku/puzzles.csv
	$(BIN)/eqr solve --model maze --file examples/maze/mazes.txt

test: .venv/ready lint
	-@$(MAKE) --no-print-directory browser
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile

# For the tests of the page; without it they are skipped.
browser:
	@if command -v chromium || command -v chromium-browser || command -v google-chrome; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  apt-get update -qq && apt-get install -y -qq --no-install-recommends chromium; \
	else echo "no chromium: install it to run the tests of the page, as root with apt-get install chromium"; fi

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict src

# torch goes first and pinned: a later, unpinned request would fetch another build.
.venv/ready: pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[test]'
	touch .venv/ready

clean:
	rm -rf .venv
