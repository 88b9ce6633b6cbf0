# Two commands are all the set-up there is: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

# Two processes of one thread each; whoever has finished takes over what the other one has left.
PYTEST := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses 2 --dist worksteal
# Where shapes are in signatures: tests of each such part, few enough to be quick although every call is checked.
# Tests of many thousand calls find nothing that shorter ones do not.
SHAPED := $(addprefix tests/,tasks solvers $(addprefix engine/test_,engine.py queue.py views.py) test_model.py test_blocks.py \
  test_evaluate.py test_statistics.py test_analysis_statistics.py test_data.py test_random.py test_parity.py \
  csp/test_relations.py $(addprefix training/test_,loss.py slots.py growth.py protocol.py))
LONG := stated_clues or augmented_puzzles or clue_to_spare or print_as_they or \
  neighbours or auto_breadth or settled_row or supposing or damage or differ_in_all or ahead_of or parked or share

.PHONY: demo test check shapes browser lint clean

demo: .venv/ready
	$(BIN)/eqr solve --file examples/sudoku/puzzles.csv
	$(BIN)/eqr solve --model maze --file examples/maze/mazes.txt

# The second run leaves out the tests that have passed in `shapes`.
test: .venv/ready lint shapes
	-@$(MAKE) --no-print-directory browser
	EQR_REST=1 $(PYTEST)

# While you work: what takes long is left out.
check: .venv/ready lint
	$(PYTEST) -m "not slow"

shapes: .venv/ready
	EQR_SHAPES=1 $(PYTEST) -m "not slow" -k "not ($(LONG))" $(SHAPED)

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
