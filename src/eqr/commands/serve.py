"""``eqr serve``: answers puzzles over HTTP, and serves a page that shows boards settle."""

from dataclasses import dataclass, field
from pathlib import Path

import torch

from eqr.commands.options import Machine
from eqr.engine import SolveConfig, SolveServer
from eqr.engine.config import NumberConfig
from eqr.errors import InputError, missing_extra
from eqr.model import Reasoner
from eqr.storage.checkpoint import load
from eqr.web.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Answer puzzles over HTTP, and serve a page that shows them settle."""

    host: str = "127.0.0.1"
    """Address to listen on; only this machine can reach the default. There is no password."""
    port: int = 8000
    """Port to listen on; 0 for any free one."""
    models: tuple[str, ...] = ("sudoku", "maze")
    """Bundled models, model folders, or hf:user/name. The first of a family answers unless a request names another."""
    allowed_host: tuple[str, ...] = ()
    """Names, besides those of this machine and --host, by which clients may call the service; '*' for any. Addresses
    are always allowed."""
    trusted_proxy: tuple[str, ...] = ()
    """Addresses or networks of reverse proxies whose header X-Forwarded-For names the client."""
    rows: int = 16
    """Rows that move at a time on one board; fewer for boards larger than 32x32."""
    compile: bool = False
    """Compile the models' own boards with torch.compile if their block has no kernel: half a minute each, then about
    twice as fast."""
    numbers: NumberConfig = field(default_factory=NumberConfig)
    limits: Limits = field(default_factory=Limits)
    machine: Machine = field(default_factory=Machine)

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        try:
            from eqr.web.origins import LOOPBACK
            from eqr.web.server import address_of, listen, serve
            from eqr.web.service import Service
        except ImportError:
            raise missing_extra("serving", "web") from None
        config = SolveConfig(rows=self.rows, dtype=self.numbers.dtype)
        device = self.machine.ready()
        with listen(self.host, self.port) as listening:
            models = self._loaded(device)
            with SolveServer(
                list(models.values()), config, self.limits.queue, self.compile or "kernel", self.limits.client_queue
            ) as driver:
                service = Service(models, driver, self.limits)
                print(f"eqr: {', '.join(models)} on {address_of(listening)} (Ctrl-C ends it)", flush=True)
                serve(service, listening, (*LOOPBACK, self.host, *self.allowed_host), self.trusted_proxy)

    def _loaded(self, device: torch.device) -> dict[str, Reasoner]:
        """The models by their names in requests."""
        models = dict[str, Reasoner]()
        for given in self.models:
            name = Path(given).absolute().name
            if name in models:
                raise InputError(f"--models {given}: another model is called {name!r} too, rename its folder")
            models[name] = load(given, device)
        if not models:
            raise InputError("--models is empty: name at least one, such as sudoku")
        return models
