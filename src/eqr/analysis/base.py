"""The result of an analysis: a few headline figures, and the numbers behind its picture. Knows no analysis."""

from abc import ABC, abstractmethod

Value = str | int | float
Row = dict[str, Value]
"""One line of a table, by column."""


class Finding(ABC):
    """The result of one analysis; its subclasses are frozen dataclasses."""

    @abstractmethod
    def headline(self) -> Row:
        """The figures to print; NaN where a figure is not defined."""

    @abstractmethod
    def tables(self) -> dict[str, list[Row]]:
        """The numbers behind the picture: the rows of each CSV file, by the suffix of the file's name."""
