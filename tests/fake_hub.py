"""A Hub on this machine: the HTTP that huggingface_hub speaks, over memory, with faults on demand.

Repositories with branches and commits, private ones, tokens that read or write, small files inside the commit and large
ones by git-LFS (batch, upload, verify), redirects to another address for their content. It is a server of its own on
the loopback, so the client is the real one, from its first byte to its last.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import yaml

LICENCES = {"apache-2.0", "mit", "cc-by-4.0", "other"}


@dataclass(frozen=True)
class Blob:
    """A file in a commit."""

    content: bytes
    lfs: bool

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    @property
    def oid(self) -> str:
        """Git's hash: of the content, or of the pointer that stands for a large file."""
        pointer = f"version https://git-lfs.github.com/spec/v1\noid sha256:{self.sha256}\nsize {len(self.content)}\n"
        content = pointer.encode() if self.lfs else self.content
        return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()

    @property
    def known_as(self) -> str:
        """The hash by which a client tells whether its own file is the same."""
        return self.sha256 if self.lfs else self.oid

    def info(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = {"type": "file", "path": path, "size": len(self.content), "oid": self.oid}
        if self.lfs:
            found["lfs"] = {"oid": self.sha256, "size": len(self.content), "pointerSize": 130}
        return found


@dataclass(frozen=True)
class Commit:
    oid: str
    files: dict[str, Blob]
    title: str
    parent: str | None


@dataclass
class Repo:
    """A repository; as on the Hub it begins with a commit of its own."""

    name: str
    private: bool
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.add(
            "main", {".gitattributes": Blob(b"*.safetensors filter=lfs diff=lfs merge=lfs -text\n", lfs=False)}, ""
        )

    def add(self, branch: str, files: dict[str, Blob], title: str) -> Commit:
        parent = self.branches.get(branch)
        known = json.dumps([self.name, parent, title, sorted((path, blob.oid) for path, blob in files.items())])
        commit = Commit(hashlib.sha1(known.encode()).hexdigest(), files, title, parent)
        self.commits[commit.oid] = commit
        self.branches[branch] = commit.oid
        return commit

    def at(self, revision: str) -> Commit | None:
        return self.commits.get(self.branches.get(revision, revision))


@dataclass
class Fault:
    """What goes wrong with the next requests of a step to a repository.

    Attributes:
        step: ``create``, ``branch``, ``info``, ``yaml``, ``preupload``, ``batch``, ``upload``, ``verify``, ``commit``,
            ``tree``, ``paths``, ``resolve`` or ``content``.
        kind: A status code; ``cut`` (no answer), ``cut-after`` (done, and no answer), ``half`` (half of the content),
            ``corrupt`` (a wrong byte in it), ``moved`` (somebody else commits first).
        times: How often.
        after: How many requests are answered as they should be before.
        headers: Of the answer.
        echo: Whether the answer repeats the token, as a careless proxy would.
    """

    step: str
    kind: int | str
    times: int = 10**6
    headers: dict[str, str] = field(default_factory=dict)
    echo: bool = False
    after: int = 0


class FakeHub:
    """The state of the server, for the tests to look into.

    Attributes:
        repos: By ``owner/name``.
        objects: Large files that were uploaded, by repository and SHA-256.
        tokens: Token -> (user, whether it may write).
        faults: By repository.
        seen: Each request: method, path, user or None.
        created: What each repository was asked for with.
        leaks: Requests to the storage of large files that came with a token.
    """

    def __init__(self) -> None:
        self.repos: dict[str, Repo] = {}
        self.objects: dict[tuple[str, str], bytes] = {}
        self.tokens: dict[str, tuple[str, bool]] = {}
        self.faults: dict[str, list[Fault]] = {}
        self.seen: list[tuple[str, str, str | None]] = []
        self.created: list[dict[str, Any]] = []
        self.leaks: list[str] = []
        self.url = ""
        self.storage = ""
        self.lock = threading.RLock()

    def put(self, repo_id: str, files: dict[str, bytes], *, private: bool = False) -> Commit:
        """Put files into a repository, as if somebody had pushed them."""
        repo = self.repos.setdefault(repo_id, Repo(repo_id, private))
        blobs = {path: Blob(content, lfs=path.endswith((".safetensors", ".bin"))) for path, content in files.items()}
        return repo.add("main", {**repo.commits[repo.branches["main"]].files, **blobs}, "put")

    def files(self, repo_id: str, revision: str = "main") -> dict[str, bytes]:
        """Return what a repository holds, but for the file that each begins with."""
        commit = self.repos[repo_id].at(revision)
        assert commit is not None
        return {path: blob.content for path, blob in commit.files.items() if path != ".gitattributes"}

    def fault(self, repo_id: str, step: str) -> Fault | None:
        for fault in self.faults.get(repo_id, []):
            if fault.step != step or fault.times == 0:
                continue
            if fault.after > 0:
                fault.after -= 1
                continue
            fault.times -= 1
            return fault
        return None

    @contextmanager
    def serve(self) -> Iterator[FakeHub]:
        """Answer on the loopback until the block ends."""
        hub = self

        class Handler(_Handler):
            state = hub

        # Large files lie at another address, as on the Hub: no token may follow there.
        servers = [ThreadingHTTPServer(("127.0.0.1", 0), Handler) for _ in range(2)]
        self.url, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in servers)
        threads = [threading.Thread(target=server.serve_forever, daemon=True) for server in servers]
        for thread in threads:
            thread.start()
        try:
            yield self
        finally:
            for server in servers:
                server.shutdown()
                server.server_close()
            for thread in threads:
                thread.join(timeout=10)


