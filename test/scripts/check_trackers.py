"""Trains a recipe that reports to TensorBoard, MLflow and Trackio, and reads what they have got.

python test/scripts/check_trackers.py RECIPE.json (needs tensorboard, mlflow and trackio; the
recipe's report_to names all three). Their servers listen on this machine, in a temporary folder.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).parent.parent.parent
PORT = 5987
SCRATCH = pathlib.Path(tempfile.mkdtemp(prefix="lora-trackers-"))
os.environ["TRACKIO_DIR"] = str(SCRATCH / "trackio")
os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"

import trackio  # noqa: E402  (it reads its folder when it is imported)
from mlflow.tracking import MlflowClient  # noqa: E402


def wait_for(url):
    for _ in range(240):
        try:
            return urllib.request.urlopen(url, timeout=2).read()
        except OSError:
            time.sleep(0.5)
    raise SystemExit(f"{url} does not answer")


mlflow = subprocess.Popen(
    [
        *[sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(PORT)],
        *["--backend-store-uri", f"sqlite:///{SCRATCH}/mlflow.db", "--workers", "1"],
    ],
    stdout=subprocess.DEVNULL,
    stderr=subprocess.DEVNULL,
)
try:
    wait_for(f"http://127.0.0.1:{PORT}/health")
    shown = trackio.show(block_thread=False, open_browser=False)
    address = next(str(part) for part in shown if str(part).startswith("http") and "write_token" in str(part))
    run_dir = SCRATCH / "run"
    environment = {
        **os.environ,
        "MLFLOW_TRACKING_URI": f"http://127.0.0.1:{PORT}",
        "TRACKIO_SERVER_URL": address,
    }
    cli = ["node", str(ROOT / "dist" / "cli.js"), "train"]
    training = subprocess.run(
        [*cli, sys.argv[1], "--run-dir", str(run_dir)], env=environment, capture_output=True, text=True
    )
    print(training.stderr)
    lines = [json.loads(line) for line in (run_dir / "metrics.jsonl").read_text().splitlines()]
    losses = [line["loss"] for line in lines if line["kind"] == "step"]

    client = MlflowClient(f"http://127.0.0.1:{PORT}")
    run_id = json.loads((run_dir / "mlflow.json").read_text())["run_id"]
    run = client.get_run(run_id)
    history = client.get_metric_history(run_id, "train/loss")
    print("mlflow:", run.info.status, len(run.data.params), "params", sorted(run.data.metrics))
    assert run.info.status == "FINISHED"
    assert [metric.value for metric in sorted(history, key=lambda own: own.step)] == losses

    api = trackio.Api()
    (logged,) = list(api.runs("lora"))
    print("trackio:", logged)
    from trackio.sqlite_storage import SQLiteStorage

    rows = SQLiteStorage.get_logs("lora", logged.name)
    steps = [row["train/loss"] for row in rows if "train/loss" in row]
    assert steps == losses, (steps, losses)

    events = subprocess.run(
        [sys.executable, str(ROOT / "test/scripts/check_tensorboard.py"), str(run_dir / "tensorboard")],
        capture_output=True,
        text=True,
        check=True,
    )
    scalars = json.loads(events.stdout)["scalars"]
    print("tensorboard:", sorted(scalars))
    assert all(abs(a[1] - b) < 1e-6 for a, b in zip(scalars["train/loss"], losses, strict=True))
finally:
    mlflow.terminate()
print("as trained")
os._exit(0)
