"""What a training starts with: the files of a prepared plan, and the model."""

from __future__ import annotations

import hashlib
import importlib
import os
from pathlib import Path
from typing import Any

import peft
import ray
import torch
import torch.distributed as dist
from peft import PeftModel, get_peft_model_state_dict
from torch.distributed.fsdp import FSDPModule, fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor
from torch.nn.parallel import DistributedDataParallel
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoConfig, AutoModelForCausalLM

Json = dict[str, Any]
NO_LABEL = -100


class RefusedError(Exception):
    """A sentence for the user: why the run cannot go on. Starting it again would not help."""


def bring_files(*folders: Path) -> list[Path]:
    """Where folders are on this node: a job has put what was sent on its first node only."""
    if all(folder.is_dir() for folder in folders) or not Path("launch.py").is_file():
        return list(folders)
    items: Path = importlib.import_module("job").place_items()
    return [folder if folder.is_dir() else items / folder.name for folder in folders]


def check_files(folder: Path, files: list[Json]) -> None:
    """Compares files with their sizes and hashes."""
    for entry in files:
        path = folder / entry["file"]
        digest = hashlib.sha256()
        try:
            with path.open("rb") as stream:
                while block := stream.read(1 << 20):
                    digest.update(block)
                size = stream.tell()
        except OSError as error:
            raise RefusedError(f"{path} cannot be read: {error.strerror}.") from error
        if size != entry["size"]:
            raise RefusedError(f"{path} has {size} bytes instead of {entry['size']}.")
        if digest.hexdigest() != entry["sha256"]:
            raise RefusedError(f"{path} is not the file that the run was prepared with.")


class Examples:
    """A part of examples.safetensors. Rows are read when they are needed."""

    def __init__(self, file: Any, part: str, pad_id: int) -> None:
        padding = {"input_ids": pad_id, "labels": NO_LABEL, "position_ids": 0}
        names = set(file.keys())
        stored = [name for name in padding if f"{part}.{name}" in names]
        self.columns = [(name, file.get_slice(f"{part}.{name}"), padding[name]) for name in stored]
        self.offsets: list[int] = file.get_tensor(f"{part}.offsets").tolist()

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def tokens(self, rows: list[int]) -> int:
        return sum(self.offsets[row + 1] - self.offsets[row] for row in rows)

    def batch(self, rows: list[int]) -> dict[str, torch.Tensor]:
        """Rows that are padded on the right, where causal attention needs no mask."""
        spans = [slice(self.offsets[row], self.offsets[row + 1]) for row in rows]
        batch = {
            name: pad_sequence([column[span].long() for span in spans], True, padding)
            for name, column, padding in self.columns
        }
        if "position_ids" in batch:  # the token before the first of a text belongs to another one
            batch["labels"][batch["position_ids"] == 0] = NO_LABEL
        return batch


def load_model(base: Path, start: Path, settings: Json, device: torch.device) -> PeftModel:
    """The base, with the adapter that training starts with."""
    config = AutoConfig.from_pretrained(base, local_files_only=True)
    for key, value in config.to_dict().items():
        if "drop" in key and isinstance(value, float):
            setattr(config, key, 0.0)  # only LoRA has a dropout
    dtype = settings["base_dtype"]
    if dtype == "auto":
        dtype = "bfloat16" if device.type == "cuda" else "float32"
    model = AutoModelForCausalLM.from_pretrained(
        base, config=config, dtype=dtype, local_files_only=True, use_safetensors=True
    )
    if settings["gradient_checkpointing"] is True:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    adapted: PeftModel = PeftModel.from_pretrained(model, start, is_trainable=True).to(device)
    return adapted


