"""PyTorch + PEFT on CPU: speed and memory of a published geometry (random weights) or of real weights.

    python bench.py --model smollm2-135m --mode lora          (training; also --mode full, --dtype bf16, --supervised 0.25)
    python bench.py --gguf FILE --mode lora                   (the same on real weights; --model DIR for a checkpoint folder)
    python bench.py --merge                                   (merge_and_unload + save_pretrained)
    python bench.py --diff                                    (comparing two adapters: full SVD against cheaper ways)
    python bench.py --micro                                   (matmul only)

Prints one line of JSON.
"""
import argparse
import json
import os
import resource
import statistics
import tempfile
import time

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRANSFORMERS_VERBOSITY"] = "error"

import torch

DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16}
MICRO = [(1024, 576, 576), (1024, 576, 1536), (1024, 576, 49152), (2048, 2048, 2048)]
DELTA = ["in_proj_qkv", "in_proj_z", "in_proj_b", "in_proj_a", "out_proj", "q_proj", "k_proj", "v_proj", "o_proj"]
ATTN = dict(target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])


def geometry(name):
    import transformers as tf
    if name == "smollm2-135m":
        config = tf.LlamaConfig(
            vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
            num_key_value_heads=3, max_position_embeddings=8192, tie_word_embeddings=True, rms_norm_eps=1e-5,
            rope_parameters=dict(rope_type="default", rope_theta=100000.0))
        return tf.LlamaForCausalLM, config, ATTN
    if name == "qwen3.5-8-layers":  # of Qwen3.5-0.8B, with a smaller vocabulary
        config = tf.Qwen3_5TextConfig(
            vocab_size=32768, hidden_size=1024, intermediate_size=3584, num_hidden_layers=8, num_attention_heads=8,
            num_key_value_heads=2, head_dim=256, linear_num_key_heads=16, linear_num_value_heads=16,
            tie_word_embeddings=True,
            rope_parameters=dict(rope_type="default", rope_theta=10000000.0, partial_rotary_factor=0.25,
                                 mrope_section=[11, 11, 10]))
        return tf.Qwen3_5ForCausalLM, config, dict(target_modules=DELTA)
    if name == "mixture-32x4":  # a small mixture with the layers of Qwen 3 MoE
        config = tf.Qwen3MoeConfig(
            vocab_size=32768, hidden_size=512, intermediate_size=1536, moe_intermediate_size=256, num_experts=32,
            num_experts_per_tok=4, norm_topk_prob=True, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=2,
            head_dim=64, tie_word_embeddings=True, rope_parameters=dict(rope_type="default", rope_theta=1000000.0))
        return tf.Qwen3MoeForCausalLM, config, ATTN
    if name == "gpt2":
        config = tf.GPT2Config(resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)
        return tf.GPT2LMHeadModel, config, dict(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True)
    raise SystemExit(f"unknown model {name}: smollm2-135m, qwen3.5-8-layers, mixture-32x4, gpt2 or a folder with config.json")


def load(args):
    """(model, lora settings, name, seconds to load)"""
    import transformers as tf
    tf.utils.logging.disable_progress_bar()
    torch.manual_seed(0)
    start = time.perf_counter()
    if args.gguf:
        folder, file = os.path.split(os.path.abspath(args.gguf))
        model = tf.AutoModelForCausalLM.from_pretrained(folder, gguf_file=file, dtype=DTYPES[args.dtype])
        if hasattr(model.config, "quantization_config"):  # dequantised: otherwise it would not be saved as plain weights
            del model.config.quantization_config
        model.hf_quantizer = None
        name, lora = file, ATTN
    elif os.path.isdir(args.model):
        model = tf.AutoModelForCausalLM.from_pretrained(args.model, dtype=DTYPES[args.dtype])
        name = os.path.basename(os.path.abspath(args.model))
        lora = dict(target_modules=["c_attn", "c_proj"], fan_in_fan_out=True) if model.config.model_type == "gpt2" else ATTN
    else:
        cls, config, lora = geometry(args.model)
        model, name = cls(config).to(DTYPES[args.dtype]), args.model
    if args.quantize:
        model = quantized(model, args)
    model = model.to(args.device)
    if args.targets:
        lora = {**lora, "target_modules": args.targets.split(",")}
    if args.parameters:
        lora = {"target_modules": [], "target_parameters": args.parameters.split(",")}
    return model, lora, name, time.perf_counter() - start


