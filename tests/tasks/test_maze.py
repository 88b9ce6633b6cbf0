import itertools

import networkx as nx
import numpy as np
import pytest
import torch
from alike import solution
from hypothesis import given
from hypothesis import strategies as st

from eqr.errors import InputError
from eqr.tasks import Puzzle, task_named
from eqr.tasks.maze import COLOURS, GOAL, OPEN, PATH, START, WALL, maze_of
from eqr.tasks.maze_carving import carved, path_of

SMALL, THIRTY = maze_of(5), task_named("maze30")
QUESTION = "#####/#S..#/#.#.#/#..G#/#####"
RIGHT, DOWN = "#####/#Soo#/#.#o#/#..G#/#####", "#####/#S..#/#o#.#/#ooG#/#####"
GENERATED = list(itertools.islice(THIRTY.generate(seed=7), 60))


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


def graph(board: np.ndarray) -> nx.Graph:
    """The open cells of a board (N, N) and the steps between them, without a line of ours."""
    found = nx.grid_2d_graph(*board.shape)
    found.remove_nodes_from([tuple(cell) for cell in np.argwhere(board == WALL).tolist()])
    return found


@st.composite
def questions(draw: st.DrawFn, size: int = 5) -> np.ndarray:
    """(L,) any board with both ends, mostly not a perfect maze."""
    board = np.array(draw(st.lists(st.sampled_from([WALL, OPEN, OPEN]), min_size=size**2, max_size=size**2)))
    start, goal = draw(st.permutations(range(size**2)))[:2]
    board[start], board[goal] = START, GOAL
    return board


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
        (
            QUESTION.replace("/", "")[:-1],
            "has 24 cells, a maze5 maze has 25: give 5 rows of 5, or another square of 5x5",
        ),
        (QUESTION[:-1], "row 5 of the maze has 4 cells, and there are 5 rows: give as many cells in each row"),
        (QUESTION.replace("/", "\n")[:-6], "row 1 of the maze has 5 cells, and there are 4 rows"),
        ("#####/#S../#.#.##/#..G#/#####", "row 2 of the maze has 4 cells, and there are 5 rows"),
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


@pytest.mark.parametrize("size", [0, 4, 100])
def test_a_size_that_no_maze_has_is_refused(size: int) -> None:
    with pytest.raises(InputError, match=f"a maze of {size}x{size} is not supported: sizes are 5 to 99, such as"):
        task_named(f"maze{size}")


@pytest.mark.parametrize(("size", "least", "most"), [(5, 1, 7), (5, -1, 3), (5, 4, 3), (5, 1, 0), (30, 100, 391)])
def test_a_range_of_paths_that_no_board_allows_is_refused(size: int, least: int, most: int) -> None:
    with pytest.raises(
        InputError, match=rf"paths of {least} to {most} steps in a maze{size} are not possible: .* at most"
    ):
        maze_of(size).generate(0, least, most)


def test_a_least_length_that_no_board_allows_is_refused() -> None:
    with pytest.raises(InputError, match=r"paths of 90 or more steps in a maze10 are not possible: .* at most 30"):
        maze_of(10).generate(0, 90)


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


@given(questions(size=4), st.data())
def test_the_checker_accepts_every_shortest_path_and_nothing_else_near_it(
    small: np.ndarray, data: st.DataObject
) -> None:
    question = np.full((5, 5), WALL)
    question[:4, :4] = small.reshape(4, 4)
    start, goal = (tuple(np.argwhere(question == end)[0].tolist()) for end in (START, GOAL))
    ways = graph(question)
    paths = list(nx.all_shortest_paths(ways, start, goal)) if nx.has_path(ways, start, goal) else []
    answers = []
    for path in paths:
        answers.append(question.copy())
        for cell in path[1:-1]:
            answers[-1][cell] = PATH
    right = len(answers)
    for answer in answers[:right]:
        changed = answer.copy()
        cell = data.draw(st.sampled_from([tuple(at) for at in np.argwhere((question == OPEN) | (question == WALL))]))
        changed[cell] = {OPEN: PATH, PATH: OPEN, WALL: OPEN}[int(changed[cell])]
        answers.append(changed)
    if answers:
        inputs = torch.from_numpy(question).view(1, -1).expand(len(answers), -1)
        verdicts = SMALL.is_solved(inputs, torch.from_numpy(np.array(answers)).flatten(1))
        assert verdicts.tolist() == [True] * right + [False] * (len(answers) - right)


