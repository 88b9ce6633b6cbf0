"""Who asks: the name by which a client calls this service, the site of the page that asks, the client's address."""

from collections.abc import Collection
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from eqr.web.problems import Problem

LOOPBACK = ("localhost", "127.0.0.1", "::1")
ANY = "*"


class Origins:
    """Refuses requests under foreign host names, and requests for work that pages of other sites cause.

    A page of another site can give its own name the address of this service (DNS rebinding), and then reads answers as
    if they were its own: so names must be known. Addresses are no names, and are always allowed.
    """

    def __init__(self, app: ASGIApp, hosts: Collection[str] = (ANY,)) -> None:
        self.app, self.hosts = app, {host.lower().rstrip(".") for host in hosts}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        problem = self._problem(scope["path"], Headers(scope=scope)) if scope["type"] == "http" else None
        await (problem.response() if problem else self.app)(scope, receive, send)

    def _problem(self, path: str, headers: Headers) -> Problem | None:
        host = headers.get("host", "")
        name = _name(host)
        if ANY not in self.hosts and name not in self.hosts and not _address(name):
            return Problem(
                400,
                f"host {host[:60]!r} is not a name of this service: use one that is, or start the service with "
                "--allowed-host NAME",
            )
        if path.startswith("/v1/solve") and _is_of_another_site(host, headers):
            return Problem(403, "a page of another site asks: only pages of this service may ask for work")
        return None


def _name(host: str) -> str:
    """The name in a host header, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # brackets without an address
        return ""


def _address(name: str) -> bool:
    try:
        return bool(ip_address(name))
    except ValueError:
        return False


def _is_of_another_site(host: str, headers: Headers) -> bool:
    """Whether a browser says so; programs that are no browsers send neither header."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site not in ("same-origin", "none")
    origin = headers.get("origin")
    return origin is not None and origin.partition("://")[2].lower() != host.lower()


def client_of(scope: Scope) -> str:
    """The client for whom limits count: its address; of IPv6 the /64 network, all addresses of which are one host's."""
    address: str = scope["client"][0] if scope.get("client") else ""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and not parsed.ipv4_mapped:
        return str(ip_network((parsed, 64), strict=False))
    return str(getattr(parsed, "ipv4_mapped", None) or parsed)
