"""What an analysis yields: a few figures that stand for it, and the numbers behind its picture. Knows no analysis."""

from abc import ABC, abstractmethod

Value = str | int | float
Row = dict[str, Value]
"""A line of a table, by column."""


class Finding(ABC):
    """What one analysis found; its subclasses are frozen dataclasses."""

    @abstractmethod
    def headline(self) -> Row:
        """The figures to print; NaN where there is nothing to say."""

    @abstractmethod
    def tables(self) -> dict[str, list[Row]]:
        """The numbers behind the picture: the rows of a CSV file, by what is appended to its name."""
