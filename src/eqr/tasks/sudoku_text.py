"""Texts of Sudokus as people and programs write them: blanks, lines drawn around cells, heads. Knows no rules.

docs/formats.md lists the formats. A text is read line by line, because some lines hold no cells and a line may say what
the next ones are.
"""

import re

from eqr.tasks.base import Mark

SYMBOLS = "123456789ABCDEFGHIJKLMNOP"
"""The symbols of a 25x25 board in order; smaller boards use the first of them."""
BLANKS = ".0*_?xX"
DRAWN = "|+" + "".join(map(chr, range(0x2500, 0x2580)))
"""Characters that may be drawn between cells; so may ``-``, if it is no blank."""
SPACES = "".join(char for char in map(chr, range(0x3001)) if char.isspace())
PLAIN = str.maketrans(BLANKS, "." * len(BLANKS), DRAWN + SPACES)
"""Makes every blank a dot, and leaves out white space and drawn lines."""
FILLERS = " -"
"""Blanks of a line in which nothing but digits stands between them, so that every character is a cell."""
FRAME = re.compile(r"[\s*|+\-=.:,'`]*(--|==)[\s*|+\-=.:,'`]*")
SECTION = re.compile(r"\s*\[([A-Za-z ]+)\]\s*")
TITLE = re.compile(r"(?i)\s*(grid|puzzle|sudoku|board|game|nr\.?|no\.?)[ \t]*#?[ \t]*\d+[:.]?(\s.*)?")
HODOKU = re.compile(r"\s*:[^:]*:[^:]*:([^:]+):.*")
"""``:technique:candidate:cells:...``, a line of HoDoKu's library."""
NO_NUMBER = DRAWN + SPACES + ",;"
NUMBERS_APART = re.compile(f"[{re.escape(NO_NUMBER)}]+")
TWO_DIGITS = re.compile("[1-9][0-9]")
SET = re.compile(r"\+[1-9]")
"""A cell that was filled in after the start, in HoDoKu's notation; as part of a puzzle it is blank."""


class SudokuLines:
    """Reads the lines of a text in order: returns the cells of each, blanks as dots, or a Mark for a line without."""

    def __init__(self, side: int) -> None:
        self.side, self.sizes = side, (side, side * side)
        self.symbols = SYMBOLS[: max(9, side)]
        """Characters that may be symbols; a digit that a small board does not have is told when it is parsed."""
        self.filler = ""
        """Filler of an earlier row: then a line that holds nothing else is a row too."""
        self.skipping = False
        """True in a section that does not hold the puzzle, such as the ``[State]`` of an unfinished game."""

    def __call__(self, text: str) -> str | Mark:
        """Returns the cells of a line, or of several lines together."""
        if self.side > 9:
            text = text.upper()
        cells = text.translate(PLAIN)
        if len(cells) == len(text) in self.sizes and not cells.strip(self.symbols + ".") and not self.skipping:
            return cells
        lines = re.split(r"[\r\n]+", text.strip("\r\n"))
        if len(lines) == 1:
            return self._line(lines[0])
        return "".join(cells for cells in map(self._line, lines) if not isinstance(cells, Mark))

    def _line(self, line: str) -> str | Mark:
        section = SECTION.fullmatch(line)
        if section or TITLE.fullmatch(line):
            self.skipping = section is not None and section[1].strip().lower() != "puzzle"
            return Mark.HEAD
        if self.skipping or line.lstrip().startswith("#"):
            return Mark.FRAME
        cells = self._filled(line) or self._separated(line) or self._numbered(line)
        if cells:
            return cells
        if not line.strip():
            return Mark.GAP
        if FRAME.fullmatch(line):
            return Mark.FRAME
        library = HODOKU.fullmatch(line)
        if library:
            return SET.sub(".", library[1]).translate(PLAIN)
        return line.translate(PLAIN).replace("-", "") or Mark.FRAME

    def _filled(self, line: str) -> str:
        """Returns the cells of a line whose blanks are spaces or dashes; an empty string if it is none."""
        if len(line) not in self.sizes:
            return ""
        foreign = set(line) - set(self.symbols)
        if len(foreign) != 1 or not foreign <= set(FILLERS):
            return ""
        (filler,) = foreign
        if not line.strip(filler) and self.filler != filler:
            return ""
        self.filler = filler
        return line.replace(filler, ".")

    def _separated(self, line: str) -> str:
        """Returns the cells of a line with a comma, semicolon or tab between cells; an empty string if it is none.

        Nothing between two separators is a blank.
        """
        for mark in ",;\t":
            parts = [part.strip() for part in line.strip("\r\n").split(mark)]
            if len(parts) - 1 in self.sizes and not parts[-1]:
                parts.pop()
            if len(parts) in self.sizes and all(len(part) <= 1 for part in parts):
                return "".join(part.strip("-") or "." for part in parts).translate(PLAIN)
        return ""

    def _numbered(self, line: str) -> str:
        """Returns the cells of a line of numbers, such as ``10 3 . | 16 ...``; an empty string if it is none."""
        parts = NUMBERS_APART.split(line.strip(NO_NUMBER))
        numbers = [int(part) if TWO_DIGITS.fullmatch(part) else 0 for part in parts]
        if len(parts) not in self.sizes or not 9 < max(numbers) <= self.side:
            return ""
        cells = [self.symbols[n - 1] if n else part for n, part in zip(numbers, parts, strict=True)]
        return "".join(cells).translate(PLAIN) if all(len(cell) == 1 for cell in cells) else ""