class _Refused(Exception):
    def __init__(self, status: int, message: str, code: str = "", body: Any = None) -> None:
        super().__init__(message)
        self.status, self.message, self.code, self.body = status, message, code, body


class _Cut(Exception):
    """The connection ends here."""


_REPO = r"(?P<repo>[\w.-]+/[\w.-]+)"
_ROUTES = [
    ("POST", r"/api/repos/create", "create"),
    ("POST", r"/api/validate-yaml", "yaml"),
    ("GET", r"/api/whoami-v2", "whoami"),
    ("GET", rf"/api/models/{_REPO}", "info"),
    ("GET", rf"/api/models/{_REPO}/revision/(?P<revision>[^/]+)", "info"),
    ("GET", rf"/api/models/{_REPO}/tree/(?P<revision>[^/]+)", "tree"),
    ("GET", rf"/api/models/{_REPO}/refs", "refs"),
    ("POST", rf"/api/models/{_REPO}/paths-info/(?P<revision>[^/]+)", "paths"),
    ("POST", rf"/api/models/{_REPO}/branch/(?P<revision>[^/]+)", "branch"),
    ("POST", rf"/api/models/{_REPO}/preupload/(?P<revision>[^/]+)", "preupload"),
    ("POST", rf"/api/models/{_REPO}/commit/(?P<revision>[^/]+)", "commit"),
    ("POST", rf"/{_REPO}\.git/info/lfs/objects/batch", "batch"),
    ("PUT", rf"/upload/{_REPO}/(?P<oid>[0-9a-f]+)", "upload"),
    ("POST", rf"/verify/{_REPO}", "verify"),
    ("HEAD", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    ("GET", rf"/{_REPO}/resolve/(?P<revision>[^/]+)/(?P<path>.+)", "resolve"),
    ("GET", rf"/content/{_REPO}/(?P<oid>[0-9a-f]+)", "content"),
]
_WRITES = {"branch", "preupload", "commit", "batch"}


class _Handler(BaseHTTPRequestHandler):
    state: FakeHub
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Stay silent."""

    def do_GET(self) -> None:
        self._answer()

    do_POST = do_PUT = do_HEAD = do_GET

    # --- the frame of every answer ------------------------------------------------------------

    def _answer(self) -> None:
        self.body = self._read()
        self.token = (self.headers.get("authorization") or "").removeprefix("Bearer ")
        self.user, self.may_write = self.state.tokens.get(self.token, (None, False))
        parts = urlsplit(self.path)
        self.query = parse_qs(parts.query)
        self.state.seen.append((self.command, parts.path, self.user))
        if parts.path.startswith(("/upload", "/content")) and self.token:
            self.state.leaks.append(parts.path)
        try:
            with self.state.lock:
                self._route(parts.path)
        except _Cut:
            self.close_connection = True
        except _Refused as refused:
            headers = {"X-Error-Message": refused.message} | ({"X-Error-Code": refused.code} if refused.code else {})
            self._send(refused.status, {"error": refused.message, **(refused.body or {})}, headers)

    def _read(self) -> bytes:
        if self.headers.get("transfer-encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("content-length") or 0))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _route(self, path: str) -> None:
        pages = [(re.fullmatch(pattern, path), step) for method, pattern, step in _ROUTES if method == self.command]
        found, step = next(((page, step) for page, step in pages if page), (None, ""))
        if found is None:
            raise _Refused(404, f"no such page: {path}")
        named = {name: unquote(value) for name, value in found.groupdict().items() if value is not None}
        repo_id = named.pop("repo", None) or self._repo_in_body(step)
        fault = self.state.fault(repo_id, step) if repo_id else None
        if step == "upload" or step == "content":
            named["repo_id"] = repo_id
        elif repo_id and step not in ("create", "yaml"):
            named["repo"] = self._repo(repo_id, write=step in _WRITES)
        self._act(step, named, fault)

    def _repo_in_body(self, step: str) -> str | None:
        if step == "create":
            return "{organization}/{name}".format(**json.loads(self.body))
        if step == "yaml":  # the card names its repository
            found = re.search(r'SentimentLoRA\.load\("([^"]+)"', json.loads(self.body)["content"])
            return found[1] if found else None
        return None

    def _act(self, step: str, named: dict[str, Any], fault: Fault | None) -> None:
        act = getattr(self, f"_{step}")
        if fault is None:
            act(**named)
        elif fault.kind == "cut":
            raise _Cut
        elif fault.kind == "cut-after":
            self._send = lambda *_: None  # type: ignore[method-assign]
            try:
                act(**named)
            finally:
                del self._send
            raise _Cut
        elif fault.kind == "moved":
            repo = named["repo"]
            files = repo.commits[repo.branches["main"]].files
            repo.add("main", {**files, "theirs.txt": Blob(b"of somebody else", lfs=False)}, "theirs")
            act(**named)
        elif isinstance(fault.kind, int):
            words = f"a fault of {step}" + (f"; you sent Bearer {self.token}" if fault.echo else "")
            headers = {"X-Error-Message": words, **fault.headers}
            if fault.kind >= 500:  # a gateway answers with a page, and not with JSON
                self._send(fault.kind, f"<html>{words}</html>".encode(), headers)
            else:
                self._send(fault.kind, {"error": words}, headers)
        else:
            act(**named, fault=fault.kind)

    def _send(self, status: int, body: Any, headers: dict[str, str] | None = None) -> None:
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        if "Content-Length" not in (headers or {}):
            self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    # --- who may do what -----------------------------------------------------------------------

    def _known(self) -> str:
        if self.token and self.user is None:
            raise _Refused(401, "Invalid credentials in Authorization header")
        if self.user is None:
            raise _Refused(401, "Invalid username or password.")
        return self.user

    def _repo(self, repo_id: str, *, write: bool) -> Repo:
        repo = self.state.repos.get(repo_id)
        owner = repo_id.split("/")[0]
        if self.token and self.user is None:
            raise _Refused(401, "Invalid credentials in Authorization header")
        if repo is None or (repo.private and self.user != owner):
            raise _Refused(404 if self.user else 401, "Repository not found", "RepoNotFound")
        if write:
            self._check_writer(owner)
        return repo

    def _check_writer(self, owner: str) -> None:
        if self._known() != owner or not self.may_write:
            raise _Refused(403, f"You don't have the rights to write to {owner!r}")

    def _commit_at(self, repo: Repo, revision: str) -> Commit:
        commit = repo.at(revision)
        if commit is None:
            raise _Refused(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return commit

    # --- the pages -------------------------------------------------------------------------------

    def _whoami(self) -> None:
        self._send(200, {"type": "user", "name": self._known(), "auth": {"accessToken": {"role": "write"}}})

    def _create(self) -> None:
        asked = json.loads(self.body)
        self.state.created.append(asked)
        repo_id = f"{asked['organization']}/{asked['name']}"
        self._known()
        self._check_writer(asked["organization"])
        page = {"url": f"{self.state.url}/{repo_id}", "id": repo_id, "name": repo_id}
        if repo_id in self.state.repos:
            self._send(409, {"error": "You already created this model repo", **page})
            return
        self.state.repos[repo_id] = Repo(repo_id, asked.get("visibility") == "private" or bool(asked.get("private")))
        self._send(200, page)

    def _yaml(self) -> None:
        content = json.loads(self.body)["content"]
        head = re.match(r"---\n(.*?)\n---\n", content, re.DOTALL)
        try:
            data = yaml.safe_load(head[1]) if head else {}
        except yaml.YAMLError as error:
            raise _Refused(400, "Invalid YAML", body={"errors": [{"message": str(error)}]}) from error
        errors = []
        if data.get("license") not in {None, *LICENCES}:
            errors.append({"message": '"license" must be one of the known ones'})
        if not re.fullmatch(r"[\w.-]+(/[\w.-]+)?", data.get("base_model", "none")):
            errors.append({"message": '"base_model" is not valid'})
        results = [result for model in data.get("model-index", []) for result in model["results"]]
        if not all("metrics" in result and "dataset" in result for result in results):
            errors.append({"message": '"model-index" is not valid'})
        if errors:
            raise _Refused(400, errors[0]["message"], body={"errors": errors})
        self._send(200, {"errors": [], "warnings": []})

    def _info(self, repo: Repo, revision: str = "main") -> None:
        commit = self._commit_at(repo, revision)
        siblings = [{"rfilename": path} for path in commit.files]
        page = {"id": repo.name, "modelId": repo.name, "sha": commit.oid, "private": repo.private, "siblings": siblings}
        self._send(200, page)

    def _refs(self, repo: Repo) -> None:
        branches = [
            {"name": name, "ref": f"refs/heads/{name}", "targetCommit": oid} for name, oid in repo.branches.items()
        ]
        self._send(200, {"branches": branches, "tags": [], "converts": []})

    def _tree(self, repo: Repo, revision: str) -> None:
        commit = self._commit_at(repo, revision)
        self._send(200, [blob.info(path) for path, blob in commit.files.items()])

    def _paths(self, repo: Repo, revision: str) -> None:
        files = self._commit_at(repo, revision).files
        form = "application/json" in self.headers.get("content-type", "")
        asked = json.loads(self.body)["paths"] if form else parse_qs(self.body.decode())["paths"]
        self._send(200, [files[path].info(path) for path in asked if path in files])

    def _branch(self, repo: Repo, revision: str) -> None:
        if revision in repo.branches:
            raise _Refused(409, f"Reference already exists: refs/heads/{revision}")
        repo.branches[revision] = repo.branches["main"]
        self._send(201, {})

    def _preupload(self, repo: Repo, revision: str) -> None:
        there = self._commit_at(repo, revision).files
        self._send(
            200,
            {
                "files": [
                    {
                        "path": asked["path"],
                        "uploadMode": "lfs" if asked["path"].endswith((".safetensors", ".bin")) else "regular",
                        "shouldIgnore": False,
                        **({"oid": there[asked["path"]].known_as} if asked["path"] in there else {}),
                    }
                    for asked in json.loads(self.body)["files"]
                ]
            },
        )

    def _batch(self, repo: Repo) -> None:
        objects = []
        for asked in json.loads(self.body)["objects"]:
            found = {"oid": asked["oid"], "size": asked["size"]}
            if (repo.name, asked["oid"]) not in self.state.objects:
                upload = {"href": f"{self.state.storage}/upload/{repo.name}/{asked['oid']}"}
                found["actions"] = {"upload": upload, "verify": {"href": f"{self.state.url}/verify/{repo.name}"}}
            objects.append(found)
        self._send(200, {"transfer": "basic", "objects": objects})

    def _upload(self, repo_id: str, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            raise _Refused(400, "the content is not what was announced")
        self.state.objects[repo_id, oid] = self.body
        self._send(200, b"")

    def _verify(self, repo: Repo) -> None:
        asked = json.loads(self.body)
        if len(self.state.objects.get((repo.name, asked["oid"]), b"")) != asked["size"]:
            raise _Refused(404, "no such object")
        self._send(200, {})

    def _commit(self, repo: Repo, revision: str) -> None:
        lines = [json.loads(line) for line in self.body.splitlines()]
        header = next(line["value"] for line in lines if line["key"] == "header")
        head = self._commit_at(repo, revision)
        if header.get("parentCommit") not in (None, head.oid):
            raise _Refused(412, "A commit has happened since. Please refresh and try again.")
        files = dict(head.files)
        for line in lines:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = Blob(base64.b64decode(value["content"]), lfs=False)
            elif line["key"] == "lfsFile":
                if (repo.name, value["oid"]) not in self.state.objects:
                    raise _Refused(400, f"LFS pointer to an object that was not uploaded: {value['path']}")
                files[value["path"]] = Blob(self.state.objects[repo.name, value["oid"]], lfs=True)
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        commit = repo.add(revision, files, header["summary"])
        page = f"{self.state.url}/{repo.name}/commit/{commit.oid}"
        self._send(200, {"success": True, "commitOid": commit.oid, "commitUrl": page})

    def _resolve(self, repo: Repo, revision: str, path: str, fault: str = "") -> None:
        commit = self._commit_at(repo, revision)
        of_commit = {"X-Repo-Commit": commit.oid}
        if path not in commit.files:
            self._send(
                404,
                {"error": "Entry not found"},
                {"X-Error-Code": "EntryNotFound", "X-Error-Message": "Entry not found", **of_commit},
            )
            return
        blob = commit.files[path]
        if blob.lfs:
            linked = {"X-Linked-Etag": f'"{blob.sha256}"', "X-Linked-Size": str(len(blob.content))}
            place = f"{self.state.storage}/content/{repo.name}/{blob.sha256}"
            self.state.objects[repo.name, blob.sha256] = blob.content
            self._send(302, b"", {"Location": place, **linked, **of_commit})
        else:
            self._send_content(blob.content, {"ETag": f'"{blob.oid}"', **of_commit}, fault)

    def _content(self, repo_id: str, oid: str, fault: str = "") -> None:
        self._send_content(self.state.objects[repo_id, oid], {"ETag": f'"{oid}"'}, fault)

    def _send_content(self, content: bytes, headers: dict[str, str], fault: str) -> None:
        if fault == "corrupt":
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault == "half":
            self._send(200, content[: len(content) // 2], {"Content-Length": str(len(content)), **headers})
            raise _Cut
        self._send(200, content, headers)
