"""TRL's DPOTrainer on CPU: speed and memory of dpo with the geometry of SmolLM2-135M, random weights.

    python dpo.py --pairs 2 --seq 256 --steps 3        (--precompute: the reference's log-probabilities are given)

Prints one line of JSON. The environment: requirements-trl.txt.
"""
import argparse
import json
import os
import statistics
import sys
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"
os.environ["TQDM_DISABLE"] = "1"

import torch

from bench import ATTN, geometry, rss_peak_mb


def tokenizer():
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast
    words = {"a": 0, "b": 1, "c": 2, "<eos>": 3}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="a")), eos_token="<eos>", pad_token="<eos>")


def trainer_of(args):
    import peft
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer
    cls, config, _ = geometry("smollm2-135m")
    torch.manual_seed(0)
    rows = Dataset.from_list([{"prompt": "a", "chosen": "b", "rejected": "c"}] * args.pairs)
    settings = DPOConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=args.pairs, gradient_checkpointing=False, bf16=False,
        use_cpu=True, report_to=[], max_length=args.seq, precompute_ref_log_probs=args.precompute)
    lora = peft.LoraConfig(r=args.rank, lora_alpha=16, task_type="CAUSAL_LM", **ATTN)
    return DPOTrainer(model=cls(config), args=settings, train_dataset=rows, processing_class=tokenizer(), peft_config=lora)


def batch_of(args, vocab):
    """Pairs of a prompt and two answers of half the length each."""
    shape = (2 * args.pairs, args.seq)
    mask = torch.zeros(shape, dtype=torch.long)
    mask[:, args.seq // 2:] = 1
    batch = {"input_ids": torch.randint(0, vocab, shape), "attention_mask": torch.ones(shape, dtype=torch.long),
             "completion_mask": mask}
    if args.precompute:
        batch["ref_chosen_logps"] = batch["ref_rejected_logps"] = torch.full((args.pairs,), -1000.0)
    return batch


def main():
    parser = argparse.ArgumentParser()
    for name, default in [("pairs", 2), ("seq", 256), ("rank", 8), ("steps", 3), ("warmup", 1), ("threads", 2)]:
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--precompute", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    trainer = trainer_of(args)
    model = trainer.model
    model.train()
    params = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=1e-4)
    times, processor_times = [], []
    for step in range(args.warmup + args.steps):
        start, cpu = time.perf_counter(), time.process_time()
        loss = trainer.compute_loss(model, batch_of(args, model.config.vocab_size))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step >= args.warmup:
            times.append(time.perf_counter() - start)
            processor_times.append(time.process_time() - cpu)
    print(json.dumps({"step_s": statistics.median(times), "step_s_min": min(times),
                      "step_cpu_s": statistics.median(processor_times), "peak_rss_mb": rss_peak_mb(),
                      "loss": loss.item()}))


if __name__ == "__main__":
    sys.path.insert(0, os.path.dirname(__file__))
    main()
