"""A Llama of made-up weights in F16, whose rows are whole blocks of 256: for measurements of types
that the rows of SmolLM2-135M cannot have.

make_llama_gguf.py TOKENIZER.gguf OUT.gguf: with the tokenizer of another file.
"""

import sys

import numpy as np
from gguf import GGUFReader, GGUFWriter

HIDDEN, INNER, LAYERS, HEADS, KV_HEADS, HEAD_DIM = 768, 2048, 24, 12, 4, 64

source, out = sys.argv[1:]
reader = GGUFReader(source)
random = np.random.default_rng(0)
writer = GGUFWriter(out, "llama")

for name, field in reader.fields.items():
    if name.startswith("tokenizer."):
        sub_type = field.types[-1] if len(field.types) > 1 else None
        writer.add_key_value(name, field.contents(), field.types[0], sub_type=sub_type)
vocabulary = len(reader.fields["tokenizer.ggml.tokens"].data)

writer.add_context_length(2048)
writer.add_embedding_length(HIDDEN)
writer.add_block_count(LAYERS)
writer.add_feed_forward_length(INNER)
writer.add_head_count(HEADS)
writer.add_head_count_kv(KV_HEADS)
writer.add_rope_dimension_count(HEAD_DIM)
writer.add_layer_norm_rms_eps(1e-5)
writer.add_rope_freq_base(10000.0)
writer.add_vocab_size(vocabulary)
writer.add_file_type(1)


def add(name, rows, width):
    numbers = random.standard_normal((rows, width), dtype=np.float32) / np.sqrt(width)
    writer.add_tensor(name, numbers.astype(np.float16))


add("token_embd.weight", vocabulary, HIDDEN)
writer.add_tensor("output_norm.weight", np.ones(HIDDEN, np.float32))
for i in range(LAYERS):
    for norm in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.{i}.{norm}.weight", np.ones(HIDDEN, np.float32))
    add(f"blk.{i}.attn_q.weight", HEADS * HEAD_DIM, HIDDEN)
    add(f"blk.{i}.attn_k.weight", KV_HEADS * HEAD_DIM, HIDDEN)
    add(f"blk.{i}.attn_v.weight", KV_HEADS * HEAD_DIM, HIDDEN)
    add(f"blk.{i}.attn_output.weight", HIDDEN, HEADS * HEAD_DIM)
    add(f"blk.{i}.ffn_gate.weight", INNER, HIDDEN)
    add(f"blk.{i}.ffn_up.weight", INNER, HIDDEN)
    add(f"blk.{i}.ffn_down.weight", HIDDEN, INNER)
writer.write_header_to_file()
writer.write_kv_data_to_file()
writer.write_tensors_to_file()
writer.close()
