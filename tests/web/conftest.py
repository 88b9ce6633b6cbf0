from collections.abc import Iterator

import pytest
from serving import service_of, untrained
from starlette.testclient import TestClient

from eqr.storage.checkpoint import load, save
from eqr.web.app import create_app
from eqr.web.service import Service


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    models = {"sudoku": load("sudoku"), "mazes": untrained()}
    with service_of(models, puzzles=8, depth=100, breadth=8, queue=60, body_bytes=50_000) as made:
        yield made


@pytest.fixture(scope="module")
def client(service: Service) -> TestClient:
    return TestClient(create_app(service))


@pytest.fixture(scope="session")
def mazes_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("models") / "mazes"
    save(untrained(), folder)
    return str(folder)
