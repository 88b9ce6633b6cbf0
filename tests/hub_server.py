"""What the Hugging Face hub says to its own client, as far as models need it: a folder of files behind HTTP.

The replies are shaped after huggingface_hub 2.4. It keeps what is sent, and a list of the files that were asked for.
"""

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread


@dataclass
class Hub:
    """One model and the commits it went through."""

    name: str
    address: str = ""
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    tokens: set[str] = field(default_factory=lambda: {"right"})
    created: list[dict[str, object]] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        sha = hashlib.sha1(repr(sorted(files.items())).encode()).hexdigest()
        self.commits[sha], self.branches[branch] = files, sha
        return sha


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    class Handler(_Handler):
        of = hub

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.address = f"http://127.0.0.1:{server.server_port}"
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield hub
        finally:
            server.shutdown()
            thread.join()


class _Handler(BaseHTTPRequestHandler):
    of: Hub
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        pass

    def _reply(self, status: int, body: bytes = b"", **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _json(self, value: object) -> None:
        self._reply(200, json.dumps(value).encode(), Content_Type="application/json")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        hub, path = self.of, self.path.partition("?")[0]
        asked = re.fullmatch(r"/(?:api/models/)?(.+?)/(revision|tree|resolve)/([^/]+)/?(.*)", path)
        if not asked or asked[1] != hub.name or not hub.branches:
            return self._reply(404, X_Error_Code="RepoNotFound")
        _, kind, revision, file = asked.groups()
        sha = hub.branches.get(revision, revision)
        if sha not in hub.commits:
            return self._reply(404, X_Error_Code="RevisionNotFound")
        files = hub.commits[sha]
        if kind == "revision":
            return self._json({"id": hub.name, "sha": sha, "siblings": [{"rfilename": name} for name in files]})
        if kind == "tree":
            oids = {name: hashlib.sha1(content).hexdigest() for name, content in files.items()}
            sizes = ({"type": "file", "path": name, "size": len(files[name]), "oid": oids[name]} for name in files)
            return self._json(list(sizes))
        hub.asked.append(file)
        etag = f'"{hashlib.sha1(files[file]).hexdigest()}"'
        return self._reply(200, files[file], ETag=etag, X_Repo_Commit=sha)

    def do_POST(self) -> None:
        hub, body = self.of, self.rfile.read(int(self.headers["Content-Length"])).decode()
        if self.headers["Authorization"].removeprefix("Bearer ") not in hub.tokens:
            return self._reply(401, b'{"error": "Invalid username or password."}')
        if self.path == "/api/repos/create":
            made = json.loads(body)
            if f"{made['organization']}/{made['name']}" != hub.name:
                return self._reply(403, b'{"error": "You have no rights here"}')
            if not hub.created:
                hub.commit({".gitattributes": b""})
            hub.created.append(made)
            return self._json({"url": f"{hub.address}/{hub.name}", "name": hub.name})
        if self.path == "/api/validate-yaml":
            return self._json({"errors": [], "warnings": []})
        if "/preupload/" in self.path:
            files = json.loads(body)["files"]
            regular = ({"path": file["path"], "uploadMode": "regular", "shouldIgnore": False} for file in files)
            return self._json({"files": list(regular)})
        assert self.path == f"/api/models/{hub.name}/commit/main", self.path
        files = dict(hub.commits[hub.branches["main"]])
        for line in map(json.loads, body.splitlines()):
            if line["key"] == "file":
                files[line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            if line["key"] == "deletedFile":
                del files[line["value"]["path"]]
        sha = hub.commit(files)
        return self._json({"commitUrl": f"{hub.address}/{hub.name}/commit/{sha}", "commitOid": sha})
