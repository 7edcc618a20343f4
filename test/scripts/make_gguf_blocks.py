"""Random blocks of every quantisation type that is read, with the values that the `gguf` Python package makes of them; random numbers with the q8_0 blocks that it makes of those.

    pip install gguf==0.19.0 && python test/scripts/make_gguf_blocks.py test/fixtures/gguf-blocks
"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType as T, quants

BLOCKS = 8
HALVES = {T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208],
          T.Q2_K: [80, 82], T.Q3_K: [108], T.IQ4_NL: [0], T.IQ4_XS: [0]}

folder = Path(sys.argv[1])
rng = np.random.default_rng(7)
for kind, halves in HALVES.items():
    elements, size = GGML_QUANT_SIZES[kind]
    blocks = rng.integers(0, 256, (BLOCKS, size), dtype=np.uint8)
    for at in halves:  # scales: finite halves of an ordinary size, one of them subnormal
        scales = (rng.standard_normal(BLOCKS) * 0.05).astype(np.float16)
        scales[0] = np.float16(3e-7)
        blocks[:, at : at + 2] = scales.view(np.uint8).reshape(BLOCKS, 2)
    (folder / f"{kind.name}.blocks").write_bytes(blocks.tobytes())
    (folder / f"{kind.name}.f32").write_bytes(quants.dequantize(blocks, kind).astype("<f4").tobytes())

elements, size = GGML_QUANT_SIZES[T.MXFP4]
blocks = np.random.default_rng(8).integers(0, 256, (BLOCKS, size), dtype=np.uint8)
blocks[:, 0] = [120, 118, 127, 3, 60, 128, 200, 115]  # exponents
(folder / "MXFP4.blocks").write_bytes(blocks.tobytes())
(folder / "MXFP4.f32").write_bytes(quants.dequantize(blocks, T.MXFP4).astype("<f4").tobytes())

numbers = (rng.standard_normal((64, 32)) * np.logspace(-9, 4, 64)[:, None]).astype("<f4")
numbers[0] = 0
numbers[1, :4] = [127, 0.5, -0.5, 1.5]  # halves are rounded away from zero
numbers[1, 4:] = 2.5
(folder / "to_q8_0.f32").write_bytes(numbers.tobytes())
(folder / "to_q8_0.bytes").write_bytes(quants.quantize(numbers, T.Q8_0).tobytes())
