"""What one request may ask for, and how much may wait: options of the service. Does nothing."""

from dataclasses import dataclass, fields

from eqr.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Beyond these a request is refused in one sentence."""

    puzzles: int = 256
    """Puzzles in one request."""
    depth: int = 1024
    """Segments a row may use."""
    breadth: int = 64
    """Restarts of a puzzle."""
    queue: int = 4096
    """Rows (puzzles x restarts) that may wait for a place, of all requests together."""
    seconds: int = 60
    """Seconds from a request's last byte to its answer."""
    body_bytes: int = 1 << 20
    """Size of a request's body."""
    body_seconds: int = 10
    """Seconds in which the body must have come."""
    grace: int = 5
    """Seconds that requests under way have left once the service is told to stop."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not vars(self)[field.name] >= 1:
                raise InputError(f"--{field.name.replace('_', '-')} {vars(self)[field.name]}: at least 1 is needed")
