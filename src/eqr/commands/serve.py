"""``eqr serve``: answers over HTTP, and a page to watch boards settle."""

from dataclasses import dataclass, field
from pathlib import Path

from eqr.engine import SolveConfig, SolveServer
from eqr.errors import InputError
from eqr.model import Reasoner
from eqr.runtime import pick_device, set_threads
from eqr.storage.checkpoint import load
from eqr.web.limits import Limits


@dataclass(frozen=True, kw_only=True)
class Serve:
    """Answer puzzles over HTTP, and show a page to watch them settle."""

    host: str = "127.0.0.1"
    """Address to listen on; only this machine reaches the default. There is no password."""
    port: int = 8000
    """Port to listen on; 0 for any free one."""
    models: tuple[str, ...] = ("sudoku", "maze")
    """Bundled models, model folders, and hf:user/name. The first of a family answers unless a request names another."""
    rows: int = 16
    """Rows under way at a time on one board; fewer where boards are larger than 32x32."""
    compile: bool = False
    """Compile the models' own boards first: half a minute each, then about twice as fast."""
    threads: int | None = None
    """CPU threads; all by default."""
    device: str = "auto"
    """auto, cpu or cuda."""
    limits: Limits = field(default_factory=Limits)

    def run(self) -> None:
        """Serve until SIGTERM or Ctrl-C."""
        try:
            from eqr.web.server import address_of, listen, serve
            from eqr.web.service import Service
        except ImportError:
            raise InputError("serving needs the extra 'web': pip install 'eqr[web]'") from None
        config = SolveConfig(rows=self.rows)
        set_threads(self.threads)
        with listen(self.host, self.port) as listening:
            models = self._loaded()
            with SolveServer(list(models.values()), config, self.limits.queue, self.compile) as driver:
                service = Service(models, driver, self.limits)
                print(f"eqr: {', '.join(models)} on {address_of(listening)} (Ctrl-C ends it)", flush=True)
                serve(service, listening)

    def _loaded(self) -> dict[str, Reasoner]:
        """The models by the names requests call them by."""
        device, models = pick_device(self.device), dict[str, Reasoner]()
        for given in self.models:
            name = Path(given).absolute().name
            if name in models:
                raise InputError(f"--models {given}: another model is called {name!r} too, rename its folder")
            models[name] = load(given, device)
        if not models:
            raise InputError("--models is empty: name at least one, such as sudoku")
        return models
