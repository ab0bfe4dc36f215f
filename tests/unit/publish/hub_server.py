"""A server that speaks as much of the hub's protocol as its client needs to make a repository and commit to it."""

import base64
import hashlib
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

IN_LFS = (".parquet", ".tar", ".dcm", ".png", ".safetensors", ".jsonl")


class UploadHub(ThreadingHTTPServer):
    """Repositories by `datasets/owner/name`; `objects` are LFS contents by sha256. What was sent is counted."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.repos: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.commits: list[list[str]] = []  # the paths of each
        self.objects: dict[str, bytes] = {}
        self.put: Counter[str] = Counter()
        self.tokens: set[str | None] = set()
        self.refuse: int | None = None  # a status for every write
        self.fail_after: int | None = None  # commits, then each fails
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: UploadHub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if path.startswith("/api/"):
            parts = path.removeprefix("/api/").split("/")
            files = self.server.repos.get("/".join(parts[:3]))
            if files is None:
                return self.send(404, {}, {"X-Error-Code": "RepoNotFound"})
            if parts[3:4] == ["tree"]:
                return self.send(200, [entry(name, data) for name, data in files.items()])
            siblings = [{"rfilename": name} for name in files]
            return self.send(200, {"id": "/".join(parts[1:3]), "sha": "c" * 40, "siblings": siblings})
        repo, _, name = path.strip("/").partition("/resolve/main/")
        data = self.server.repos.get(repo, {}).get(name)
        if data is None:
            return self.send(404, {}, {"X-Error-Code": "EntryNotFound"})
        headers = {"X-Repo-Commit": "c" * 40, "ETag": f'"{hashlib.sha1(data).hexdigest()}"'}
        return self.send(200, data, headers)

    def do_PUT(self) -> None:
        data, oid = self.body(), self.path.rpartition("/")[2]
        assert hashlib.sha256(data).hexdigest() == oid
        self.server.objects[oid] = data
        self.server.put[oid] += 1
        self.send(200, b"")

    def do_POST(self) -> None:
        body, path = self.body(), unquote(self.path.partition("?")[0])
        self.server.tokens.add(self.headers.get("Authorization"))
        if self.server.refuse:
            return self.send(self.server.refuse, {"error": "no"})
        if path == "/api/repos/create":
            return self.create(json.loads(body))
        if path == "/api/validate-yaml":
            return self.send(200, {"errors": [], "warnings": []})
        if path.endswith("/objects/batch"):
            return self.send(200, {"transfer": "basic", "objects": [*map(self.action, json.loads(body)["objects"])]})
        repo = "/".join(path.removeprefix("/api/").split("/")[:3])
        if "/preupload/" in path:
            return self.send(200, {"files": [self.mode(repo, one["path"]) for one in json.loads(body)["files"]]})
        return self.commit(repo, [json.loads(line) for line in body.splitlines()])

    def create(self, asked: dict) -> None:
        repo = f"{asked.get('type', 'model')}s/{asked.get('organization') or 'own'}/{asked['name']}"
        if repo in self.server.repos:
            return self.send(409, {"error": "exists", "url": f"{self.server.url}/{repo}"})
        self.server.repos[repo] = {".gitattributes": b"*.parquet lfs\n"}
        self.server.private[repo] = asked.get("private") or asked.get("visibility") == "private"
        return self.send(200, {"url": f"{self.server.url}/{repo}", "name": asked["name"]})

    def mode(self, repo: str, path: str) -> dict:
        data = self.server.repos[repo].get(path)
        oid = None if data is None else entry(path, data).get("lfs", entry(path, data))["oid"]
        mode = "lfs" if path.endswith(IN_LFS) else "regular"
        return {"path": path, "uploadMode": mode, "shouldIgnore": False, "oid": oid}

    def action(self, asked: dict) -> dict:
        if asked["oid"] in self.server.objects:
            return {"oid": asked["oid"], "size": asked["size"]}
        href = f"{self.server.url}/lfs/{asked['oid']}"
        return {"oid": asked["oid"], "size": asked["size"], "actions": {"upload": {"href": href}}}

    def commit(self, repo: str, lines: list[dict]) -> None:
        if self.server.fail_after is not None and len(self.server.commits) >= self.server.fail_after:
            return self.send(500, {"error": "down"})
        files, paths = self.server.repos[repo], []
        for line in lines[1:]:
            value = line["value"]
            paths.append(value["path"])
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            else:
                del files[value["path"]]
        self.server.commits.append(paths)
        return self.send(200, {"commitUrl": f"{self.server.url}/{repo}/commit/{'c' * 40}", "commitOid": "c" * 40})

    def body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            whole = b""
            while size := int(self.rfile.readline(), 16):
                whole += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return whole
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def send(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(data))} | (headers or {})).items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


def entry(name: str, data: bytes) -> dict:
    """As the hub lists a file."""
    git = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
    found = {"type": "file", "path": name, "size": len(data), "oid": git}
    if name.endswith(IN_LFS):
        found["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return found
