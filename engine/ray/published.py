"""What a job shows through the cluster's logs API: its files, and the pipe of its engine."""

import json
import os
import socket
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Tuple

from job import GROWING, Job, Json, sha256

MAX_FILES = 10_000
MAX_DEPTH = 4
MAX_CONNECTIONS = 64
MAX_PIPE_BYTES = 2**26
PUBLISH_SECONDS = 0.5
MESSAGE_SECONDS = 0.2
FINISH_SECONDS = 5
#: A file that was written more recently may be incomplete: it is not hashed yet.
SETTLED_SECONDS = 1


def key_value_store() -> Any:
    """The cluster's key-value store."""
    import ray._raylet

    # its compiled part has no types
    raylet: Any = ray._raylet
    return raylet.GcsClient(address=os.environ["RAY_ADDRESS"])


class Publisher(threading.Thread):
    """Keeps files.json, the list of the run folder, up to date."""

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.ended = threading.Event()
        self.settled = 0.0
        self.hashes: Dict[str, Tuple[str, str]] = {}
        self.last = ""
        job.published.mkdir(parents=True, exist_ok=True)
        link = job.published / "run"
        if not link.is_symlink():
            link.symlink_to(job.run, target_is_directory=True)

    def run(self) -> None:
        while not self.ended.wait(PUBLISH_SECONDS):
            self.publish()

    def finish(self) -> None:
        """Publishes the last state."""
        self.ended.set()
        self.join()
        self.publish(is_last=True)

    def publish(self, is_last: bool = False) -> None:
        """Writes the list if it has changed."""
        self.settled = time.time() - (0 if is_last else SETTLED_SECONDS)
        files: List[Json] = []
        self.collect(self.job.run, "", 1, files)
        text = json.dumps({"files": files[:MAX_FILES]})
        if text == self.last:
            return
        self.last = text
        target = self.job.published / "files.json"
        part = target.with_suffix(".part")
        part.write_text(text, encoding="utf-8")
        part.replace(target)

    def collect(self, folder: Path, prefix: str, depth: int, files: List[Json]) -> None:
        """Adds the regular files of a folder; files may vanish meanwhile."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            return
        for entry in entries:
            path = prefix + entry.name
            try:
                if entry.is_dir(follow_symlinks=False) and depth < MAX_DEPTH:
                    self.collect(Path(entry.path), path + "/", depth + 1, files)
                elif entry.is_file(follow_symlinks=False):
                    files.append(self.describe(path, Path(entry.path), entry.stat()))
            except OSError:
                continue

    def describe(self, path: str, file: Path, info: os.stat_result) -> Json:
        """A file's entry in the list."""
        if path.endswith(GROWING):
            return {"path": path, "size": info.st_size, "version": str(info.st_ino), "sha256": None}
        version = f"{info.st_ino}-{info.st_mtime_ns}"
        known, digest = self.hashes.get(path, ("", None))
        if known != version:
            digest = sha256(file) if info.st_mtime <= self.settled else None
            if digest is not None:
                self.hashes[path] = (version, digest)
        return {"path": path, "size": info.st_size, "version": version, "sha256": digest}


class Connection:
    """A connection to the engine's pipe. What the engine says is appended to a file in frames."""

    def __init__(self, job: Job, file: Path) -> None:
        self.file = file
        self.out = open(file, "ab", buffering=0)
        self.socket = socket.socket(socket.AF_UNIX)
        try:
            engine = json.loads((job.run / "engine.json").read_text(encoding="utf-8"))
            self.socket.connect(engine["pipe"])
        except (OSError, ValueError, KeyError):
            self.end()
            raise
        self.out.write(b"+\n")
        self.receiver = threading.Thread(target=self.receive, daemon=True)
        self.receiver.start()

    def receive(self) -> None:
        """Copies until the engine ends the connection."""
        try:
            while data := self.socket.recv(2**16):
                self.out.write(b"%d\n" % len(data) + data)
                if self.out.tell() > MAX_PIPE_BYTES:
                    break
        except OSError:
            pass
        self.end()

    def end(self) -> None:
        """Tells the client that nothing follows."""
        self.socket.close()
        self.out.write(b"-\n")
        self.out.close()

    def finish(self) -> None:
        """The engine has ended: waits until all that it said is in the file."""
        self.receiver.join(FINISH_SECONDS)

    def close(self) -> None:
        """The client has left."""
        self.file.unlink(missing_ok=True)
        self.socket.shutdown(socket.SHUT_RDWR)


class Messages(threading.Thread):
    """Takes what clients write to the engine's pipe from the cluster's key-value store."""

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.job = job
        self.prefix = f"gcs://{job.submission}-pipe-".encode()
        self.connections: Dict[str, Connection] = {}

    def run(self) -> None:
        client = key_value_store()
        while True:
            time.sleep(MESSAGE_SECONDS)
            try:
                for key in sorted(client.internal_kv_keys(self.prefix, None)):
                    data = client.internal_kv_get(key, None)
                    client.internal_kv_del(key, False, None)
                    self.deliver(key[len(self.prefix) :].decode(), data or b"")
            except Exception as error:  # the head may be restarting
                print(f"The key-value store cannot be read: {error}", flush=True)
                time.sleep(5)

    def deliver(self, name: str, data: bytes) -> None:
        """Passes a message to its connection; the first opens it, and an empty one ends it."""
        identity, number = name.split("-", 1)
        # every message begins with one byte more, since the store keeps no empty values
        content = data[1:]
        try:
            if number == "000000":
                self.open(identity)
            elif identity in self.connections and content:
                self.connections[identity].socket.sendall(content)
            elif identity in self.connections:
                self.connections.pop(identity).close()
        except (OSError, ValueError, KeyError):
            self.connections.pop(identity, None)

    def open(self, identity: str) -> None:
        """Connects a client to the engine."""
        if identity.isalnum() and len(self.connections) < MAX_CONNECTIONS:
            file = self.job.published / f"pipe-{identity}"
            self.connections[identity] = Connection(self.job, file)
