"""Who starts a row next where several askers share the places of one board. Knows neither rows nor time.

The asker with the fewest rows under way comes first, and of the last quarter of the places nobody takes more than is
left for others: an asker of many long rows cannot keep others waiting for the end of one.
"""

from eqr.engine.queue import Job, PuzzleQueue, RowEnd


class FairQueue:
    """The askers of one board."""

    def __init__(self, places: int) -> None:
        self.places, self.kept = places, places // 4
        self.askers: list[PuzzleQueue] = []
        self.ended = 0
        """Rows that have ended."""

    def start(self) -> Job | None:
        """The next row to start; among askers with equally many under way they take turns."""
        free = self.places - sum(jobs.rows for jobs in self.askers)
        for jobs in sorted(self.askers, key=lambda jobs: jobs.rows):
            if free <= self.kept and jobs.rows >= free:
                return None
            job = jobs.start()
            if job:
                self.askers.remove(jobs)
                self.askers.append(jobs)
                return job
        return None

    def end(self, job: Job, end: RowEnd) -> None:
        """Give a row's evidence to its asker."""
        job.jobs.end(job, end)
        self.ended += 1
