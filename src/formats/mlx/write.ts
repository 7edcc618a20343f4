import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { replaceFolder } from '../../common/atomicWrite';
import { mostFrequent } from '../../lora/combine';
import { adapterTensor } from '../adapterDtype';
import { rescaled } from '../importedAdapter';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { keyOf, toMlxPath } from './names';
import { MLX_CONFIG, MLX_WEIGHTS } from './read';

/** mlx-lm takes a number that is not positive for all layers. */
const ALL_LAYERS = -1;

/**
 * Writes an adapter's folder for mlx-lm, which has one scale and one rank for all modules: other
 * scales are multiplied into B, smaller ranks are padded with zeros. `num_layers`: those of the
 * base; null: unknown.
 *
 * @throws LoraError('disk'); an existing folder stays.
 */
export async function writeMlxAdapter(
  folder: string,
  { config, modules, dtype = 'F32' }: Adapter,
  num_layers: number | null,
): Promise<void> {
  const scale = mostFrequent(modules.map((m) => m.scaling));
  const rank = Math.max(...modules.map((m) => m.r));
  const keys = [...new Set(modules.map((m) => keyOf(toMlxPath(m.path))))].sort();
  const text = JSON.stringify(
    {
      adapter_path: path.basename(folder),
      fine_tune_type: config.use_dora ? 'dora' : 'lora',
      lora_parameters: { dropout: config.lora_dropout, keys, rank, scale },
      model: config.base_model_name_or_path ?? '',
      num_layers: num_layers ?? ALL_LAYERS,
    },
    null,
    4,
  );
  await replaceFolder(folder, async (temp) => {
    await writeSafetensors(
      path.join(temp, MLX_WEIGHTS),
      modules.flatMap((m) => tensorsOf(m, scale, rank, dtype)),
    );
    await writeFile(path.join(temp, MLX_CONFIG), `${text}\n`, { flush: true });
  });
}

function tensorsOf(
  m: LoraFactors,
  scale: number,
  rank: number,
  dtype: AdapterDtype,
): TensorToWrite[] {
  const own = toMlxPath(m.path);
  const B = rescaled(m, scale);
  const [a, b] = [new Float32Array(m.in_features * rank), new Float32Array(rank * m.out_features)];
  for (let k = 0; k < m.r; k++) {
    for (let i = 0; i < m.in_features; i++) a[i * rank + k] = m.A[k * m.in_features + i]!;
    for (let o = 0; o < m.out_features; o++) b[k * m.out_features + o] = B[o * m.r + k]!;
  }
  return [
    adapterTensor({ name: `${own}.lora_a`, shape: [m.in_features, rank], data: a }, dtype),
    adapterTensor({ name: `${own}.lora_b`, shape: [rank, m.out_features], data: b }, dtype),
    ...(m.magnitude
      ? [adapterTensor({ name: `${own}.m`, shape: [m.out_features], data: m.magnitude }, dtype)]
      : []),
  ];
}
