"""A job of LoRA Workbench on a node of Ray: where its files are, and the items that it needs."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any, Dict, Iterator, Optional, Union

Json = Dict[str, Any]

#: They grow while they are read, so they are neither hashed nor replaced.
GROWING = (".jsonl", ".log")


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
        #: A folder that all nodes see, a bucket, or nothing.
        storage: Union[str, Json, None] = self.data["storage"]
        self.bucket: Optional[Json] = storage if isinstance(storage, dict) else None
        self.is_stored = isinstance(storage, str)
        own = session / "lora-workbench" / self.submission
        self.root = Path(storage) if isinstance(storage, str) else own
        self.items = self.root / "items"
        self.folder = self.root / "jobs" / self.data["job"]
        self.run = self.folder / "run"
        self.used = self.folder / "items.json"
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
        # what was used lately is not removed
        os.utime(final)
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


@contextlib.contextmanager
def locked(items: Path) -> Iterator[None]:
    """Keeps others from writing items, where the file system can."""
    with open(items / ".lock", "w", encoding="ascii") as lock:
        with contextlib.suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def place_all(job: Job) -> None:
    """Puts what was sent into its places."""
    sent = packages()
    with locked(job.items):
        for item in job.data["items"]:
            place_item(job.items, item, sent)


def place_items() -> Path:
    """Puts what was sent on this node, for a worker of Ray Train. Gives the folder of the items."""
    job = Job()
    make_writable(job)
    place_all(job)
    return job.items


def sha256(file: Path) -> str:
    """The hash of a file's content."""
    total = hashlib.sha256()
    with open(file, "rb") as data:
        while chunk := data.read(2**20):
            total.update(chunk)
    return total.hexdigest()


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


def note_items(job: Job) -> None:
    """Notes which items the job uses, so that they are not removed."""
    part = job.used.with_suffix(".part")
    part.write_text(json.dumps([item["id"] for item in job.data["items"]]), encoding="utf-8")
    part.replace(job.used)
