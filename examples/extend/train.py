"""The whole story: trains a Futoshiki model with a block of one's own, judges it, and looks inside.

python train.py
"""

from itertools import islice

import numpy as np
from futoshiki import Futoshiki
from loggers import to_csv
from preset import MODEL, TRAIN

import eqr

OUT = "runs/futoshiki"
PUZZLE = "._.>._. _______ ._.>._. ____v__ ._.<._. _______ ._._._3"


def main():
    run = eqr.train(MODEL, config=TRAIN, out=OUT, on_record=to_csv("futoshiki_log.csv"))
    print(f"{run.step} steps in {run.seconds:.0f} s; the model is in {OUT}")

    # Seeds are streams of puzzles: training draws from 0, this is another one.
    puzzles = list(islice(Futoshiki(4).generate(1), 200))
    test = (np.array([puzzle.question for puzzle in puzzles]), np.array([puzzle.answer for puzzle in puzzles]))
    print(f"{eqr.evaluate(run.model, test).exact_accuracy:.1%} of {len(puzzles)} new puzzles are right in every cell")

    solution = eqr.solve(run.model, PUZZLE)
    print(run.model.task.render(PUZZLE, solution))

    # Four random starts, every segment: does each of them settle, and where?
    path = eqr.trajectory(run.model, PUZZLE, depth=32, breadth=4, latents=True)
    print(f"residual after 32 segments: {path.residual[:, -1].tolist()}")
    print(f"latent states: {tuple(path.z.shape)} = rows, segments, streams, cells, width")


if __name__ == "__main__":
    main()
