"""The same as generate.ts with llama-cpp-python. Prints one line of JSON."""

import argparse
import json
import resource
import time

from llama_cpp import Llama

parser = argparse.ArgumentParser()
parser.add_argument("--base")
parser.add_argument("--prompt", type=int, default=256)
parser.add_argument("--tokens", type=int, default=128)
parser.add_argument("--threads", type=int, default=2)
args = parser.parse_args()

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
