import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { createFolder } from '../../common/atomicWrite';
import { mostFrequent } from '../../lora/combine';
import type { Spec } from '../architecture/spec';
import { adapterTensor } from '../adapterDtype';
import { refuseSameModule, rescaled } from '../importedAdapter';
import { writeSafetensors } from '../safetensors/write';
import type { TensorToWrite } from '../tensorWriter';
import { keyOf, toMlxPath } from './names';
import { MLX_CONFIG, MLX_WEIGHTS } from './read';

/** mlx-lm takes a number that is not positive for all layers. */
const ALL_LAYERS = -1;

/**
 * Writes an adapter's folder for mlx-lm, which has one scale and one rank for all modules: other
 * scales are multiplied into B, smaller ranks are padded with zeros. `spec`: that of the base, or
 * null.
 *
 * @throws LoraError('adapter') when two modules have the same name; LoraError('disk'). An existing
 *   folder stays.
 */
export async function writeMlxAdapter(
  folder: string,
  { config, modules, dtype = 'F32' }: Adapter,
  spec: Pick<Spec, 'num_layers' | 'language_model'> | null,
): Promise<void> {
  const scale = mostFrequent(modules.map((m) => m.scaling));
  const rank = Math.max(...modules.map((m) => m.r));
  const names = namesIn(modules, spec?.language_model !== undefined, folder);
  const keys = [...new Set([...names.values()].map(keyOf))].sort();
  const text = JSON.stringify(
    {
      adapter_path: path.basename(folder),
      fine_tune_type: config.use_dora ? 'dora' : 'lora',
      lora_parameters: { dropout: config.lora_dropout, keys, rank, scale },
      model: config.base_model_name_or_path ?? '',
      num_layers: spec?.num_layers ?? ALL_LAYERS,
    },
    null,
    4,
  );
  await createFolder(folder, async (temp) => {
    await writeSafetensors(
      path.join(temp, MLX_WEIGHTS),
      modules.flatMap((m) => tensorsOf(m, names.get(m.path)!, { scale, rank, dtype })),
    );
    await writeFile(path.join(temp, MLX_CONFIG), `${text}\n`, { flush: true });
  });
}

/**
 * The modules' paths in mlx-lm, by their own ones.
 *
 * @throws LoraError('adapter') when two modules have the same.
 */
function namesIn(
  modules: readonly LoraFactors[],
  isWithin: boolean,
  folder: string,
): ReadonlyMap<string, string> {
  const names = new Map<string, string>();
  const sources = new Map<string, string>();
  for (const { path: own } of modules) {
    const name = toMlxPath(own, isWithin);
    refuseSameModule(sources.get(name), own, name, folder);
    sources.set(name, own);
    names.set(own, name);
  }
  return names;
}

function tensorsOf(
  m: LoraFactors,
  own: string,
  {
    scale,
    rank,
    dtype,
  }: { readonly scale: number; readonly rank: number; readonly dtype: AdapterDtype },
): TensorToWrite[] {
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
