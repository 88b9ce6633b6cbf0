"""Draws docs/images/settling.gif: two Sudokus and a maze, decoded after every update until nothing changes.

Run it from the repository's root: `python docs/figures/settling.py`.
"""

import csv
import itertools
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

import eqr
from eqr.random import Streams

SIDE = 234
"""Pixels of a board's side: 26 a cell of a Sudoku."""
START, UPDATES, LAST_SECONDS = 1, 40, 3.0
CLUE, UNSURE, SURE = np.array([(226, 229, 234), (255, 190, 120), (196, 236, 202)], float)


@torch.inference_mode()
def answers(model: eqr.Reasoner, ids: torch.Tensor) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Symbol ids (L,) and the probability of each, after each update of one random start."""
    z, x = model.init(Streams.numbered(START, range(1))), model.embed(ids)
    decoded = []
    for _ in range(UPDATES):
        z = model.update(z, x)
        confidence, symbols = model.decode(z)[0].softmax(-1).max(-1)
        decoded.append((torch.where(model.task.layout.to_find(ids)[0], symbols + 1, ids[0]), confidence))
    if not model.task.is_solved(ids, decoded[-1][0][None]).item():
        raise SystemExit(f"{model.task.name} is not solved after {UPDATES} updates: choose another start")
    return decoded


def sudoku(ids: torch.Tensor, answer: torch.Tensor, confidence: torch.Tensor) -> Image.Image:
    """Digits on paper that turns from orange to green as the network becomes sure; clues are grey."""
    cell = SIDE // 9
    picture = Image.new("RGB", (SIDE, SIDE), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(size=0.62 * cell)
    for at, (row, col) in enumerate(np.ndindex(9, 9)):
        paper = CLUE if ids[at] else UNSURE + float(confidence[at]) ** 2 * (SURE - UNSURE)
        corner = (col * cell, row * cell)
        pen.rectangle((*corner, corner[0] + cell - 1, corner[1] + cell - 1), tuple(int(c) for c in paper), "#aaa")
        middle = (corner[0] + cell / 2, corner[1] + cell / 2)
        pen.text(middle, str(int(answer[at])), fill="black", font=font, anchor="mm")
    for line in (3 * cell, 6 * cell):
        pen.line((line, 0, line, SIDE), "black", 2)
        pen.line((0, line, SIDE, line), "black", 2)
    return picture


def main() -> None:
    """Write the picture."""
    with open("examples/sudoku/puzzles.csv", encoding="utf-8") as file:
        rows = {row["source"]: row for row in csv.DictReader(file)}
    solver, walker = eqr.load("sudoku"), eqr.load("maze")
    board = next(eqr.TASKS["maze"](25).generate(11, least=90))
    mazes = walker.for_task(eqr.TASKS["maze"](25))
    boards = []
    for source in ("norvig top95 #1 (MIT), 17 clues", "norvig hardest #11 (MIT)"):
        ids = solver.task.encode(rows[source]["question"])
        boards.append([sudoku(ids[0], *now) for now in answers(solver, ids)])
    ids = torch.from_numpy(board.question).long()[None]
    drawn = (mazes.task.picture(ids[0], answer) for answer, _ in answers(mazes, ids))
    boards.append([Image.fromarray(picture).resize((SIDE, SIDE), Image.Resampling.BOX) for picture in drawn])
    frames = []
    for now in zip(*boards, strict=True):
        sheet = Image.new("RGB", (3 * SIDE + 40, SIDE), "white")
        for number, picture in enumerate(now):
            sheet.paste(picture, (number * (SIDE + 20), 0))
        frames.append(sheet.quantize(64))
    path = Path("docs/images/settling.gif")
    times = [180] * (len(frames) - 1) + [int(1000 * LAST_SECONDS)]
    frames[0].save(path, save_all=True, append_images=list(itertools.islice(frames, 1, None)), duration=times, loop=0)
    print(f"{path}: {len(frames)} frames, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
