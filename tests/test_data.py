from pathlib import Path

import numpy as np
import pytest
import torch

from eqr.data.files import collect, read_labelled
from eqr.data.parsing import Refused, Row
from eqr.data.sampler import PuzzleSampler
from eqr.data.text import read_puzzles, read_rows
from eqr.errors import InputError
from eqr.tasks import task_named

TASK, MAZE = task_named("sudoku4"), task_named("maze10")
QUESTION, ANSWER = "1..." + "." * 4 + "2.3." + "...1", "1342" + "4213" + "2134" + "3421"


def written(tmp_path: Path, text: str) -> str:
    path = tmp_path / "puzzles.csv"
    path.write_text(text)
    return str(path)


def questions(source: str) -> list[str]:
    """The questions of a file, of which nothing may be refused."""
    rows = list(read_rows(source))
    assert all(isinstance(row, Row) for row in rows)
    return [row.question for row in rows if isinstance(row, Row) and row.question.strip()]


def test_csv_and_plain_lines_read_alike(tmp_path: Path) -> None:
    plain = questions(written(tmp_path, f"# two\n{QUESTION}\n\n{ANSWER}\n"))
    table = questions(written(tmp_path, f"source,question\na,{QUESTION}\nb,{ANSWER}\n"))
    assert plain == table == [QUESTION, ANSWER]


