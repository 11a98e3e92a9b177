"""A small Hugging Face Hub for tests: real HTTP, standard library only, repositories in memory.

    with HubServer() as hub:
        ...  # the real client against hub.url with the token HubServer.token
        hub.fail("POST", "/commit/", status=500)  # and with faults

It knows what the client asks for when it creates a repository, pushes a commit (small files in the
commit, others by git LFS), tags, lists and downloads. Xet is not spoken: switch it off in the client.
"""

import base64
import hashlib
import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

LICENSES = ("apache-2.0", "cc-by-nc-4.0", "mit")  # of those that the real Hub knows
LFS_FROM = 2**15  # bytes; the real Hub decides by type and size


@dataclass
class Repo:
    """Commits by id, each a mapping of path to content; branches and tags by name."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    private: bool = False
    gated: bool = False

    def __post_init__(self):
        self.commit("main", {}, "initial commit")

    def commit(self, branch: str, files: dict[str, bytes], message: str) -> str:
        listing = json.dumps([len(self.commits), {path: blob_id(content) for path, content in files.items()}])
        commit = hashlib.sha1(listing.encode()).hexdigest()
        self.commits[commit] = files
        self.messages.append(message)
        self.branches[branch] = commit
        return commit

    def resolve(self, revision: str) -> str | None:
        return (
            self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)
        )

    @property
    def files(self) -> dict[str, bytes]:
        return self.commits[self.branches["main"]]


@dataclass
class Fault:
    """What goes wrong with requests of ``method`` whose path contains ``part``, the next ``times`` times."""

    method: str
    part: str
    status: int | None = None  # answer with this status and error code instead
    code: str = ""
    delay: float = 0  # seconds before the answer
    cut: int | None = None  # send so many bytes of the body, then hang up
    short: int | None = None  # announce and send so many bytes only
    corrupt: bool = False  # flip the last byte
    times: int = 10**9


class HubServer:
    """Runs in a thread while used as a context manager."""

    token = "hf_test_write_token"

    def __init__(self):
        self.repos: dict[tuple[str, str], Repo] = {}
        self.lfs: dict[str, bytes] = {}
        self.faults: list[Fault] = []
        self.requests: list[str] = []
        handler = type("Handler", (Handler,), {"hub": self})
        self.http = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def __enter__(self) -> "HubServer":
        threading.Thread(target=self.http.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_) -> None:
        self.http.shutdown()
        self.http.server_close()

    def fail(self, method: str, part: str, **fault) -> None:
        self.faults.append(Fault(method, part, **fault))

    def repo(self, repo_id: str, repo_type: str = "model") -> Repo:
        return self.repos[repo_type, repo_id]

    def add(self, repo_id: str, files: dict[str, bytes], **options) -> str:
        """Put a repository there without the client; returns its commit."""
        repo = self.repos.setdefault(("model", repo_id), Repo(**options))
        return repo.commit("main", files, "test")

    def fault_for(self, method: str, path: str) -> Fault | None:
        for fault in self.faults:
            if fault.times > 0 and fault.method == method and fault.part in path:
                fault.times -= 1
                return fault
        return None


class Handler(BaseHTTPRequestHandler):
    hub: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        """Quiet: pytest shows what the client says."""

    def handle_any(self) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = unquote(urlsplit(self.path).path)
        self.hub.requests.append(f"{self.command} {path}")
        self.fault = self.hub.fault_for(self.command, path)
        if self.fault:
            time.sleep(self.fault.delay)
            if self.fault.status:
                return self.fail(self.fault.status, self.fault.code, "injected")
        for method, pattern, action in ROUTES:
            if method == self.command.replace("HEAD", "GET") and (match := re.fullmatch(pattern, path)):
                return action(self, **match.groupdict())
        return self.fail(404, "", f"the test server does not know {self.command} {path}")

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = handle_any  # noqa: N815 - the standard library's names

    # answers

    def send(self, content: bytes, status: int = 200, **headers) -> None:
        fault = self.fault or Fault("", "")
        if fault.corrupt:
            content = content[:-1] + bytes([content[-1] ^ 1])
        if fault.short is not None and self.command == "GET":
            content = content[: fault.short]
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        if self.command == "HEAD":
            return
        if fault.cut is not None:
            self.wfile.write(content[: fault.cut])
            self.close_connection = True
            return
        self.wfile.write(content)

    def send_json(self, value: object, status: int = 200) -> None:
        self.send(json.dumps(value).encode(), status, Content_Type="application/json")

    def fail(self, status: int, code: str, message: str) -> None:
        self.fault = None
        self.send(json.dumps({"error": message}).encode(), status, X_Error_Code=code, X_Error_Message=message)

    # who may do what

    @property
    def authorized(self) -> bool:
        return self.headers.get("Authorization") == f"Bearer {self.hub.token}"

    def readable(self, kind: str, repo_id: str, revision: str = "main") -> tuple[Repo, str] | None:
        """The repository and commit, or None after an error has been sent."""
        repo = self.hub.repos.get((kind.removesuffix("s") or "model", repo_id))
        if repo is None or (repo.private and not self.authorized):
            self.fail(404 if self.authorized else 401, "RepoNotFound", "Repository not found")
        elif (commit := repo.resolve(revision)) is None:
            self.fail(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        else:
            return repo, commit
        return None

    def writable(self, kind: str, repo_id: str, revision: str = "main") -> tuple[Repo, str] | None:
        if not self.authorized:
            self.fail(401, "", "Invalid credentials in Authorization header")
            return None
        return self.readable(kind, repo_id, revision)

    # reading

    def info(self, kind: str, repo_id: str, revision: str = "main") -> None:
        if found := self.readable(kind, repo_id, revision):
            repo, commit = found
            siblings = [{"rfilename": path} for path in repo.commits[commit]]
            self.send_json(
                {"id": repo_id, "sha": commit, "private": repo.private, "gated": repo.gated, "siblings": siblings}
            )

    def tree(self, kind: str, repo_id: str, revision: str) -> None:
        if found := self.readable(kind, repo_id, revision):
            repo, commit = found
            self.send_json([tree_entry(path, content) for path, content in repo.commits[commit].items()])

    def refs(self, kind: str, repo_id: str) -> None:
        if found := self.readable(kind, repo_id):
            named = {"branches": ("heads", found[0].branches), "tags": ("tags", found[0].tags)}
            lists = {
                key: [{"name": n, "ref": f"refs/{part}/{n}", "targetCommit": c} for n, c in refs.items()]
                for key, (part, refs) in named.items()
            }
            self.send_json(lists | {"converts": []})

    def resolve(self, kind: str, repo_id: str, revision: str, path: str) -> None:
        if not (found := self.readable(kind or "models", repo_id, revision)):
            return None
        repo, commit = found
        if repo.gated and not self.authorized:
            return self.fail(403, "GatedRepo", "Access to this repository is restricted")
        if (content := repo.commits[commit].get(path)) is None:
            return self.fail(404, "EntryNotFound", "Entry not found")
        headers = {"ETag": f'"{etag(content)}"', "X_Repo_Commit": commit, "Accept_Ranges": "bytes"}
        if start := int((re.match(r"bytes=(\d+)-", self.headers.get("Range", "")) or "00")[1]):
            total = len(content)
            return self.send(content[start:], 206, **headers, Content_Range=f"bytes {start}-{total - 1}/{total}")
        return self.send(content, **headers)

    # writing

    def create(self) -> None:
        about = json.loads(self.body)
        if not self.authorized:
            return self.fail(401, "", "Invalid credentials in Authorization header")
        repo_id = f"{about.get('organization') or 'USER'}/{about['name']}"
        kind = about.get("type") or "model"
        url = {"url": f"{self.hub.url}/{'' if kind == 'model' else 'spaces/'}{repo_id}"}
        if (kind, repo_id) in self.hub.repos:
            return self.send_json(url | {"error": "You already created this repo"}, 409)
        self.hub.repos[kind, repo_id] = Repo(private=about.get("visibility") == "private")
        return self.send_json(url)

    def validate(self) -> None:
        """The header of a README.md; as text for the client's card, as JSON for its commits."""
        stated = re.search("^license: (.*)$", json.loads(self.body)["content"], re.MULTILINE)
        if not stated or stated[1] in LICENSES:
            return self.send_json({"errors": [], "warnings": []})
        message = f'"license" must be one of [{", ".join(LICENSES)}]'
        if self.headers["Accept"] == "text/plain":
            return self.send(message.encode(), 400)
        return self.send_json({"errors": [{"message": message}], "warnings": []}, 400)

    def preupload(self, kind: str, repo_id: str, revision: str) -> None:
        if found := self.writable(kind, repo_id, revision):
            repo, commit = found
            current = repo.commits[commit]
            files = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["size"] > LFS_FROM else "regular",
                    "shouldIgnore": False,
                    "oid": etag(current[file["path"]]) if file["path"] in current else None,
                }
                for file in json.loads(self.body)["files"]
            ]
            self.send_json({"files": files})

    def lfs_batch(self, kind: str, repo_id: str) -> None:
        if self.writable(kind or "models", repo_id):
            objects = [
                {"oid": item["oid"], "size": item["size"]}
                if item["oid"] in self.hub.lfs
                else item | {"actions": {"upload": {"href": f"{self.hub.url}/lfs/{item['oid']}"}}}
                for item in json.loads(self.body)["objects"]
            ]
            self.send_json({"transfer": "basic", "objects": objects})

    def lfs_put(self, oid: str) -> None:
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.fail(400, "", "the content is not what its oid says")
        self.hub.lfs[oid] = self.body
        return self.send(b"")

    def commit(self, kind: str, repo_id: str, revision: str) -> None:
        if not (found := self.writable(kind, repo_id, revision)):
            return
        repo, commit = found
        files, message = dict(repo.commits[commit]), ""
        for line in map(json.loads, self.body.splitlines()):
            value = line["value"]
            match line["key"]:
                case "header":
                    message = value["summary"]
                case "file":
                    files[value["path"]] = base64.b64decode(value["content"])
                case "lfsFile":
                    files[value["path"]] = self.hub.lfs[value["oid"]]
                case "deletedFile":
                    del files[value["path"]]
        commit = repo.commit(revision, files, message)
        self.send_json({"commitOid": commit, "commitUrl": f"{self.hub.url}/{repo_id}/commit/{commit}"})

    def tag(self, kind: str, repo_id: str, revision: str) -> None:
        if found := self.writable(kind, repo_id, revision):
            repo, commit = found
            name = json.loads(self.body)["tag"]
            self.name_commit(repo.tags, name, commit)

    def branch(self, kind: str, repo_id: str, name: str) -> None:
        if found := self.writable(kind, repo_id):
            repo, commit = found
            self.name_commit(repo.branches, name, commit)

    def variable(self, kind: str, repo_id: str) -> None:
        if found := self.writable(kind, repo_id):
            variables, new = found[0].variables, json.loads(self.body)
            variables[new["key"]] = new["value"]
            self.send_json({key: {"value": value} for key, value in variables.items()})

    def name_commit(self, refs: dict[str, str], name: str, commit: str) -> None:
        if name in refs:
            self.fail(409, "", f"{name} exists")
        else:
            refs[name] = commit
            self.send_json({})


