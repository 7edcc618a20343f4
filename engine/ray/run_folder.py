"""The folder of a run, in the format of LoRA Workbench's own engine."""

from __future__ import annotations

import json
import os
import shutil
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

Json = dict[str, Any]
#: What workers are asked to do, as bits.
STOP, PAUSE, SAVE = 1, 2, 4


class RunFolder:
    """Used as an actor: it stays on one machine and outlives the workers that call it."""

    def __init__(self, path: str, record: Json) -> None:
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)
        known = self.path / "run.json"
        self.record: Json = json.loads(known.read_bytes()) if known.exists() else record
        self.metrics = (self.path / "metrics.jsonl").open("a+b")
        self.metrics.seek(0)
        self.metrics.truncate(self.metrics.read().rfind(b"\n") + 1)  # an incomplete last line
        self.orders = self.saves = 0
        self.seconds_left: float | None = None
        self.update(state="preparing", ended=None, error=None)

    def order(self, name: str) -> Json:
        """Notes what the workers are to do after the step that they compute."""
        self.orders |= {"stop": STOP, "pause": PAUSE}.get(name, 0)
        if name == "resume":
            self.orders &= ~PAUSE
        return self.status()

    def wanted(self) -> int:
        return self.orders

    def ask_to_save(self) -> int:
        """Returns the number of checkpoints until now."""
        self.orders |= SAVE
        return self.saves

    def saved_since(self, number: int) -> str | None:
        """The last checkpoint, if it was saved after so many others."""
        newest = self._checkpoints()[:1]
        return f"checkpoints/{newest[0].name}" if self.saves > number and newest else None

    def status(self) -> Json:
        """The answer to a client of the run's pipe."""
        facts = {name: self.record[name] for name in ("state", "total_steps", "error")}
        steps = self.record["result"]["steps"]
        return facts | {"step": steps, "seconds_left": self.seconds_left, "device_memory": None}

    def append(self, line: Json, result: Json) -> int:
        """Adds a line of metrics. Returns what the workers are to do."""
        text = json.dumps(line, separators=(",", ":"), allow_nan=False, ensure_ascii=False)
        self.metrics.write(text.encode() + b"\n")
        self.metrics.flush()
        self.record["result"].update(result)
        if line["kind"] == "step":
            left = self.record["total_steps"] - line["step"]
            self.seconds_left = line["elapsed"] / line["step"] * left
        else:
            self.update()
        return self.orders

    def update(self, **changes: Any) -> None:
        self.record.update(changes)
        if changes.get("state") == "running":
            self.record["started"] = self.record["started"] or now()
        temp = self.path / ".run.json.tmp"
        temp.write_text(json.dumps(self.record, indent=2, allow_nan=False), encoding="utf-8")
        temp.replace(self.path / "run.json")

    def end(self, state: str, error: str | None = None) -> None:
        failure = None if error is None else {"area": "run", "message": error}
        self.update(state=state, ended=now(), error=failure)

    def state(self) -> str:
        return str(self.record["state"])

    def write(self, name: str, files: dict[str, bytes], result: Json, keep: int = 0) -> None:
        """Writes a folder, completely or not at all. keep: how many checkpoints remain."""
        folder = self.path / name
        new, old = (folder.with_name(f".{folder.name}.{kind}.tmp") for kind in ("new", "old"))
        for temp in (new, old):
            shutil.rmtree(temp, ignore_errors=True)
        new.mkdir(parents=True)
        for file, data in files.items():
            with (new / file).open("wb") as stream:
                stream.write(data)
                os.fsync(stream.fileno())
        if folder.exists():
            folder.rename(old)
        new.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
        for checkpoint in self._checkpoints()[keep:] if keep else []:
            shutil.rmtree(checkpoint)
        if keep:
            self.saves += 1
            self.orders &= ~SAVE
        self.record["result"].update(result)
        self.update()

    def started(self) -> tuple[bool, dict[str, bytes]]:
        """Whether there are metrics already, and the files of the last checkpoint."""
        files = [file for folder in self._checkpoints()[:1] for file in folder.iterdir()]
        return self.metrics.tell() > 0, {file.name: file.read_bytes() for file in files}

    def _checkpoints(self) -> list[Path]:
        """The newest first."""
        folders = self.path.glob("checkpoints/step-*")
        return sorted(folders, key=lambda folder: -int(folder.name[5:]))


def now() -> str:
    time = datetime.now(timezone.utc).isoformat(timespec="milliseconds")
    return time.replace("+00:00", "Z")