@given(questions(), st.data(), st.integers(0, 2**32))
def test_a_symmetry_can_be_undone_and_changes_no_verdict(question: np.ndarray, data: st.DataObject, seed: int) -> None:
    count = 8
    marks = np.array(data.draw(st.lists(st.booleans(), min_size=count * 25, max_size=count * 25))).reshape(count, 25)
    answers = np.where(marks & (question == OPEN), PATH, question)
    ways = graph(question.reshape(5, 5))
    start, goal = (divmod(int(np.flatnonzero(question == end)[0]), 5) for end in (START, GOAL))
    if nx.has_path(ways, start, goal):  # one of them is right
        answers[0] = question
        answers[0, [row * 5 + col for row, col in nx.shortest_path(ways, start, goal)[1:-1]]] = PATH
    inputs, answers = np.tile(question, (count, 1)).astype(np.uint8), answers.astype(np.uint8)
    symmetries = SMALL.symmetries(count, np.random.default_rng(seed))
    new = [symmetries.apply(boards) for boards in (inputs, answers)]
    assert (symmetries.undo(new[0]) == inputs).all()
    assert (symmetries.undo(new[1]) == answers).all()
    verdicts = [SMALL.is_solved(*map(torch.from_numpy, boards)) for boards in ((inputs, answers), new)]
    assert torch.equal(*verdicts)
    assert verdicts[0][0] == nx.has_path(ways, start, goal)


def test_symmetries_keep_puzzles_and_answers_together() -> None:
    inputs, labels = stacked(GENERATED[:1] * 200)
    symmetries = THIRTY.symmetries(len(inputs), np.random.default_rng(0))
    new_inputs, new_labels = symmetries.apply(inputs), symmetries.apply(labels)
    assert len(np.unique(new_inputs, axis=0)) == 8  # all of them
    assert THIRTY.is_solved(torch.from_numpy(new_inputs), torch.from_numpy(new_labels)).all()
    assert (np.sort(new_labels) == np.sort(labels)).all()
    assert new_inputs.dtype == new_labels.dtype == np.uint8
    assert (labels == GENERATED[0].answer).all()  # the originals stand


def test_symmetries_do_not_mend_a_wrong_answer() -> None:
    answers = ids(RIGHT, DOWN, "#####/#So.#/#.#o#/#.oG#/#####", QUESTION).repeat(10, 1)
    inputs = ids(QUESTION).expand_as(answers)
    symmetries = SMALL.symmetries(len(answers), np.random.default_rng(0))
    new = [symmetries.apply(boards.numpy().astype(np.uint8)) for boards in (inputs, answers)]
    turned = SMALL.is_solved(*map(torch.from_numpy, new))
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
    assert THIRTY.is_solved(torch.from_numpy(questions), torch.from_numpy(answers)).all()
    for puzzle in GENERATED:
        start, goal = (divmod(int(np.flatnonzero(puzzle.question == end)[0]), 30) for end in (3, 4))
        steps = steps_by_flooding((puzzle.question != 1).reshape(30, 30), start)[goal]
        assert steps == puzzle.rating == (puzzle.answer == 5).sum() + 1
        assert 100 <= steps <= 140


def test_lengths_are_spread_over_the_whole_range() -> None:
    ratings = [puzzle.rating for puzzle in itertools.islice(maze_of(10).generate(0, 8, 24), 1700)]
    counts = np.bincount(ratings)
    assert set(ratings) == set(range(8, 25))
    assert counts[8:].min() > 60  # 100 each on average, standard deviation 10
    harder = itertools.islice(maze_of(10).generate(seed=0, least=20), 50)
    assert {puzzle.rating for puzzle in harder} == {20, 21}  # to the end of the usual range
    beyond = itertools.islice(maze_of(10).generate(seed=0, least=23), 5)
    assert {puzzle.rating for puzzle in beyond} == {23}
    shorter = itertools.islice(maze_of(10).generate(seed=0, most=3), 50)
    assert {puzzle.rating for puzzle in shorter} == {1, 2, 3}


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
    board = next(maze_of(9).generate(1, 4, 10)).question.reshape(9, 9)
    assert (board[[0, -1]] == 1).all()
    assert (board[:, [0, -1]] == 1).all()
    assert (board[7, 1::2] != 1).all()


