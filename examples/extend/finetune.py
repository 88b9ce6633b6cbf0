"""Goes on training the bundled Sudoku model on puzzles of one's own.

python finetune.py train.csv test.csv      # CSV files with the columns question and answer
python finetune.py                         # without files: arrays of generated puzzles take their place
"""

import sys
from itertools import islice

import numpy as np

import eqr


def generated(seed, count):
    """Arrays of questions and answers, ids (count, 81) each; 0 is a blank."""
    puzzles = list(islice(eqr.TASKS["sudoku"]().generate(seed), count))
    return np.array([puzzle.question for puzzle in puzzles]), np.array([puzzle.answer for puzzle in puzzles])


def finetune(data, held_out, config, out="runs/finetuned"):
    """The fine-tuned model, which also lies in the folder `out`."""
    model = eqr.load("sudoku")
    shallow = eqr.SolveConfig(depth=2)  # with the usual depth of 64 it solves these already
    print(f"before: {eqr.evaluate(model, held_out, shallow).exact_accuracy:.1%} right after 2 segments")
    run = eqr.train(model, data=data, config=config, out=out)  # the model that is given stays as it is
    print(f"after {run.step} steps: {eqr.evaluate(run.model, held_out, shallow).exact_accuracy:.1%}")
    return run.model


if __name__ == "__main__":
    data, held_out = sys.argv[1:] or (generated(0, 1000), generated(1, 100))
    config = eqr.TrainConfig(
        minutes=2,
        lr=5e-4,  # a trained network needs a small rate,
        reveal_share=0,  # no revealed clues to get started,
        ema=0.97,  # and in a short run an average over few steps, or the old weights outweigh the new
        max_segments=4,  # it is to learn to answer after few segments
        compile=False,
    )
    finetune(data, held_out, config)
