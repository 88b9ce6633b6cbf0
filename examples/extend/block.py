"""A block of one's own: a cell hears its row, its column and its four neighbours, through layers with biases.

Importing this module registers it: `--set model.block=lines` on the command line.
"""

import torch
import torch.nn.functional as F
from torch import nn

import eqr


class LinesBlock(eqr.Block):
    """(R, C, D) -> (R, C, D), where R rows must not mix. No weight depends on the size of the board."""

    positions = False  # cells differ by what they hear: none needs a learned vector of its own

    def __init__(self, layout, config, generator):
        super().__init__(layout, config, generator)
        channels, hidden = config.channels, int(config.channels * config.expansion)
        self.board = (layout.rows, layout.cols)
        self.heard = nn.Linear(7 * channels, 2 * hidden)
        self.out = nn.Linear(hidden, channels)
        for layer in (self.heard, self.out):  # drawn from the generator, so that weights follow from the run's seed
            nn.init.normal_(layer.weight, std=layer.in_features**-0.5, generator=generator)
            nn.init.zeros_(layer.bias)

    def forward(self, h):
        board = h.view(-1, *self.board, h.shape[-1])  # -1, not len(h): an exported model takes any number of rows
        row, col = (board.mean(axis, keepdim=True).expand_as(board) for axis in (2, 1))
        edged = F.pad(board, (0, 0, 1, 1, 1, 1))  # zeros around the board
        near = (edged[:, 1:-1, :-2], edged[:, 1:-1, 2:], edged[:, :-2, 1:-1], edged[:, 2:, 1:-1])
        gate, value = self.heard(torch.cat([board, row, col, *near], -1)).chunk(2, -1)
        # The norm keeps the state bounded however often the block is applied.
        return F.rms_norm(board + self.out(F.silu(gate) * value), board.shape[-1:]).view(h.shape)


eqr.BLOCKS["lines"] = LinesBlock
