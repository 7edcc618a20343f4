"""What a run goes on from when its node is lost: kept by the cluster, or in a bucket."""

import io
import json
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Dict, List, Optional, Tuple

from job import GROWING, Job, Refusal, write_record
from published import key_value_store

Version = Tuple[int, int]

#: The head keeps the last checkpoint of a run without a storage in its memory.
MAX_KEPT_BYTES = 2**26
KEEP_SECONDS = 1
#: How long the last files may take to reach the bucket.
FINISH_SECONDS = 1800


def adopt(run: Path, before: str, after: str) -> None:
    """Makes the record that of this job: its files are below another root."""
    file = run / "run.json"
    old, new = (json.dumps(path, ensure_ascii=False)[1:-1] for path in (before, after))
    write_record(file, json.loads(file.read_text(encoding="utf-8").replace(old, new)))


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
        adopt(self.run_folder, root, str(self.root))

    def forget(self) -> None:
        """The run is complete."""
        try:
            self.store.internal_kv_del(self.key, False, self.NAMESPACE)
        except Exception as error:  # the head may be restarting
            print(f"The kept checkpoint was not removed: {error}", flush=True)


def versions(parts: List[Path]) -> Dict[str, Version]:
    """What changes with the content of files, except for what only grows."""
    files = (file for part in parts for file in (part.rglob("*") if part.is_dir() else [part]))
    return {
        str(file): (file.stat().st_ino, file.stat().st_mtime_ns)
        for file in files
        if not file.name.endswith(GROWING)
    }


class BucketKeeper:
    """Keeps a run in a bucket, by a program of the engine that ends with this one."""

    def __init__(self, job: Job, node: str) -> None:
        self.job = job
        self.program = [node, str(job.items / job.data["engine"] / "storage.js")]
        self.attempt = 0
        self.process: Optional["subprocess.Popen[bytes]"] = None

    def command(self, **task: object) -> List[str]:
        """The program with what it has to do. The key of the bucket is in the environment."""
        job = self.job
        common = {"bucket": job.bucket, "job": job.data["job"], "run": str(job.run)}
        return [*self.program, json.dumps({**common, **task})]

    def restore(self) -> None:
        """Brings what an earlier job has kept; refuses a bucket that cannot be used."""
        command = self.command(mode="restore", resume=self.job.data["resume"])
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        said = done.stdout.decode(errors="replace").strip()
        if done.returncode != 0:
            raise Refusal(said.rpartition("\n")[2] or "The bucket cannot be used on this node.")
        found = json.loads(said)
        self.attempt = found["attempt"]
        if found["root"] is not None and (self.job.run / "run.json").is_file():
            adopt(self.job.run, found["root"], str(self.job.root))

    def start(self) -> None:
        """Keeps the run from now on."""
        command = self.command(mode="keep", root=str(self.job.root), attempt=self.attempt)
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE)

    def finish(self, is_complete: bool) -> None:
        """The engine has ended: waits until all that it wrote is in the bucket."""
        if self.process is None or self.process.stdin is None:
            return
        self.process.stdin.close()
        try:
            self.process.wait(FINISH_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            print("The bucket has not taken the last files of the run.", flush=True)
