"""Refusals: one sentence in one shape, ``{"status": 422, "error": "..."}``. Knows no request."""

import json

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field


class Problem(Exception):
    """Why a request gets no answer."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def text(self) -> str:
        """JSON in ASCII: a sentence may quote what was sent, whatever that was."""
        return json.dumps({"status": self.status, "error": self.error})

    def response(self) -> Response:
        """The same as a response."""
        return Response(self.text(), self.status, self.headers, media_type="application/json")


class Refusal(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(description="The status code of the response.")
    error: str = Field(description="What is wrong, where, and what cures it, in one sentence.")


def stopping() -> Problem:
    """The refusal of a service that is about to end."""
    return Problem(503, "the service is stopping: send the request again to the next one", retry_after="5")