def quantized(model, args):
    """The model as bitsandbytes quantizes it while it is loaded, with products in --dtype."""
    import transformers as tf
    config = tf.BitsAndBytesConfig(load_in_8bit=True) if args.quantize == "int8" else tf.BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=DTYPES[args.dtype])
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        return type(model).from_pretrained(folder, quantization_config=config, dtype=DTYPES[args.dtype], device_map="cpu")


def add_lora(model, lora, rank, seed=None):
    import peft
    model = peft.get_peft_model(model, peft.LoraConfig(r=rank, lora_alpha=16, task_type="CAUSAL_LM", **lora))
    if seed is not None:
        g = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for name, p in model.named_parameters():
                if "lora_B" in name:
                    p.copy_(torch.randn(p.shape, generator=g) * 0.01)
                elif "lora_A" in name:
                    p.copy_(torch.randn(p.shape, generator=g) * 0.04)
    return model


def rss_peak_mb():
    try:  # not ru_maxrss: a child process starts with its parent's
        with open("/proc/self/status") as f:
            return next(int(line.split()[1]) for line in f if line.startswith("VmHWM")) / 1024
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def rss_now_mb():
    import psutil
    return psutil.Process().memory_info().rss / 2**20


def micro(args):
    rows = []
    for m, k, n in MICRO:
        a, b = torch.randn(m, k, dtype=DTYPES[args.dtype]), torch.randn(n, k, dtype=DTYPES[args.dtype])
        for _ in range(2):
            a @ b.T
        times = []
        for _ in range(args.steps):
            start = time.perf_counter()
            a @ b.T
            times.append(time.perf_counter() - start)
        flops = 2 * m * k * n
        rows.append({"m": m, "k": k, "n": n, "ms": round(statistics.median(times) * 1e3, 2),
                     "gflops": round(flops / statistics.median(times) / 1e9, 1),
                     "gflops_best": round(flops / min(times) / 1e9, 1)})
    return {"bench": "micro", "dtype": args.dtype, "threads": args.threads, "matmul": rows}


def train(args):
    model, lora, name, load_s = load(args)
    vocab = model.config.vocab_size
    out = {"bench": "train", "model": name, "mode": args.mode, "dtype": args.dtype, "threads": args.threads,
           "batch": args.batch, "seq": args.seq, "supervised": args.supervised, "load_s": round(load_s, 2),
           "params_m": round(sum(p.numel() for p in model.parameters()) / 1e6, 2)}
    if args.mode == "lora":
        model = add_lora(model, lora, args.rank)
        out["rank"] = args.rank
    model.config.use_cache = False
    if args.checkpointing:
        model.gradient_checkpointing_enable()
        if args.mode == "lora":
            model.enable_input_require_grads()
        out["gradient_checkpointing"] = True
    model.train()
    compiled = torch.compile(model) if args.compile else model
    params = [p for p in model.parameters() if p.requires_grad]
    out["trainable"] = sum(p.numel() for p in params)
    out["rss_model_mb"] = round(rss_now_mb())
    out["peak_rss_load_mb"] = round(rss_peak_mb())  # loading a GGUF may peak higher than training
    optimizer = torch.optim.AdamW(params, lr=1e-4)
    ids = torch.randint(0, vocab, (args.batch, args.seq)).to(args.device)
    labels = ids.clone()
    if args.supervised < 1.0:
        labels[:, : int(round(args.seq * (1 - args.supervised)))] = -100
    times, processor_times, split = [], [], {"forward": [], "backward": [], "optimizer": []}
    for step in range(args.warmup + args.steps):
        if step == 0:  # from the start of the process: imports and the model
            import psutil
            out["start_s"] = round(time.time() - psutil.Process().create_time(), 2)
        t0, cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad()
        loss = compiled(input_ids=ids, labels=labels).loss
        t1 = time.perf_counter()
        loss.backward()
        t2 = time.perf_counter()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        if args.device == "cuda":
            torch.cuda.synchronize()
        t3 = time.perf_counter()
        if step >= args.warmup:
            times.append(t3 - t0)
            processor_times.append(time.process_time() - cpu)
            for k, v in zip(split, (t1 - t0, t2 - t1, t3 - t2)):
                split[k].append(v)
    median = statistics.median(times)
    out.update({
        "steps": args.steps, "step_s": round(median, 3), "step_s_min": round(min(times), 3),
        "step_s_max": round(max(times), 3), "tokens_per_s": round(args.batch * args.seq / median, 1),
        "tokens_per_s_best": round(args.batch * args.seq / min(times), 1),
        "step_cpu_s": round(statistics.median(processor_times), 3),
        **{f"{k}_s": round(statistics.median(v), 3) for k, v in split.items()},
        "peak_rss_mb": round(rss_peak_mb()), "loss": round(loss.item(), 4),
    })
    with tempfile.TemporaryDirectory() as tmp:
        model.save_pretrained(tmp)
        name = "adapter_model.safetensors" if args.mode == "lora" else "model.safetensors"
        out["file_mb"] = round(os.path.getsize(os.path.join(tmp, name)) / 1e6, 3)
    return out