def parameter_names(model: PeftModel, wanted: list[Json]) -> dict[str, str]:
    """The name in the model of each tensor of the adapter's file. Refuses a model that differs."""
    trained = {p.data_ptr(): name for name, p in model.named_parameters() if p.requires_grad}
    state = get_peft_model_state_dict(model, save_embedding_layers=False)
    own = {name: (list(t.shape), trained.get(t.data_ptr())) for name, t in state.items()}
    names = {}
    for entry in wanted:
        name = entry["name"]
        shape, parameter = own.get(name, (None, None))
        if parameter is None:
            raise RefusedError(f"PEFT does not train {name}, which the adapter has.")
        if shape != entry["shape"]:
            raise RefusedError(
                f"{name} has the shape {shape} in PEFT, and {entry['shape']} in the plan."
            )
        names[name] = parameter
    if len(names) != len(trained):
        raise RefusedError("PEFT trains tensors that the adapter does not have.")
    return names


def distributed(model: PeftModel, strategy: str, workers: int) -> torch.nn.Module:
    """What to call for a forward pass, so that the backward pass joins those of all workers."""
    if strategy == "fsdp":
        blocks: Any = model.get_base_model()._no_split_modules or ()
        for module in [m for m in model.modules() if type(m).__name__ in blocks]:
            fully_shard(module)
        fully_shard(model)
    elif workers > 1:
        return DistributedDataParallel(model, init_sync=False, broadcast_buffers=False)
    return model


def summed_loss(
    model: torch.nn.Module, batch: dict[str, torch.Tensor], device: torch.device
) -> tuple[torch.Tensor, int]:
    """The sum of the losses of a batch, and the number of its labels."""
    inputs = {name: column.to(device) for name, column in batch.items()}
    labels = inputs.pop("labels")[:, 1:]
    logits = model(**inputs, use_cache=False).logits[:, :-1]
    known = labels != NO_LABEL
    loss = torch.nn.functional.cross_entropy(logits[known].float(), labels[known], reduction="sum")
    return loss, int(known.sum())


def synchronize(forward: torch.nn.Module, is_last: bool) -> None:
    """Whether the next backward pass adds up the gradients of all workers."""
    if isinstance(forward, FSDPModule):
        forward.set_requires_gradient_sync(is_last)
    elif isinstance(forward, DistributedDataParallel):
        forward.require_backward_grad_sync = is_last


def refuse_together(problem: str | None) -> None:
    """Raises what any worker has found, in all of them."""
    problems: list[str | None] = [None] * dist.get_world_size()
    dist.all_gather_object(problems, problem)
    for found in filter(None, problems):
        raise RefusedError(found)


def whole(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor that FSDP may have divided among the workers."""
    full = tensor.full_tensor() if isinstance(tensor, DTensor) else tensor
    return full.detach().cpu().contiguous()


def like(parameter: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """A whole tensor, where and as the parameter is."""
    value = value.to(parameter.device)
    if not isinstance(parameter, DTensor):
        return value
    return distribute_tensor(value, parameter.device_mesh, parameter.placements)


def model_facts(model: PeftModel, device: torch.device, workers: int) -> Json:
    """What run.json says of the model and of what it is computed with."""
    base: Any = model.get_base_model()
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    runtime = f"torch {torch.__version__}, PEFT {peft.__version__}, Ray {ray.__version__}"
    recomputed = base.config.num_hidden_layers if base.is_activation_checkpointing else 0
    dtype = str(base.dtype).removeprefix("torch.")
    return {
        "step_plan": {"base_dtype": dtype, "recomputed_layers": recomputed},
        "versions": {"runtime": runtime, "device": f"{workers} x {name}"},
    }


def resident_memory() -> int:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def model_card(text: bytes, state: Json) -> bytes:
    """README.md, with what was not known when the plan was prepared."""
    evaluation = state["last_evaluation"]
    rows = {"Steps": str(state["step"]), "Last training loss": f"{state['last_loss']:.4f}"}
    if evaluation is not None:
        rows["Validation loss"] = f"{evaluation['loss']:.4f}"
    lines = text.decode().split("\n")
    for i, line in enumerate(lines):
        name = line.split("|")[1].strip() if line.startswith("| ") else ""
        if name in rows:
            lines[i] = f"| {name} | {rows[name]} |"
    return "\n".join(lines).encode()