def blob_id(content: bytes) -> str:
    """git's id of a file."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def etag(content: bytes) -> str:
    """How the Hub names a content: sha256 for LFS files, git's id for others."""
    return hashlib.sha256(content).hexdigest() if len(content) > LFS_FROM else blob_id(content)


def tree_entry(path: str, content: bytes) -> dict:
    entry = {"type": "file", "path": path, "size": len(content), "oid": blob_id(content)}
    if len(content) > LFS_FROM:
        entry["lfs"] = {"oid": etag(content), "size": len(content), "pointerSize": 134}
    return entry


KIND, REPO, REVISION = r"(?P<kind>models|spaces)", r"(?P<repo_id>[^/]+/[^/]+)", r"(?P<revision>[^/]+)"
PREFIX = r"/(?:(?P<kind>spaces)/)?"
ROUTES = (
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate),
    ("POST", f"/api/{KIND}/{REPO}/preupload/{REVISION}", Handler.preupload),
    ("POST", f"/api/{KIND}/{REPO}/commit/{REVISION}", Handler.commit),
    ("POST", f"/api/{KIND}/{REPO}/tag/{REVISION}", Handler.tag),
    ("POST", f"/api/{KIND}/{REPO}/branch/(?P<name>[^/]+)", Handler.branch),
    ("POST", f"/api/{KIND}/{REPO}/variables", Handler.variable),
    ("POST", rf"{PREFIX}(?P<repo_id>[^/]+/[^/]+)\.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", "/lfs/(?P<oid>[0-9a-f]{64})", Handler.lfs_put),
    ("GET", f"/api/{KIND}/{REPO}", Handler.info),
    ("GET", f"/api/{KIND}/{REPO}/revision/{REVISION}", Handler.info),
    ("GET", f"/api/{KIND}/{REPO}/tree/{REVISION}", Handler.tree),
    ("GET", f"/api/{KIND}/{REPO}/refs", Handler.refs),
    ("GET", f"{PREFIX}{REPO}/resolve/{REVISION}/(?P<path>.+)", Handler.resolve),
)
