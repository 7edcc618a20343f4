"""The same as generate.ts with llama-cpp-python. Prints one line of JSON.

--type and --out: makes a file of another type instead. --limits: measures how fast as many threads
read memory instead.
"""

import argparse
import json
import resource
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import llama_cpp
import numpy as np
from llama_cpp import Llama

parser = argparse.ArgumentParser()
parser.add_argument("--base")
parser.add_argument("--prompt", type=int, default=256)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--type")
parser.add_argument("--out")
parser.add_argument("--limits", action="store_true")
args = parser.parse_args()


def make_file():
    params = llama_cpp.llama_model_quantize_default_params()
    params.ftype = getattr(llama_cpp, f"LLAMA_FTYPE_MOSTLY_{args.type}")
    params.allow_requantize = True
    params.pure = True
    failed = llama_cpp.llama_model_quantize(args.base.encode(), args.out.encode(), params)
    if failed:
        sys.exit(f"llama.cpp could not make {args.out}")


def read_speed():
    """Billions of bytes a second of dot products that are far larger than the caches."""
    arrays = [np.ones(64 << 20, np.float32) for _ in range(args.threads)]
    best = 0.0
    with ThreadPoolExecutor(args.threads) as pool:
        for _ in range(5):
            start = time.perf_counter()
            list(pool.map(lambda own: np.dot(own, own), arrays))
            best = max(best, sum(own.nbytes for own in arrays) / (time.perf_counter() - start) / 1e9)
    return best


if args.out:
    make_file()
    print("{}")
    sys.exit()
if args.limits:
    print(json.dumps({"read_gb_s": read_speed()}))
    sys.exit()

model = Llama(
    args.base,
    n_ctx=args.prompt + args.tokens + 16,
    n_threads=args.threads,
    n_threads_batch=args.threads,
    n_batch=512,
    verbose=False,
)
ids = [100 + i * 37 % 200 for i in range(args.prompt)]


def timed(work):
    start, used = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - start, time.process_time() - used


def write():
    for _ in range(args.tokens):
        model.eval([model.sample(temp=0.0)])


model.eval(ids)
model.eval([1])
model.reset()
read_s, read_cpu = timed(lambda: model.eval(ids))
write_s, write_cpu = timed(write)
print(
    json.dumps(
        {
            "prompt": args.prompt / read_s,
            "prompt_cpu_ms": 1000 * read_cpu / args.prompt,
            "tokens": args.tokens / write_s,
            "token_cpu_ms": 1000 * write_cpu / args.tokens,
            "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
        }
    )
)
