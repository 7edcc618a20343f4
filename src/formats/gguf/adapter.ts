import { mostFrequent } from '../../lora/combine';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { LoraError, type Problem } from '../../shared/errors';
import {
  factorsOf,
  matrixOf,
  peftAdapter,
  rescaled,
  transposed,
  type ImportedAdapter,
} from '../importedAdapter';
import type { TensorToWrite } from '../tensorWriter';
import { ggufFamilyOf } from './families';
import type { GgufFamily } from './family';
import type { GgufTensor } from './header';
import { Metadata } from './metadata';
import { checkpointName, ggufName } from './names';
import { restored, stored } from './order';
import { GgufFile } from './read';
import { writeGguf } from './write';

const LEAF = /^(.+\.weight)\.lora_([ab])$/;
const EMBEDDING = 'token_embd.weight';

/**
 * What to make of rows that the file has in another order than the checkpoint, which depends on the
 * size of the base's heads: put them back, leave them, or refuse them, as the base is not at hand.
 */
export type RowOrder = { readonly head_dim: number } | 'as stored' | 'unknown';

/** An adapter for llama.cpp. Errors: LoraError('adapter') naming file, tensor or key. */
export async function readGgufAdapter(file: string, order: RowOrder): Promise<ImportedAdapter> {
  const source = await GgufFile.open(file);
  try {
    const metadata = new Metadata(source.header.metadata, file);
    if (!isLora(metadata))
      throw new LoraError('adapter', 'The file is no LoRA adapter.', {
        place: { file, key: 'general.type' },
        fix: 'Name the .gguf file of an adapter, not of a model.',
      });
    const family = ggufFamilyOf(metadata.string('general.architecture'), file);
    const alpha = metadata.number('adapter.lora.alpha', 0);
    const { pairs, warnings } = pairsIn(source);
    const modules: LoraFactors[] = [];
    for (const [name, pair] of pairs)
      modules.push(await readModule(source, name, pair, { family, alpha, order }));
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    const base = metadata.string('general.base_model.0.name', '');
    return { adapter: peftAdapter(modules, base === '' ? null : base), warnings };
  } finally {
    await source.close();
  }
}

export const isLora = (metadata: Metadata): boolean =>
  metadata.string('general.type', 'model') === 'adapter' &&
  metadata.string('adapter.type', '') === 'lora';

interface Pair {
  readonly a?: GgufTensor;
  readonly b?: GgufTensor;
}

function pairsIn({ file, header }: GgufFile): {
  readonly pairs: ReadonlyMap<string, Pair>;
  readonly warnings: readonly Problem[];
} {
  const pairs = new Map<string, Pair>();
  const warnings: Problem[] = [];
  for (const tensor of header.tensors.values()) {
    const [, name, factor] = LEAF.exec(tensor.name) ?? [];
    if (name !== undefined) pairs.set(name, { ...pairs.get(name), [factor as 'a' | 'b']: tensor });
    else
      warnings.push({
        severity: 'warning',
        message: 'The tensor is no part of a LoRA adapter and is left out.',
        place: { file, tensor: tensor.name },
      });
  }
  return { pairs, warnings };
}

async function readModule(
  source: GgufFile,
  name: string,
  { a, b }: Pair,
  {
    family,
    alpha,
    order,
  }: { readonly family: GgufFamily; readonly alpha: number; readonly order: RowOrder },
): Promise<LoraFactors> {
  const { file } = source;
  const own = checkpointName(name, family);
  if (own === null || own === undefined)
    throw new LoraError(
      'adapter',
      'The adapter changes a tensor that models of its architecture do not have.',
      { place: { file, tensor: name } },
    );
  if (!a || !b)
    throw new LoraError(
      'adapter',
      `Its partner is missing: ${name} needs both lora_a and lora_b.`,
      { place: { file, tensor: (a ?? b)!.name } },
    );
  const isEmbedding = name === EMBEDDING;
  const [first, second] = [
    matrixOf(await source.readF32(a), a.shape, { file, tensor: a.name }),
    matrixOf(await source.readF32(b), b.shape, { file, tensor: b.name }),
  ];
  const storage = rowsOf(own, family);
  if (storage !== 'plain' && order === 'unknown') {
    throw new LoraError(
      'adapter',
      'The rows of this tensor are in an order that depends on the heads of the base.',
      { place: { file, tensor: b.name }, fix: 'Name the base with --base.' },
    );
  }
  const B =
    typeof order === 'string'
      ? second
      : { ...second, data: restored(second.data, storage, { shape: b.shape, ...order }) };
  const A = isEmbedding ? transposed(first) : first;
  return factorsOf({
    path: own.replace(/\.weight$/, ''),
    kind: isEmbedding ? 'embedding' : 'linear',
    A,
    B,
    scaling: alpha === 0 ? 1 : alpha / A.rows,
  }); // as llama.cpp takes 0
}

/**
 * The order of the rows of a weight, which are B's. Whether the weight lies transposed does not
 * matter to A and B.
 */
export function rowsOf(name: string, family: GgufFamily): 'plain' | 'rotary' | 'by_part' {
  const storage = family.storage(name);
  return storage === 'rotary' || storage === 'by_part' ? storage : 'plain';
}

export interface GgufTarget {
  readonly family: GgufFamily;
  readonly head_dim: number;
  /** What the adapter is called. */
  readonly name: string;
}

/**
 * Writes an adapter as llama.cpp and what stands on it load it. One alpha for all modules: other
 * scales go into B. Errors: LoraError.
 */
export async function writeGgufAdapter(
  file: string,
  { config, modules }: Adapter,
  target: GgufTarget,
): Promise<void> {
  const alpha = mostFrequent(modules.map((m) => m.scaling * m.r));
  const base = config.base_model_name_or_path;
  await writeGguf(
    file,
    [
      { key: 'general.architecture', type: 'string', value: target.family.arch },
      { key: 'general.type', type: 'string', value: 'adapter' },
      { key: 'adapter.type', type: 'string', value: 'lora' },
      { key: 'general.name', type: 'string', value: target.name },
      ...(base === null
        ? []
        : ([
            { key: 'general.base_model.count', type: 'u32', value: 1 },
            { key: 'general.base_model.0.name', type: 'string', value: base },
          ] as const)),
      { key: 'adapter.lora.alpha', type: 'f32', value: alpha },
      { key: 'general.file_type', type: 'u32', value: 0 },
      { key: 'general.quantization_version', type: 'u32', value: 2 },
    ],
    modules.flatMap((m) => tensorsOf(m, Math.fround(alpha), target, file)),
  );
}

function tensorsOf(
  m: LoraFactors,
  alpha: number,
  { family, head_dim }: GgufTarget,
  file: string,
): TensorToWrite[] {
  const own = `${m.path}.weight`;
  const name = ggufName(own, family);
  if (name === undefined)
    throw new LoraError(
      'adapter',
      `${m.path} has no name in GGUF files of the architecture "${family.arch}".`,
      { place: { file } },
    );
  const storage = rowsOf(own, family);
  const B = rescaled(m, alpha / m.r);
  const A =
    m.kind === 'embedding'
      ? transposed({ rows: m.r, columns: m.in_features, data: m.A, place: { file } })
      : { rows: m.r, columns: m.in_features, data: m.A };
  return [
    { name: `${name}.lora_a`, dtype: 'F32', shape: [A.rows, A.columns], data: A.data },
    {
      name: `${name}.lora_b`,
      dtype: 'F32',
      shape: [m.out_features, m.r],
      data: stored(B, storage, { shape: [m.out_features, m.r], head_dim }),
    },
  ];
}