def generate(args):
    """Tokens per second of transformers' generate with a KV cache, greedy; the first, which takes the prompt in, does not count."""
    model, lora, name, _ = load(args)
    model = add_lora(model, lora, args.rank)
    model.eval()
    ids = (torch.arange(32) * 37 % model.config.vocab_size)[None]
    runs = []
    for _ in range(3):
        took = []
        for n in (1, args.generate):
            start = time.perf_counter()
            with torch.no_grad():
                model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), min_new_tokens=n, max_new_tokens=n, do_sample=False, pad_token_id=0)
            took.append(time.perf_counter() - start)
        runs.append((args.generate - 1) / (took[1] - took[0]))
    return {"bench": "generate", "model": name, "dtype": args.dtype, "tokens_per_s": round(statistics.median(runs), 1), "peak_rss_mb": round(rss_peak_mb())}


def merge(args):
    """From files, as a user would: base and adapter on disk -> merged checkpoint on disk. Memory is of a child process."""
    import peft
    import transformers as tf
    if args.child:
        base, adapter, target = args.child
        t0 = time.perf_counter()
        model = tf.AutoModelForCausalLM.from_pretrained(base, dtype=DTYPES[args.dtype])
        model = peft.PeftModel.from_pretrained(model, adapter)
        t1, rss = time.perf_counter(), rss_now_mb()
        model = model.merge_and_unload()
        t2 = time.perf_counter()
        model.save_pretrained(target)
        t3 = time.perf_counter()
        return {"load_s": round(t1 - t0, 2), "merge_s": round(t2 - t1, 3), "save_s": round(t3 - t2, 2),
                "total_s": round(t3 - t0, 2), "rss_loaded_mb": round(rss), "peak_rss_mb": round(rss_peak_mb())}
    import subprocess
    import sys
    with tempfile.TemporaryDirectory() as tmp:
        model, lora, name, _ = load(args)
        model.save_pretrained(os.path.join(tmp, "base"))
        add_lora(model, lora, args.rank, seed=1).save_pretrained(os.path.join(tmp, "adapter"))
        del model
        paths = [os.path.join(tmp, x) for x in ("base", "adapter", "merged")]
        runs = []
        for _ in range(args.steps):
            got = subprocess.run([sys.executable, __file__, "--merge", "--dtype", args.dtype, "--threads", str(args.threads),
                                  "--child", *paths], capture_output=True, text=True, check=True)
            runs.append(json.loads(got.stdout.splitlines()[-1]))
        best = sorted(runs, key=lambda r: r["total_s"])[len(runs) // 2]
        return {"bench": "merge", "model": name, "dtype": args.dtype, "threads": args.threads, "rank": args.rank, "runs": len(runs),
                **best, "file_mb": round(os.path.getsize(os.path.join(paths[2], "model.safetensors")) / 1e6, 1)}


def full_svd(a1, b1, a2, b2, r):
    """The naive way: both dW in full, numpy's SVD of each."""
    import numpy as np
    d1, d2 = b1 @ a1, b2 @ a2
    n1, n2, dot = np.linalg.norm(d1), np.linalg.norm(d2), float((d1 * d2).sum())
    u1, _, v1 = np.linalg.svd(d1, full_matrices=False)
    u2, _, v2 = np.linalg.svd(d2, full_matrices=False)
    return (n1, n2, dot / (n1 * n2), (np.linalg.norm(v1[:r] @ v2[:r].T) ** 2) / r, (np.linalg.norm(u1[:, :r].T @ u2[:, :r]) ** 2) / r)


def low_rank_svd(a1, b1, a2, b2, r):
    """torch.svd_lowrank of the two dW in full (randomised, two power iterations)."""
    d1, d2 = b1 @ a1, b2 @ a2
    n1, n2, dot = d1.norm(), d2.norm(), (d1 * d2).sum()
    u1, _, v1 = torch.svd_lowrank(d1, q=r)
    u2, _, v2 = torch.svd_lowrank(d2, q=r)
    return [float(x) for x in (n1, n2, dot / (n1 * n2), (v1.T @ v2).norm() ** 2 / r, (u1.T @ u2).norm() ** 2 / r)]


def factors_only(a1, b1, a2, b2, r):
    """Never forms dW: QR of the factors (valid where A and B have full rank r), r x r products for norms and dot."""
    dot = lambda a, b, c, d: ((b.T @ d) * (a @ c.T)).sum()
    n1, n2 = dot(a1, b1, a1, b1).sqrt(), dot(a2, b2, a2, b2).sqrt()
    q = lambda x: torch.linalg.qr(x).Q
    return [float(x) for x in (n1, n2, dot(a1, b1, a2, b2) / (n1 * n2), (q(a1.T).T @ q(a2.T)).norm() ** 2 / r,
                               (q(b1).T @ q(b2)).norm() ** 2 / r)]


def diff(args):
    """Per module: two Frobenius norms of dW, their cosine, and the overlap of right and left subspaces."""
    model, lora, name, _ = load(args)
    shapes = {n: p.shape for n, p in model.named_parameters()}
    pairs = []
    for seed in (1, 2):
        adapted = add_lora(model, lora, args.rank, seed=seed)
        state = {n: p.detach().float() for n, p in adapted.named_parameters() if "lora_" in n}
        pairs.append([(state[n], state[n.replace("lora_A", "lora_B")] * 16 / args.rank) for n in state if "lora_A" in n])
        model = adapted.unload()
    assert shapes == {n: p.shape for n, p in model.named_parameters()}
    out = {"bench": "diff", "model": name, "threads": args.threads, "rank": args.rank, "modules": len(pairs[0])}
    answers = {}
    for tag, f in (("numpy_full_svd", full_svd), ("torch_svd_lowrank", low_rank_svd), ("factors_only", factors_only)):
        start = time.perf_counter()
        rows = []
        for (a1, b1), (a2, b2) in zip(*pairs):
            x = (a1, b1, a2, b2)
            rows.append(f(*(t.numpy() for t in x) if tag.startswith("numpy") else x, args.rank))
        out[f"{tag}_s"] = round(time.perf_counter() - start, 3)
        answers[tag] = torch.tensor([[float(v) for v in row] for row in rows], dtype=torch.float64)
        if tag != "numpy_full_svd":
            out[f"{tag}_gap"] = float(f"{(answers[tag] - answers['numpy_full_svd']).abs().max().item():.2g}")
    out["peak_rss_mb"] = round(rss_peak_mb())
    return out


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--model", default="smollm2-135m", help="smollm2-135m, gpt2 (random weights), or a checkpoint folder")
    p.add_argument("--gguf", help="a GGUF file that transformers can read")
    p.add_argument("--targets", help="comma-separated target modules instead of the attention's")
    p.add_argument("--parameters", help="comma-separated target modules instead of the attention's")
    p.add_argument("--mode", default="lora", choices=["lora", "full"])
    p.add_argument("--dtype", default="f32", choices=list(DTYPES))
    p.add_argument("--supervised", type=float, default=1.0, help="fraction of the tokens that have a label")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--seq", type=int, default=256)
    p.add_argument("--rank", type=int, default=8)
    p.add_argument("--steps", type=int, default=5)
    p.add_argument("--warmup", type=int, default=2)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--device", default="cpu", choices=["cpu", "cuda"])
    p.add_argument("--checkpointing", action="store_true")
    p.add_argument("--quantize", choices=["nf4", "int8"], help="bitsandbytes, with double quantization")
    p.add_argument("--compile", action="store_true", help="torch.compile; its time is that of the first steps, which do not count")
    p.add_argument("--generate", type=int, help="tokens to write after a prompt of 32, instead of training")
    p.add_argument("--micro", action="store_true")
    p.add_argument("--merge", action="store_true")
    p.add_argument("--diff", action="store_true")
    p.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    args = p.parse_args()
    torch.set_num_threads(args.threads)
    run = generate if args.generate else micro if args.micro else merge if args.merge else diff if args.diff else train
    print(json.dumps(run(args)))


if __name__ == "__main__":
    main()
