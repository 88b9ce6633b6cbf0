"""The rule of Latin squares, for ``--checker examples.latin.check:is_latin``."""


def is_latin(question: list[list[str]], answer: list[list[str]]) -> bool:
    """Whether each row and each column holds every symbol once. eqr itself checks that the given cells are kept."""
    lines = [*answer, *zip(*answer, strict=True)]
    return all(set(line) == set(answer[0]) and len(set(line)) == len(line) for line in lines)
