"""Files of weights in torchao's types of 4 bits, as torchao 0.18 describes them in safetensors.

torchao can neither make, dequantize nor multiply Int4Tensor, Int4TilePackedTo4dTensor and Int4PlainInt32Tensor on a CPU, so the
integers are made up; only shapes, names and descriptions are those of torchao. Int4OpaqueTensor, which it makes on a CPU, has no
dequantization, and is refused when it is saved:

    pip install torch torchao==0.18.0 safetensors
    python test/scripts/make_torchao_types.py test/fixtures/quantized/torchao-types
"""
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file
from torchao.prototype.quantization.int4 import Int4OpaqueTensor
from torchao.prototype.safetensors.safetensors_support import flatten_tensor_state_dict
from torchao.quantization import Int4PlainInt32Tensor, Int4TilePackedTo4dTensor, Int4Tensor

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
ROWS, WIDTH, GROUP = 8, 64, 32
shape, block = torch.Size([ROWS, WIDTH]), [1, GROUP]
scale = torch.full((WIDTH // GROUP, ROWS), 0.5, dtype=torch.bfloat16)
integers = torch.zeros(ROWS, WIDTH // 2, dtype=torch.int8)
weights = {
    "Int4Tensor": Int4Tensor(integers, scale, torch.zeros_like(scale), block, shape),
    "Int4TilePackedTo4dTensor": Int4TilePackedTo4dTensor(
        torch.zeros(1, 8, 32, 4, dtype=torch.int32), torch.zeros(32, ROWS, 2, dtype=torch.bfloat16), block, shape),
    "Int4PlainInt32Tensor": Int4PlainInt32Tensor(
        torch.zeros(ROWS, WIDTH // 8, dtype=torch.int32), scale, torch.zeros_like(scale, dtype=torch.int8), block, shape),
}
for name, weight in weights.items():
    for refused in (weight.dequantize, lambda: torch.nn.functional.linear(torch.eye(WIDTH, dtype=torch.bfloat16), weight)):
        try:
            refused()
        except Exception as error:  # each type names another reason
            print(name, type(error).__name__)
        else:
            raise SystemExit(f"torchao computes with {name} on this machine: it could be read.")
    tensors, metadata = flatten_tensor_state_dict({"proj.weight": weight})
    save_file({key: value.contiguous() for key, value in tensors.items()}, folder / f"{name}.safetensors", metadata)

opaque = Int4OpaqueTensor.from_hp(torch.randn(64, 128, dtype=torch.bfloat16), [1, GROUP])
try:
    flatten_tensor_state_dict({"proj.weight": opaque})
except ValueError as error:
    print("Int4OpaqueTensor", error)
else:
    raise SystemExit("torchao saves Int4OpaqueTensor: it could be in a file.")