def test_open_cells_written_as_spaces_are_kept_and_rows_of_a_maze_are_no_comments(tmp_path: Path) -> None:
    rows = ["##### ", "# S   #", " #   G ", "# oS G", "######"]
    text = "\n".join(["# words, and a remark: #S", "#", *rows, "", "   ", "# Go on"]) + "\r\n"
    assert questions(written(tmp_path, text)) == rows
    assert questions(written(tmp_path, 'question\n"  S  \n # G "\n')) == ["  S  \n # G "]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is empty"),
        ("\n# only a comment\n", "is empty"),
        ("board,answer\na,b\n", "no 'question'"),
        ("quizzes,puzzle\na,b\n", "the columns 'quizzes' and 'puzzle', and both may be the question"),
    ],
)
def test_an_unusable_file_is_named(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        list(read_rows(written(tmp_path, text)))


def test_a_csv_of_a_spreadsheet_reads(tmp_path: Path) -> None:
    grid = "\n".join(QUESTION[i : i + 4] for i in range(0, 16, 4))
    text = f'\ufeffsource,question\r\n#1 easy,{QUESTION}\r\n\r\n"a, b","{grid}"\r\n'
    (tmp_path / "sheet.csv").write_bytes(text.encode())
    rows = [row for row in read_rows(str(tmp_path / "sheet.csv")) if isinstance(row, Row)]
    assert [row.source for row in rows] == ["#1 easy", "a, b"]
    assert all((TASK.parse(row.question) == TASK.parse(QUESTION)).all() for row in rows)


@pytest.mark.parametrize("mark", [";", "\t"])
def test_other_separators_read(tmp_path: Path, mark: str) -> None:
    path = written(tmp_path, f"source{mark}question\na{mark}{QUESTION}\n")
    assert questions(path) == [QUESTION]


def test_a_missing_file_a_folder_and_binary_data_are_named(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\x00\x01\x02")
    for path, said in (("nowhere.csv", "No such file"), ("", "Is a directory"), ("binary", "is not text")):
        with pytest.raises(InputError, match=said):
            list(read_rows(str(tmp_path / path)))


def test_a_bad_piece_is_refused_and_reading_goes_on(tmp_path: Path) -> None:
    path = written(tmp_path, f"{QUESTION}\n" * 2 + "not a puzzle\n" + ANSWER)
    items = list(read_puzzles(path, TASK))
    assert [type(item) for item in items] == [Row, Row, Refused, Row]
    assert items[2] == Refused(f"{path}, line 3", items[2][1])
    assert "has 10 cells" in items[2][1]


def test_an_answer_that_does_not_complete_its_question_names_its_line(tmp_path: Path) -> None:
    good, bad = f"{QUESTION},{ANSWER}", f"{QUESTION},{ANSWER[::-1]}"
    assert len(read_labelled(written(tmp_path, f"question,answer\n{good}\n"), TASK)) == 1
    with pytest.raises(InputError, match="line 3, in the answer: row 3, column 1 holds symbol 3, the question gives 2"):
        read_labelled(written(tmp_path, f"question,answer\n{good}\n{bad}\n"), TASK)
    with pytest.raises(InputError, match="line 2: puzzle '12' has 2 cells"):
        read_labelled(written(tmp_path, "question,answer\n12,34\n"), TASK)
    with pytest.raises(InputError, match="has no 'answer' column"):
        read_labelled(written(tmp_path, f"{QUESTION}\n"), TASK)


def test_an_npz_without_the_arrays_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", puzzles=np.zeros((2, 16), np.uint8))
    with pytest.raises(InputError, match=r"a\.npz has no array 'solutions'"):
        read_labelled(str(tmp_path / "a.npz"), TASK)
    np.savez(tmp_path / "b.npz", puzzles=np.zeros((2, 81), np.uint8), solutions=np.zeros((2, 81), np.uint8))
    with pytest.raises(InputError, match=r"sudoku4 needs \(N, 16\)"):
        read_labelled(str(tmp_path / "b.npz"), TASK)
    (tmp_path / "c.npz").write_bytes((tmp_path / "b.npz").read_bytes()[:99])
    with pytest.raises(InputError, match="is not an npz with arrays"):
        read_labelled(str(tmp_path / "c.npz"), TASK)
    np.savez(tmp_path / "d.npz", puzzles=np.full((2, 16), 9, np.uint8), solutions=np.full((2, 16), 9, np.uint8))
    with pytest.raises(InputError, match="row 0, cell 0 holds 9: sudoku4 has the symbols 0"):
        read_labelled(str(tmp_path / "d.npz"), TASK)
    with pytest.raises(InputError, match="at least 1 puzzle"):
        read_labelled(str(tmp_path / "d.npz"), TASK, limit=0)


def drawn(draws: PuzzleSampler, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    found = [draws.draw(np.random.default_rng(number)) for number in range(count)]
    inputs, labels = (torch.from_numpy(np.stack(boards)).long() for boards in zip(*found, strict=True))
    return inputs, labels


def test_draws_keep_their_answers_and_reveal_clues() -> None:
    puzzles = collect(TASK, TASK.generate(seed=0), 50)
    draws = PuzzleSampler(TASK, [(puzzles, 1.0)], augment=True, reveal_share=0.5, reveal_most=0.9)
    inputs, labels = drawn(draws, 200)
    assert TASK.is_solved(inputs, labels).all()
    assert (inputs > 0).sum(1).max() > (puzzles.questions > 0).sum(1).max()
    assert torch.equal(inputs, drawn(draws, 200)[0])  # a function of the generator alone


def test_draws_leave_augmented_data_and_mazes_as_they_are() -> None:
    puzzles = collect(MAZE, MAZE.generate(seed=0), 20)
    draws = PuzzleSampler(MAZE, [(puzzles, 1.0)], augment=False, reveal_share=1.0, reveal_most=1.0)
    known = {board.tobytes() for board in puzzles.questions}
    assert all(draws.draw(np.random.default_rng(number))[0].tobytes() in known for number in range(50))


@pytest.mark.parametrize(
    "head", ["quizzes,solutions", "puzzle,solution", "Question,Answer", "QUIZ;Solution", "puzzles\tanswers"]
)
def test_the_columns_of_well_known_files_are_read(tmp_path: Path, head: str) -> None:
    mark = next(mark for mark in ",;\t" if mark in head)
    puzzles = read_labelled(written(tmp_path, f"{head}\n{QUESTION}{mark}{ANSWER}\n"), TASK)
    assert TASK.format(torch.from_numpy(puzzles.answers[0])) == ANSWER


def test_a_fault_of_the_answer_is_told_of_the_answer(tmp_path: Path) -> None:
    twice = "1142" + ANSWER[4:]
    for answer, said in (
        (twice, "line 2, in the answer: digit 1 is given 2 times in row 1"),
        (ANSWER[:7], "line 2, in the answer: puzzle '1342421' has 7 cells"),
        ("", "line 2 has no answer: add it or remove the row"),
    ):
        with pytest.raises(InputError, match=said):
            read_labelled(written(tmp_path, f"question,answer\n{QUESTION},{answer}\n"), TASK)


@pytest.mark.parametrize(
    ("value", "said"), [(-1, "holds -1"), (5, "holds 5"), (1.5, "holds 1.5"), (np.nan, "holds nan"), ("a", "holds")]
)
def test_values_that_are_no_symbols_name_their_row_and_cell(tmp_path: Path, value: object, said: str) -> None:
    questions = np.array([TASK.parse(QUESTION)] * 2).astype(np.array(value).dtype if value != -1 else int)
    questions[1, 3] = value
    np.savez(tmp_path / "x.npz", puzzles=questions, solutions=np.array([TASK.parse(ANSWER)] * 2))
    named = r"the array is of type <U\d+, symbols are whole numbers: convert it"
    numbered = rf"row 1, cell 3 {said}.*symbols 0 .blank. to 4"
    with pytest.raises(InputError, match=rf"x\.npz[:,] {named if value == 'a' else numbered}"):
        read_labelled(str(tmp_path / "x.npz"), TASK)
    for shape in ((), (3,)):
        np.savez(tmp_path / "y.npz", puzzles=np.zeros(shape, int), solutions=np.zeros(shape, int))
        with pytest.raises(InputError, match=r"y\.npz holds shapes"):
            read_labelled(str(tmp_path / "y.npz"), TASK)
