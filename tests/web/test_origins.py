"""Names of the service, pages of other sites, and who counts as one client."""

import pytest
from serving import FIVE, service_of, untrained
from starlette.testclient import TestClient

from eqr.web.app import create_app
from eqr.web.origins import client_of

STREAM = "/v1/solve/stream?task=maze&depth=2&puzzle=" + FIVE.replace("#", "%23")


@pytest.fixture(scope="module")
def client() -> TestClient:
    with service_of({"mazes": untrained()}) as service:
        yield TestClient(create_app(service, ["localhost", "Puzzles.example."]))


@pytest.mark.parametrize(
    ("host", "status"),
    [
        *[(host, 200) for host in ("localhost", "LOCALHOST:8000", "puzzles.example", "puzzles.example.:443")],
        *[(host, 200) for host in ("127.0.0.1:80", "[::1]:8000", "192.0.2.7")],
        *[
            (host, 400)
            for host in ("evil.example", "localhost.evil.example", "a@evil.example", "", "[", "[::1", "a:b:c")
        ],
    ],
)
def test_only_known_names_and_addresses_are_answered(client: TestClient, host: str, status: int) -> None:
    response = client.get("/healthz", headers={"host": host})
    assert response.status_code == status
    if status == 400:
        assert response.json()["status"] == 400
        assert "is not a name of this service" in response.json()["error"]
        assert "\n" not in response.json()["error"]


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "none"}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site"}, 403),
        ({"origin": "http://localhost:8000"}, 200),
        ({"origin": "https://localhost:8000"}, 200),  # a proxy adds TLS
        ({"origin": "http://localhost:3000"}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "https://evil.example", "sec-fetch-site": "same-origin"}, 200),  # what browsers say of themselves
    ],
)
def test_pages_of_other_sites_get_no_work_done(client: TestClient, headers: dict[str, str], status: int) -> None:
    host = {"host": "localhost:8000"}
    stream = client.get(STREAM, headers=host | headers)
    answer = client.post("/v1/solve", json={"task": "maze", "puzzles": [FIVE], "depth": 2}, headers=host | headers)
    assert [stream.status_code, answer.status_code] == [status, status]
    if status == 403:
        assert stream.json() == answer.json() == {"status": 403, "error": stream.json()["error"]}
    assert client.get("/healthz", headers=host | headers).status_code == 200


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.1", True),
        ("192.0.2.1", "192.0.2.2", False),
        ("::ffff:192.0.2.1", "192.0.2.1", True),
        ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", True),
        ("2001:db8:1:2::1", "2001:db8:1:3::1", False),
        ("testclient", "other", False),
    ],
)
def test_a_client_is_an_address_or_a_network_of_ipv6(one: str, other: str, same: bool) -> None:
    assert (client_of({"client": (one, 1)}) == client_of({"client": (other, 2)})) is same
    assert client_of({"client": None}) == ""
