"""Trains a prepared plan with PyTorch, transformers and PEFT on the workers of Ray Train.

    python train.py PLAN --sha256 HASH --base MODEL --run-dir RUN --workers 2

PLAN is a folder that `lora prepare` wrote, HASH the SHA-256 of its plan.json, and MODEL the folder
of its base; both are at these paths on every machine. RUN becomes the folder of the run, on the
machine where this program runs. An interrupted run continues from its last checkpoint.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import logging
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

import ray.train.torch
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import prepared
import run_folder
import worker
from control import Control


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("--sha256", required=True, help="of plan.json")
    parser.add_argument("--base", required=True, help="folder of the base model")
    parser.add_argument("--run-dir", required=True, type=Path)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--gpu", action="store_true", help="one GPU for each worker")
    parser.add_argument("--strategy", choices=["ddp", "fsdp"], default="ddp")
    parser.add_argument("--retries", type=int, default=3, help="how often workers are replaced")
    return parser.parse_args()


def main() -> int:
    given = options()
    text = (given.plan / "plan.json").read_bytes()
    if hashlib.sha256(text).hexdigest() != given.sha256:
        print(f"{given.plan / 'plan.json'} is not the plan that was prepared.", file=sys.stderr)
        return 2
    plan = json.loads(text)
    for module in (prepared, run_folder, worker):
        ray.cloudpickle.register_pickle_by_value(module)
    ray.init(logging_level=logging.WARNING)
    here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
    actor = ray.remote(num_cpus=0)(run_folder.RunFolder).options(scheduling_strategy=here)
    folder: Any = actor.remote(str(given.run_dir), plan["run"])
    ray.get(folder.state.remote())
    signal.signal(signal.SIGTERM, lambda *_: folder.order.remote("stop"))
    config = {"plan": plan, "run_folder": folder, "plan_folder": str(given.plan)}
    config |= {"base": given.base, "strategy": given.strategy}
    control = Control(folder, given.run_dir)
    with tempfile.TemporaryDirectory() as scratch:
        trainer = ray.train.torch.TorchTrainer(
            worker.work,
            train_loop_config=config,
            scaling_config=ray.train.ScalingConfig(num_workers=given.workers, use_gpu=given.gpu),
            run_config=ray.train.RunConfig(
                storage_path=scratch,
                failure_config=ray.train.FailureConfig(max_failures=given.retries),
            ),
        )
        try:
            trainer.fit()
        except Exception as error:  # Ray's, or of any library in a worker
            ray.get(folder.end.remote("failed", f"{type(error).__name__}: {error}"))
        finally:
            control.close()
    state = str(ray.get(folder.state.remote()))
    print(f"{given.run_dir}: {state}")
    exit_codes = {"completed": 0, "stopped": 130}
    return exit_codes.get(state, 1)


if __name__ == "__main__":
    sys.exit(main())
