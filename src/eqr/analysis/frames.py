"""A trajectory as pictures: a board for each segment, with the cells that changed marked. Only draws.

In tasks with fixed clues a board is drawn in letters: the colour behind a cell is its confidence, and a wrong symbol is
red if the label is known. Other tasks (mazes) draw their own picture.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from eqr.analysis.decoded import Trajectory
from eqr.tasks import Task
from eqr.terminal.pictures import captioned, enlarged, lettered

SIDE = 32
"""Pixels of a cell's side, in letters."""
GIVEN, UNSURE, SURE = np.array([(226, 229, 234), (255, 214, 153), (203, 239, 208)], float)
BLACK, RED, LINE, MARK = np.array([(20, 20, 20), (200, 30, 30), (150, 150, 150), (216, 27, 176)], np.uint8)
CHANGED_FOR, LAST_FOR = 0.25, 2.0
"""Seconds for which an animation shows each picture, and its last one."""


def frame(task: Task, finding: Trajectory, t: int) -> NDArray[np.uint8]:
    """(H, W, 3) the board after segment ``t``, from 0."""
    layout, answer = task.layout, finding.history.answers[t]
    board = (layout.rows, layout.cols)
    picture = _letters(task, finding, t) if layout.clues_fixed else enlarged(task.picture(finding.puzzle, answer))
    picture = picture.copy()
    side = len(picture) // layout.rows
    for row, col in np.argwhere(finding.changed[t, layout.rule_cells :].view(board).numpy()):
        _outline(picture[row * side : (row + 1) * side, col * side : (col + 1) * side], MARK, max(2, side // 10))
    return picture


def animation(task: Task, finding: Trajectory) -> tuple[list[NDArray[np.uint8]], list[float]]:
    """Pictures up to the last change of a cell and three more, and the seconds for which each picture is shown."""
    segments = min(finding.last_change + 3, len(finding.written))
    pictures = []
    for t in range(segments):
        changed = int(finding.changed[t].sum())
        text = f"depth {t + 1}   residual {float(finding.history.residual[t]):.1e}   {changed} changed"
        pictures.append(captioned(frame(task, finding, t), text))
    return pictures, [CHANGED_FOR] * (segments - 1) + [LAST_FOR]


def _letters(task: Task, finding: Trajectory, t: int) -> NDArray[np.uint8]:
    layout, answer = task.layout, finding.history.answers[t]
    board = (layout.rows, layout.cols, 1)
    given = (finding.puzzle > 0)[layout.rule_cells :].view(board).numpy()
    sure = finding.history.confidence[t, layout.rule_cells :].view(board).numpy()
    wrong = torch.zeros_like(answer, dtype=torch.bool) if finding.right is None else ~finding.right[t]
    paper = np.where(given, GIVEN, UNSURE + sure * (SURE - UNSURE)).astype(np.uint8)
    ink = np.where(wrong[layout.rule_cells :].view(board).numpy(), RED, BLACK)
    picture = lettered(task.cells(answer), paper, ink, SIDE).copy()
    for start in range(0, len(picture), SIDE):
        picture[start] = LINE
    for start in range(0, picture.shape[1], SIDE):
        picture[:, start] = LINE
    # Four axes: bands, rows, stacks, columns. Bands and stacks get thicker lines.
    if len(layout.axes) == 4:
        for row in range(layout.axes[1], layout.rows, layout.axes[1]):
            picture[row * SIDE - 1 : row * SIDE + 2] = BLACK
        for col in range(layout.axes[3], layout.cols, layout.axes[3]):
            picture[:, col * SIDE - 1 : col * SIDE + 2] = BLACK
    return picture


def _outline(cell: NDArray[np.uint8], colour: NDArray[np.uint8], width: int) -> None:
    for edge in (cell[:width], cell[-width:], cell[:, :width], cell[:, -width:]):
        edge[:] = colour
