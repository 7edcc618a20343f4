"""The training of one worker."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import ray.train.torch
import safetensors
import torch
import torch.distributed as dist
from safetensors.torch import load, save

from prepared import (
    NO_LABEL,
    Examples,
    Json,
    RefusedError,
    bring_files,
    check_files,
    distributed,
    like,
    load_model,
    model_card,
    model_facts,
    parameter_names,
    refuse_together,
    resident_memory,
    summed_loss,
    synchronize,
    whole,
)
from run_folder import PAUSE, SAVE, STOP

PAUSE_SECONDS = 0.2
MOMENTS = ("exp_avg", "exp_avg_sq")
OF_LIBRARIES = (AttributeError, KeyError, OSError, RuntimeError, TypeError, ValueError)


class Training:
    """One worker. All workers call each method at the same time."""

    def __init__(self, config: Json) -> None:
        self.plan: Json = config["plan"]
        self.run_folder: Any = config["run_folder"]
        self.settings: Json = self.plan["run"]["recipe"]["training"]
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.device = ray.train.torch.get_device()
        # what the first worker has heard, and what all know and obey
        self.heard = self.orders = 0
        # state.json of a checkpoint
        self.state: Json = {"version": 1, "step": 0, "elapsed": 0.0, "best": None, "pending": []}
        self.state.update(last_loss=None, last_evaluation=None)
        problem = None
        try:
            self._load(Path(config["plan_folder"]), Path(config["base"]), config["strategy"])
        except RefusedError as refusal:
            problem = str(refusal)
        except OF_LIBRARIES as error:
            problem = f"The training cannot be set up. {type(error).__name__}: {error}"
        refuse_together(problem)

    def _load(self, folder: Path, base: Path, strategy: str) -> None:
        folder, base = bring_files(folder, base)
        check_files(folder, self.plan["files"])
        check_files(base, self.plan["base"])
        file = safetensors.safe_open(folder / "examples.safetensors", "pt")
        self.train = Examples(file, "train", self.plan["pad_id"])
        self.validation = Examples(file, "validation", self.plan["pad_id"])
        self.rows = file.get_slice("steps.rows")
        self.steps: list[int] = file.get_tensor("steps.offsets").tolist()
        self.rates: list[float] = file.get_tensor("steps.learning_rate").tolist()
        start = folder / "start"
        self.texts = {name: (start / name).read_bytes() for name in self.plan["texts"]}
        self.model = load_model(base, start, self.settings, self.device)
        names = parameter_names(self.model, self.plan["parameters"])
        self.forward = distributed(self.model, strategy, self.world)
        by_name = dict(self.model.named_parameters())
        self.parameters = {name: by_name[own] for name, own in names.items()}
        ratios = {entry["name"]: entry["lr_ratio"] for entry in self.plan["parameters"]}
        groups = [{"params": [p], "ratio": ratios[name]} for name, p in self.parameters.items()]
        self.optimizer = torch.optim.AdamW(groups, weight_decay=self.settings["weight_decay"])

    def run(self) -> None:
        was_started, checkpoint = ray.get(self.run_folder.started.remote())
        if checkpoint:
            self._restore(checkpoint)
        facts = model_facts(self.model, self.device, self.world)
        facts["versions"] = self.plan["run"]["versions"] | facts["versions"]
        self._call("update", state="running", **facts)
        step, total = self.state["step"], self.plan["run"]["total_steps"]
        if was_started:
            self._report({"kind": "resume", "step": step})
        if step == 0:
            self._report(self.plan["first_batch"])
            self._evaluate(0)
        while step < total and not self.orders & STOP:
            step += 1
            self._take_step(step)
            if step == total or step % self.settings["eval_steps"] == 0:
                self._evaluate(step)
            is_asked = self.orders & (STOP | SAVE) != 0
            if step == total or is_asked or step % self.settings["save_steps"] == 0:
                self._save(step)
            if step < total and self.orders & PAUSE:
                self._pause(step)
        if step > 0:
            self._call("write", "adapter", self._adapter(), {"adapter": "adapter"})
        self._call("end", "completed" if step == total else "stopped")

    def _pause(self, step: int) -> None:
        self._call("update", state="paused")
        while self.orders & PAUSE and not self.orders & STOP:
            time.sleep(PAUSE_SECONDS)
            wanted = torch.tensor([float(self._call("wanted") or 0)], device=self.device)
            dist.all_reduce(wanted)
            self.orders = int(wanted)
            if self.orders & (STOP | SAVE):
                self._save(step)
        self.heard = 0
        self._call("update", state="running")

    def _take_step(self, step: int) -> None:
        started = time.perf_counter()
        rate = self.rates[step - 1]
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["ratio"]
        rows = self.rows[self.steps[step - 1] : self.steps[step]].tolist()
        loss, labelled, tokens = self._totals(self.train, rows, step)
        for parameter in self.parameters.values():
            if parameter.grad is not None:  # the mean over workers of sums over labels
                parameter.grad.mul_(self.world / labelled)
        limit = self.settings["max_grad_norm"] or math.inf
        norm = float(whole(torch.nn.utils.clip_grad_norm_(self.parameters.values(), limit)))
        if not math.isfinite(norm):
            raise RefusedError(f"The training diverged in step {step}: the gradient became {norm}.")
        self.optimizer.step()
        self.optimizer.zero_grad()
        seconds = time.perf_counter() - started
        elapsed = self.state["elapsed"] + seconds
        self.state.update(step=step, elapsed=elapsed, last_loss=loss)
        numbers = {"epoch": step / self.plan["steps_per_epoch"], "loss": loss, "grad_norm": norm}
        numbers |= {"learning_rate": rate, "tokens": tokens, "labelled_tokens": labelled}
        numbers |= {"tokens_per_second": tokens / seconds, "memory": resident_memory()}
        line = {"kind": "step", "step": step, **numbers, "elapsed": elapsed}
        self._report(line, {"steps": step, "last_loss": loss})

    def _totals(self, examples: Examples, rows: list[int], step: int) -> tuple[float, int, int]:
        """Mean loss, labels and tokens of rows. step: accumulate gradients; 0: do not."""
        size, own = self.settings["per_device_train_batch_size"], rows[self.rank :: self.world]
        sums = torch.zeros(4, dtype=torch.float64)
        passes = math.ceil(math.ceil(len(rows) / self.world) / size)
        self.forward.train(step > 0)
        forward = self.forward if step > 0 else self.model
        for i in range(passes):
            part = own[i * size : (i + 1) * size]
            batch = examples.batch(part or rows[:1])
            if not part:  # a worker without a row takes part all the same
                batch["labels"].fill_(NO_LABEL)
            if step > 0:
                synchronize(self.forward, i + 1 == passes)
                torch.manual_seed(hash((self.settings["seed"], step, i, self.rank)))
            with torch.set_grad_enabled(step > 0):
                loss, labelled = summed_loss(forward, batch, self.device)
                if step > 0:
                    loss.backward()
            sums += torch.tensor([loss.item(), labelled, examples.tokens(part), 0.0])
        sums[3] = self.heard
        sums = sums.to(self.device)
        dist.all_reduce(sums)
        loss_sum, labels, tokens, orders = sums.tolist()
        self.orders = int(orders)
        if not math.isfinite(loss_sum):
            raise RefusedError(f"The training diverged: the loss became {loss_sum}.")
        return loss_sum / labels, int(labels), int(tokens)

    def _evaluate(self, step: int) -> None:
        if len(self.validation) == 0:
            return
        loss, labelled, _ = self._totals(self.validation, list(range(len(self.validation))), 0)
        self.state["last_evaluation"] = {"step": step, "loss": loss}
        result = {"last_validation_loss": loss, "last_validation_step": step}
        result |= {"first_validation_loss": loss} if step == 0 else {}
        line = {"kind": "eval", "step": step, "loss": loss, "labelled_tokens": labelled}
        scores = {"perplexity": math.exp(min(loss, 700))}
        self._report(line | {"scores": scores, "elapsed": self.state["elapsed"]}, result)
        best = self.state["best"]
        if step > 0 and (best is None or loss < best["loss"]):
            self.state["best"] = {"step": step, "loss": loss}
            result = {"best_validation_loss": loss, "best_step": step}
            self._call("write", "best", self._adapter(), result)

    def _adapter(self) -> dict[str, bytes]:
        weights = {name: whole(parameter) for name, parameter in self.parameters.items()}
        for name, weight in weights.items():
            if not bool(weight.isfinite().all()):
                raise RefusedError(f"The training diverged: {name} is no longer finite.")
        card = {"README.md": model_card(self.texts["README.md"], self.state)}
        return self.texts | card | {"adapter_model.safetensors": save(weights, {"format": "pt"})}

    def _save(self, step: int) -> None:
        states = [self.optimizer.state[parameter] for parameter in self.parameters.values()]
        moments = {m: torch.cat([whole(s[m]).flatten() for s in states]) for m in MOMENTS}
        files = self._adapter() | {
            "optimizer.safetensors": save(moments, {"step": str(step)}),
            "state.json": json.dumps(self.state, indent=2).encode(),
        }
        name = f"checkpoints/step-{step}"
        self._call("write", name, files, {}, self.settings["save_total_limit"])
        self._report({"kind": "checkpoint", "step": step, "path": name})

    def _restore(self, files: dict[str, bytes]) -> None:
        self.state = json.loads(files["state.json"])
        weights = load(files["adapter_model.safetensors"])
        moments = load(files["optimizer.safetensors"])
        start = 0
        for name, parameter in self.parameters.items():
            end = start + parameter.numel()
            with torch.no_grad():
                parameter.copy_(like(parameter, weights[name]))
            shaped = {m: moments[m][start:end].view(parameter.shape) for m in MOMENTS}
            own = {m: like(parameter, value) for m, value in shaped.items()}
            step = torch.tensor(float(self.state["step"]))
            self.optimizer.state[parameter] = {"step": step, **own}
            start = end

    def _report(self, line: Json, result: Json | None = None) -> None:
        self.heard = int(self._call("append", line, result or {}) or 0)

    def _call(self, method: str, *args: Any, **named: Any) -> Any:
        """Only the first worker writes into the run's folder."""
        if self.rank != 0:
            return None
        return ray.get(getattr(self.run_folder, method).remote(*args, **named))


def work(config: Json) -> None:
    """The function of each worker."""
    try:
        Training(config).run()
    except RefusedError as refusal:
        if dist.get_rank() == 0:
            ray.get(config["run_folder"].end.remote("failed", str(refusal)))
