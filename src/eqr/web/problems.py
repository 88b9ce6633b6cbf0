"""Refusals: one sentence in one shape, ``{"status": 422, "error": "..."}``. Knows no request."""

import json

from fastapi.responses import Response
from pydantic import BaseModel, ConfigDict, Field


class Problem(Exception):
    """A refusal: an HTTP status, and one sentence that says why."""

    def __init__(self, status: int, error: str, **headers: str) -> None:
        super().__init__(error)
        self.status, self.error = status, error
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}

    def text(self) -> str:
        """The refusal as JSON in ASCII, since the sentence may quote any text that was sent."""
        return json.dumps({"status": self.status, "error": self.error})

    def response(self) -> Response:
        """The refusal as a response."""
        return Response(self.text(), self.status, self.headers, media_type="application/json")


class Refusal(BaseModel):
    """Why there is no answer."""

    model_config = ConfigDict(extra="forbid")

    status: int = Field(description="The status code of the response.")
    error: str = Field(description="What is wrong, where, and how to fix it, in one sentence.")


def stopping() -> Problem:
    """The refusal of a service that is stopping."""
    return Problem(503, "the service is stopping: send the request again once it is back", retry_after="5")