@pytest.mark.parametrize(
    ("size", "least", "most", "count"),
    [(5, 1, 6, 30), (9, 10, 20, 30), (33, 40, 90, 6), (59, 300, 900, 3), (99, 97, 2000, 3)],
)
def test_boards_up_to_the_largest_are_trees_with_paths_of_the_lengths_asked_for(
    size: int, least: int, most: int, count: int
) -> None:
    task = task_named(f"maze{size}")
    for puzzle in itertools.islice(task.generate(1, least, most), count):
        board = puzzle.question.reshape(size, size)
        ways = graph(board)
        assert nx.is_tree(ways)
        assert len(ways) == 2 * (size // 2) ** 2 - 1
        start, goal = (tuple(np.argwhere(board == end)[0].tolist()) for end in (START, GOAL))
        path = nx.shortest_path(ways, start, goal)  # the only one, in a tree
        assert puzzle.rating == len(path) - 1
        assert least <= puzzle.rating <= most
        assert set(path[1:-1]) == {
            tuple(cell) for cell in np.argwhere(puzzle.answer.reshape(size, size) == PATH).tolist()
        }


def test_a_longest_path_is_found_in_every_maze_that_has_one() -> None:
    """The search for a start rests on this: what two ends of a longest path see of a tree is the farthest there is."""
    rng = np.random.default_rng(0)
    for _ in range(10):
        passable = carved(9, rng)
        ways = graph(np.where(np.frombuffer(passable, np.uint8), OPEN, WALL).reshape(9, 9))
        longest = nx.diameter(ways)
        assert len(path_of(longest, passable, 9, rng)) == longest + 1
        assert path_of(longest + 1, passable, 9, rng) == []


def test_same_seed_same_mazes_and_all_differ() -> None:
    again = list(itertools.islice(THIRTY.generate(seed=7, workers=3), 60))
    other = list(itertools.islice(THIRTY.generate(seed=1 << 33), 60))
    assert (stacked(again)[1] == stacked(GENERATED)[1]).all()
    assert len(np.unique(np.concatenate([stacked(GENERATED)[0], stacked(other)[0]]), axis=0)) == 120


def test_paths_that_cannot_be_are_refused() -> None:
    with pytest.raises(InputError, match="a path has at least 1 step and at this size at most 390"):
        THIRTY.generate(seed=0, least=391)
    with pytest.raises(InputError, match=r"none of 2,000 mazes of 15x15 has a path of 96 steps: such mazes are too"):
        next(maze_of(15).generate(0, 96, 96))


@pytest.mark.parametrize("size", [5, 30, 99])
def test_boards_are_told_apart_by_their_cells(size: int) -> None:
    assert SMALL.sized(size**2) is task_named(f"maze{size}")
    assert task_named(f"maze{size}").sized(size**2 + 1) is task_named(f"maze{size}")
    assert SMALL.sized(16) is SMALL.sized(100**2) is SMALL
    assert maze_of(7).larger() is maze_of(9)


@pytest.mark.parametrize(
    ("line", "lines"),
    [
        (QUESTION.replace("/", ""), 1),
        (QUESTION, 1),
        (QUESTION.replace("/", "\n"), 1),
        (QUESTION.replace("S", "."), 1),  # a board without a start is still a board
        ("#" * 9, 9),
        ("#S.....G#", 9),  # 9 cells make no maze of 3x3
        ("# S   #", 7),
        ("    G", 5),
        ("#" * 25, 25),
        ("#" * 900, 1),
        ("#" * 100, 1),
        ("", 1),
    ],
)
def test_a_line_is_a_whole_maze_or_a_row(line: str, lines: int) -> None:
    assert SMALL.lines_of(line) == maze_of(30).lines_of(line + "\r\n") == lines


def test_a_picture_shows_walls_path_ends_and_contradictions() -> None:
    answer = ids(RIGHT)[0]
    answer[24] = OPEN  # a wall taken away
    picture = SMALL.picture(ids(QUESTION)[0], answer)
    assert picture.shape == (60, 60, 3)
    assert picture.dtype == np.uint8
    cells = picture.reshape(5, 12, 5, 12, 3).transpose(0, 2, 1, 3, 4).reshape(25, 144, 3)
    expected = [symbol if cell < 24 else 0 for cell, symbol in enumerate(answer.tolist())]
    for cell, symbol in zip(cells, expected, strict=True):
        shown = {tuple(colour) for colour in cell.tolist()}
        letter = {tuple(COLOURS[OPEN].tolist())} if symbol in (START, GOAL) else set()
        assert shown == {tuple(COLOURS[symbol].tolist())} | letter
    assert len(np.unique(COLOURS, axis=0)) == 6
    letters = (cells[[6, 18]] == COLOURS[OPEN]).all(-1)  # they tell the ends apart where colours look alike
    assert letters.any(1).all()
    assert (letters[0] != letters[1]).any()


@pytest.mark.parametrize("as_text", [True, False])
def test_a_drawn_maze_shows_its_path_and_how_it_was_reached(as_text: bool) -> None:
    answer = ids(RIGHT)[0]
    answer[24] = 2  # a wall taken away
    found = solution(answer, settled=False, valid=False, residual=3e-2, depth=9)
    lines = SMALL.render(QUESTION if as_text else ids(QUESTION)[0], found).splitlines()
    assert lines[:5] == ["██████████", "██S · · ██", "██  ██· ██", "██    G ██", "████████?"]
    assert lines[5] == "NOT valid, not converged, residual 3.0e-02, depth 9"
