"""The options of the service: limits of one request, and of the queue. Computes nothing."""

from dataclasses import dataclass, fields

from eqr.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Limits beyond which the service refuses a request, in one sentence."""

    puzzles: int = 256
    """Most puzzles in one request."""
    depth: int = 1024
    """Most segments that a row may use."""
    breadth: int = 64
    """Most restarts of a puzzle."""
    queue: int = 16384
    """Most rows (puzzles x restarts) that may wait for a slot, of all requests together."""
    client_queue: int = 4096
    """Most rows that may wait for a slot, of the requests of one client (an address; of IPv6, its first half)."""
    seconds: int = 60
    """Most seconds from a request's last byte to its answer."""
    body_bytes: int = 1 << 20
    """Largest body of a request, in bytes."""
    body_seconds: int = 10
    """Most seconds that a body may take to arrive."""
    header_seconds: int = 10
    """Most seconds that the first line and the headers of a request may take to arrive."""
    connections: int = 512
    """Most connections at a time; beyond it, those without a request under way give way to new ones."""
    grace: int = 5
    """Seconds in which requests under way may finish once the service is told to stop."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not vars(self)[field.name] >= 1:
                raise InputError(f"--{field.name.replace('_', '-')} {vars(self)[field.name]}: it must be at least 1")

    @property
    def rows(self) -> int:
        """Most rows of one request."""
        return min(self.queue, self.client_queue)
