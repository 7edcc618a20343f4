"""Answers at a pipe, as the pipe of LoRA Workbench's own engine does, while Ray Train trains.

The protocol is that of src/shared/engineProtocol.ts: JSON-RPC 2.0, each message after a header with
its length.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
import threading
from pathlib import Path
from typing import Any, BinaryIO

import ray

from run_folder import Json, now

BEAT_SECONDS = 2
POLL_SECONDS = 0.2
MAX_MESSAGE_BYTES = 2**20


class RefusedRequestError(Exception):
    """Why a request is not answered, in a sentence."""


class Control:
    """A pipe, and engine.json, which names it, as long as the run is trained."""

    def __init__(self, folder: Any, run_dir: Path) -> None:
        self.folder = folder
        self.file = run_dir / "engine.json"
        self.started = now()
        self.place = Path(tempfile.mkdtemp(prefix="lora-"))
        self.server = socket.socket(socket.AF_UNIX)
        self.server.bind(str(self.place / "pipe"))
        self.server.listen()
        self.ended = threading.Event()
        self._write()
        for work in (self._accept, self._beat):
            threading.Thread(target=work, daemon=True).start()

    def close(self) -> None:
        self.ended.set()
        self.server.close()
        self.file.unlink(missing_ok=True)
        shutil.rmtree(self.place, ignore_errors=True)

    def _beat(self) -> None:
        while not self.ended.wait(BEAT_SECONDS):
            self._write()

    def _write(self) -> None:
        temp = self.file.with_name(".engine.json.tmp")
        record = {"pid": os.getpid(), "started": self.started, "pipe": str(self.place / "pipe")}
        temp.write_text(json.dumps(record | {"heartbeat": now()}), encoding="utf-8")
        temp.replace(self.file)

    def _accept(self) -> None:
        while not self.ended.is_set():
            try:
                client, _ = self.server.accept()
            except OSError:  # closed
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        lock = threading.Lock()
        try:
            with client, client.makefile("rb") as messages:
                while (message := read_message(messages)) is not None:
                    # one that waits for a step does not keep the others
                    arguments = (client, lock, message)
                    threading.Thread(target=self._reply, args=arguments, daemon=True).start()
        except (OSError, ValueError, KeyError):
            pass  # the client has left, or is none

    def _reply(self, client: socket.socket, lock: threading.Lock, message: Json) -> None:
        if "id" not in message:
            return
        try:
            reply: Json = {"result": self._answer(str(message.get("method")))}
        except RefusedRequestError as refusal:
            error = {"area": "engine", "message": str(refusal)}
            reply = {"error": {"code": -32000, "message": str(refusal), "data": error}}
        body = json.dumps({"jsonrpc": "2.0", "id": message["id"], **reply}).encode()
        try:
            with lock:
                client.sendall(b"Content-Length: %d\r\n\r\n" % len(body) + body)
        except OSError:
            pass  # the client has left

    def _answer(self, method: str) -> Any:
        if method in ("status", "stop_when_alone"):
            return ray.get(self.folder.status.remote())
        if method in ("pause", "resume", "stop"):
            return ray.get(self.folder.order.remote(method))
        if method == "checkpoint":
            return self._save()
        raise RefusedRequestError("Ray Train answers no prompts while it trains.")

    def _save(self) -> Json:
        number = ray.get(self.folder.ask_to_save.remote())
        while (saved := ray.get(self.folder.saved_since.remote(number))) is None:
            if self.ended.wait(POLL_SECONDS):
                raise RefusedRequestError("The run ended before a checkpoint was saved.")
        return {"path": saved}


def read_message(stream: BinaryIO) -> Json | None:
    """The next message; None: the end."""
    length = None
    while (line := stream.readline(1024)) not in (b"\r\n", b""):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if line == b"":
        return None
    if length is None or not 0 <= length <= MAX_MESSAGE_BYTES:
        raise ValueError("This is no message.")
    message: Json = json.loads(stream.read(length))
    return message
