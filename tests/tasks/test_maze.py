import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.tasks import TASKS, Puzzle
from eqr.tasks.maze import Maze
from eqr.types import Solution

SMALL = Maze("small", 5, 1, 6)
QUESTION = "#####/#S..#/#.#.#/#..G#/#####"
RIGHT, DOWN = "#####/#Soo#/#.#o#/#..G#/#####", "#####/#S..#/#o#.#/#ooG#/#####"
GENERATED = list(itertools.islice(TASKS["maze30"].generate(seed=7), 60))


def ids(*texts: str) -> torch.Tensor:
    return SMALL.encode(texts)


def solved(question: str, answer: str) -> bool:
    return bool(SMALL.is_solved(ids(question), ids(answer))[0])


def stacked(puzzles: list[Puzzle]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([p.question for p in puzzles]), np.array([p.answer for p in puzzles])


def steps_by_flooding(passable: np.ndarray, start: tuple[int, int]) -> np.ndarray:
    """Steps to every cell, -1 where no way leads; whole boards at a time, unlike the checker's queue."""
    steps = np.full(passable.shape, -1)
    steps[start] = 0
    for count in range(passable.size):
        reached = np.pad(steps >= 0, 1)
        beside = reached[:-2, 1:-1] | reached[2:, 1:-1] | reached[1:-1, :-2] | reached[1:-1, 2:]
        new = beside & passable & (steps < 0)
        if not new.any():
            break
        steps[new] = count + 1
    return steps


def test_lines_slashes_dots_spaces_and_underscores_read_alike() -> None:
    one_line = QUESTION.replace("/", "")
    lines = QUESTION.replace("/", "\r\n") + "\n"
    spaces, underscores = one_line.replace(".", " "), one_line.replace(".", "_")
    assert torch.equal(ids(one_line, lines, spaces, underscores), ids(QUESTION).expand(4, -1))
    assert ids(QUESTION)[0, :7].tolist() == [1, 1, 1, 1, 1, 1, 3]


def test_open_cells_at_the_ends_of_lines_are_kept() -> None:
    text = "  S##\n#    \n # # \n    G\n     "
    board = SMALL.parse(text)
    assert SMALL.format(torch.from_numpy(board)) == text.replace("\n", "").replace(" ", ".")


@given(st.lists(st.sampled_from("#.o"), min_size=23, max_size=23), st.permutations(range(25)))
def test_a_parsed_board_prints_as_it_was(cells: list[str], order: list[int]) -> None:
    mixed = [*cells, "S", "G"]
    text = "".join(mixed[at] for at in order)
    board = torch.from_numpy(SMALL.parse(text))
    assert SMALL.format(board) == text
    assert torch.equal(ids(text)[0], board.long())


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (QUESTION[:-1], "has 24 cells, a small maze has 25: give 5 rows of 5"),
        ("", "has 0 cells"),
        (QUESTION.replace("G", "x"), "row 4, column 4 holds 'x'"),
        (QUESTION.replace(".", "\t", 1), r"row 2, column 3 holds '\\t'"),
        (QUESTION.replace("S", "."), "the maze has no S: exactly one S and one G are needed"),
        (QUESTION.replace("G", "."), "the maze has no G: exactly one S and one G are needed"),
        (QUESTION.replace(".", "S", 1), "the maze has 2 S, the second in row 2, column 3"),
        (QUESTION.replace(".", "G"), "the maze has 7 G, the second in row 2, column 4"),
    ],
)
def test_a_wrong_board_is_refused_with_its_place(text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        SMALL.parse(text)


def test_a_range_of_paths_that_no_board_allows_is_refused() -> None:
    for size, least, most in ((4, 1, 2), (5, 1, 7), (5, 0, 3), (5, 4, 3), (30, 100, 391)):
        with pytest.raises(InputError, match="is not possible: sizes are 5 or more"):
            Maze("wrong", size, least, most)


def test_any_shortest_path_counts() -> None:
    assert solved(QUESTION, RIGHT)
    assert solved(QUESTION, DOWN)
    batch = SMALL.is_solved(ids(QUESTION).expand(3, -1), ids(RIGHT, QUESTION, DOWN))
    assert batch.tolist() == [True, False, True]


@pytest.mark.parametrize(
    "answer",
    [
        QUESTION,  # no path
        "#####/#Soo#/#o#o#/#ooG#/#####",  # both paths
        "#####/#So.#/#.#o#/#..G#/#####",  # a gap
        "#####/#So.#/#.#o#/#.oG#/#####",  # as many marks as a path has, here and there
        "#####/#.oo#/#.#o#/#..G#/#####",  # the start is lost
        "#####/#Soo#/#o#o#/#..G#/#####",  # a mark beside the path
        "#####/#Soo#/#.#o#/#..G#/####.",  # a wall is gone
        "#####/#Soo#/#.#o#/#.GG#/#####",  # a second goal
        "#####/#Soo#/#.#o#/#..o#/#####",  # the goal is a mark
        "#####/#G..#/#o#.#/#ooS#/#####",  # a path of another question
    ],
)
def test_anything_else_is_not_solved(answer: str) -> None:
    cells = [" #.SGo".index(char) for char in answer.replace("/", "")]
    assert not SMALL.is_solved(ids(QUESTION), torch.tensor([cells]))[0]


def test_a_detour_and_a_walled_off_goal_are_not_solved() -> None:
    assert solved("S.G../...../...../...../.....", "SoG../...../...../...../.....")
    assert not solved("S.G../...../...../...../.....", "S.G../ooo../...../...../.....")
    assert solved("SG.../...../...../...../.....", "SG.../...../...../...../.....")
    assert not solved("S#.../##.../...../...../....G", "S#.../##.../...../...../....G")
    assert SMALL.is_solved(ids(QUESTION)[:0], ids(QUESTION)[:0]).tolist() == []
    empty = torch.full((1, 25), 2)
    assert not SMALL.is_solved(empty, empty)[0]


@given(st.lists(st.booleans(), min_size=25, max_size=25), st.integers(0, 24), st.integers(1, 24), st.data())
def test_the_checker_agrees_with_counting_steps(walls: list[bool], at: int, further: int, data: st.DataObject) -> None:
    question = np.where(walls, 1, 2)
    start, goal = at, (at + further) % 25
    question[start], question[goal] = 3, 4
    marks = data.draw(st.sets(st.sampled_from(range(25)), max_size=8))
    answer = question.copy()
    for cell in marks:
        answer[cell] = 5 if question[cell] == 2 else answer[cell]
    marked = (answer == 5).sum()
    shortest = steps_by_flooding((question != 1).reshape(5, 5), divmod(start, 5))[divmod(goal, 5)]
    along = steps_by_flooding((answer >= 3).reshape(5, 5), divmod(start, 5))[divmod(goal, 5)]
    expected = shortest == along == marked + 1
    assert SMALL.is_solved(torch.tensor(question[None]), torch.tensor(answer[None])).tolist() == [expected]


def test_symmetries_keep_puzzles_and_answers_together() -> None:
    task, rng = TASKS["maze30"], np.random.default_rng(0)
    inputs, labels = stacked(GENERATED[:1] * 200)
    new_inputs, new_labels = task.augment(inputs, labels, rng)
    assert len(np.unique(new_inputs, axis=0)) == 8  # all of them
    assert task.is_solved(torch.from_numpy(new_inputs), torch.from_numpy(new_labels)).all()
    assert (np.sort(new_labels) == np.sort(labels)).all()
    assert new_inputs.dtype == new_labels.dtype == np.uint8
    assert (labels == GENERATED[0].answer).all()  # the originals stand


def test_symmetries_do_not_mend_a_wrong_answer() -> None:
    rng = np.random.default_rng(0)
    answers = ids(RIGHT, DOWN, "#####/#So.#/#.#o#/#.oG#/#####", QUESTION).repeat(10, 1)
    inputs = ids(QUESTION).expand_as(answers)
    new = SMALL.augment(inputs.numpy().astype(np.uint8), answers.numpy().astype(np.uint8), rng)
    turned = SMALL.is_solved(*(torch.from_numpy(boards) for boards in new))
    assert turned.tolist() == SMALL.is_solved(inputs, answers).tolist() == [True, True, False, False] * 10


def test_generated_mazes_are_perfect() -> None:
    for puzzle in GENERATED:
        passable = (puzzle.question != 1).reshape(30, 30)
        nodes = passable.sum()
        edges = (passable[1:] & passable[:-1]).sum() + (passable[:, 1:] & passable[:, :-1]).sum()
        assert edges == nodes - 1
        assert ((steps_by_flooding(passable, (1, 1)) >= 0) == passable).all()


def test_generated_paths_are_the_way_and_are_rated_by_their_steps() -> None:
    questions, answers = stacked(GENERATED)
    assert TASKS["maze30"].is_solved(torch.from_numpy(questions), torch.from_numpy(answers)).all()
    for puzzle in GENERATED:
        start, goal = (divmod(int(np.flatnonzero(puzzle.question == end)[0]), 30) for end in (3, 4))
        steps = steps_by_flooding((puzzle.question != 1).reshape(30, 30), start)[goal]
        assert steps == puzzle.rating == (puzzle.answer == 5).sum() + 1
        assert 100 <= steps <= 140


def test_lengths_are_spread_over_the_whole_range() -> None:
    ratings = [puzzle.rating for puzzle in itertools.islice(TASKS["maze10"].generate(seed=0), 1700)]
    counts = np.bincount(ratings)
    assert set(ratings) == set(range(8, 25))
    assert counts[8:].min() > 60  # 100 each on average, standard deviation 10
    harder = itertools.islice(TASKS["maze10"].generate(seed=0, min_guesses=23), 50)
    assert {puzzle.rating for puzzle in harder} == {23, 24}


def test_boards_of_an_even_size_have_the_form_of_maze_unique() -> None:
    boards = stacked(GENERATED)[0].reshape(-1, 30, 30)
    wall = boards == 1
    assert wall[:, 0].all()
    assert wall[:, :, 0].all()
    assert wall[:, 28:].all()
    assert wall[:, :, 28:].all()
    assert not wall[:, 1:28:2, 1:28:2].any()
    assert wall[:, ::2, ::2].all()
    assert ((~wall).sum((1, 2)) == 14 * 14 + 14 * 14 - 1).all()
    assert {(boards == end).sum() for end in (3, 4)} == {len(boards)}
    places = np.argwhere(boards == 3)[:, 1:]
    assert 0 < (places % 2 == 1).all(1).sum() < len(places)  # S may stand between two nodes


def test_boards_of_an_odd_size_have_a_border_of_one() -> None:
    board = next(Maze("odd", 9, 4, 10).generate(seed=1)).question.reshape(9, 9)
    assert (board[[0, -1]] == 1).all()
    assert (board[:, [0, -1]] == 1).all()
    assert (board[7, 1::2] != 1).all()


def test_same_seed_same_mazes_and_all_differ() -> None:
    task = TASKS["maze30"]
    again = list(itertools.islice(task.generate(seed=7, workers=3), 60))
    other = list(itertools.islice(task.generate(seed=1 << 33), 60))
    assert (stacked(again)[1] == stacked(GENERATED)[1]).all()
    assert len(np.unique(np.concatenate([stacked(GENERATED)[0], stacked(other)[0]]), axis=0)) == 120


def test_paths_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="a path of maze30 has at most 140 steps, not 141"):
        TASKS["maze30"].generate(seed=0, min_guesses=141)
    with pytest.raises(InputError, match=r"none of 2,000 mazes of 15x15 has a path of 96 steps: such are too rare"):
        next(Maze("winding", 15, 96, 96).generate(seed=0))


@pytest.mark.parametrize("as_text", [True, False])
def test_a_drawn_maze_shows_its_path_and_how_it_was_reached(as_text: bool) -> None:
    answer = ids(RIGHT)[0]
    answer[24] = 2  # a wall taken away
    solution = Solution(
        answer=answer, valid=False, converged=False, residual=3e-2, depth=9, restart=0, restarts=1, seconds=0.1
    )
    lines = SMALL.render(QUESTION if as_text else ids(QUESTION)[0], solution).splitlines()
    assert lines[:5] == ["██████████", "██S · · ██", "██  ██· ██", "██    G ██", "████████?"]
    assert lines[5] == "NOT valid, not converged, residual 3.0e-02, depth 9"
