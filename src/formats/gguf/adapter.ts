import { mostFrequent } from '../../lora/combine';
import type { Adapter, AdapterDtype, LoraFactors } from '../../lora/adapter';
import { isOnExpert, parameterKey } from '../../lora/experts';
import { LoraError, type Problem } from '../../shared/errors';
import {
  factorsOf,
  matrixOf,
  peftAdapter,
  rescaled,
  transposed,
  type ImportedAdapter,
} from '../importedAdapter';
import type { Spec } from '../architecture/spec';
import { adapterTensor } from '../adapterDtype';
import { storedAlpha } from '../checkFinite';
import { isHubName, parentNameOfGguf } from '../hub/hubName';
import { withoutFolders } from '../hub/publishedBase';
import type { TensorToWrite } from '../tensorWriter';
import { expertModulesOf, expertTensors, withGateUp } from './expertFactors';
import { factorOrder, inOrder, type AdaptedBase, type RowOrder } from './factorOrder';
import { ggufFamilyFor, ggufFamilyOf } from './families';
import { haveGates, variantOf, type GgufFamily, type GgufStorage } from './family';
import type { GgufTensor } from './header';
import { GGUF_KINDS, kindOfGguf } from './kind';
import { Metadata } from './metadata';
import { checkpointName, ggufName } from './names';
import { headLayoutOf, toGgufOrder } from './order';
import { isOfAllExperts } from './places';
import { GgufFile } from './read';
import { writeGguf, type GgufEntry } from './write';

const FACTOR_NAME = /^(.+\.weight)\.lora_([ab])$/;
const EMBEDDING = 'token_embd.weight';

/** A base, as an adapter's tensors depend on it. */
export const adaptedBase = (spec: Pick<Spec, 'layers' | 'family' | 'task'>): AdaptedBase => ({
  ...headLayoutOf(spec),
  family: ggufFamilyFor(spec),
  hasGates: spec.layers.some(({ mlp }) => mlp.kind !== 'plain'),
});

/**
 * Reads an adapter for llama.cpp. Format: convert_lora_to_gguf.py of llama.cpp.
 *
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readGgufAdapter(file: string, order: RowOrder): Promise<ImportedAdapter> {
  const source = await GgufFile.open(file);
  try {
    const metadata = new Metadata(source.header.metadata, file);
    if (!isLora(metadata)) throw notLora(metadata, source.header.tensors);
    refuseActivated(source);
    const family = familyOf(metadata, source, order);
    const alpha = metadata.number('adapter.lora.alpha', 0);
    const { pairs, warnings } = pairsIn(source);
    const modules: LoraFactors[] = [];
    for (const [name, pair] of pairs)
      modules.push(...(await readModule(source, name, pair, { family, alpha, order })));
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', { place: { file } });
    return {
      adapter: withParameters(
        peftAdapter(withGateUp(modules, family.experts, file), parentNameOfGguf(metadata)),
      ),
      warnings: [...unknownKeys(source), ...warnings],
    };
  } finally {
    await source.close();
  }
}

/** @throws LoraError('adapter') where names mean other modules in one base than in another. */
function familyOf(metadata: Metadata, { file, header }: GgufFile, order: RowOrder): GgufFamily {
  const arch = metadata.string('general.architecture');
  const family = ggufFamilyOf(arch, file);
  if (typeof order !== 'string') {
    const own = order.family?.arch === arch ? order.family : family;
    return variantOf(own, order.hasGates);
  }
  if (order === 'unknown' && family.labels !== undefined)
    throw new LoraError(
      'adapter',
      `The names of an encoder's layers depend on the base, which is not given: files of several models have the architecture "${arch}".`,
      { place: { file, key: 'general.architecture' }, fix: 'Choose the base (--base).' },
    );
  const names = [...header.tensors.keys()];
  const inner = names.find((name) => name.includes('.ffn_up.'));
  if (!family.without_gates || inner === undefined || haveGates(names)) return family;
  if (order === 'as stored') return family.without_gates;
  throw new LoraError(
    'adapter',
    'Which layer the tensor is for depends on whether the base has gates, and the base is not given.',
    { place: { file, tensor: inner }, fix: 'Choose the base (--base).' },
  );
}

/** The modules of a mixture are parameters in PEFT, where it can name all of them. */
function withParameters(adapter: Adapter): Adapter {
  const { modules, config } = adapter;
  const onExperts = modules.filter(isOnExpert);
  if (onExperts.length === 0 || !onExperts.every(isParameter)) return adapter;
  const names = modules
    .filter((m) => isOnExpert(m) || /\.mlp\.(?:gate|router)$/.test(m.path))
    .map((m) => parameterKey(m).replace(/^.*\.layers\.\d+\./, ''));
  const raw = { ...config.raw, target_parameters: [...new Set(names)] };
  return { ...adapter, config: { ...config, raw } };
}

const isParameter = ({ path }: LoraFactors): boolean => /\.(?:gate_up|down)_proj$/.test(path);

/** Whether the file is a LoRA adapter, not a model. */
export const isLora = (metadata: Metadata): boolean =>
  metadata.string('general.type', 'model') === 'adapter' &&
  metadata.string('adapter.type', '') === 'lora';

/** Metadata of adapters that does not change what they compute, or that is read. */
const KNOWN_KEYS: ReadonlySet<string> = new Set([
  'adapter.type',
  'adapter.lora.alpha',
  'adapter.lora.rank',
  'adapter.lora.task_name',
]);

/** An activated LoRA has an effect only after a sequence of tokens. */
function refuseActivated({ file, header }: GgufFile): void {
  const key = [...header.metadata.keys()].find((own) => own.startsWith('adapter.alora.'));
  if (key === undefined) return;
  throw new LoraError('adapter', 'The adapter uses activated LoRA, which is not supported.', {
    place: { file, key },
    fix: 'Use it with llama.cpp, or train a LoRA adapter instead.',
  });
}

/** Warnings about metadata that may change what the adapter computes, and that is not known. */
function unknownKeys({ file, header }: GgufFile): Problem[] {
  return [...header.metadata.keys()]
    .filter((key) => key.startsWith('adapter.') && !KNOWN_KEYS.has(key))
    .filter((key) => Boolean(header.metadata.get(key)))
    .map((key) => ({
      severity: 'warning',
      message: `"${key}" is not a known key of a LoRA adapter and is ignored.`,
      place: { file, key },
    }));
}

/** The error of a .gguf file that holds something else. */
export function notLora(metadata: Metadata, tensors: ReadonlyMap<string, unknown>): LoraError {
  const kind = kindOfGguf(metadata, tensors);
  const { file } = metadata;
  if (kind === 'adapter') {
    const type = metadata.has('adapter.type')
      ? `an adapter of the type "${metadata.string('adapter.type', '')}"`
      : 'an adapter that does not say its type: adapter.type is missing';
    return new LoraError('adapter', `The file is not a LoRA adapter but ${type}.`, {
      place: { file, key: 'adapter.type' },
      fix: 'Name the .gguf file of a LoRA adapter, as convert_lora_to_gguf.py of llama.cpp makes it.',
    });
  }
  return new LoraError('adapter', `The file is not a LoRA adapter but ${GGUF_KINDS[kind]}.`, {
    place: { file, key: 'general.type' },
    fix: 'Name the .gguf file of an adapter, not of a model.',
  });
}

interface ReadContext {
  readonly family: GgufFamily;
  /** 0: the scale is 1, as in llama.cpp. */
  readonly alpha: number;
  readonly order: RowOrder;
}

/** The factors of a module. */
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
    const [, name, factor] = FACTOR_NAME.exec(tensor.name) ?? [];
    if (name !== undefined) pairs.set(name, { ...pairs.get(name), [factor as 'a' | 'b']: tensor });
    else
      warnings.push({
        severity: 'warning',
        message: 'The tensor is not part of a LoRA adapter and is ignored.',
        place: { file, tensor: tensor.name },
      });
  }
  return { pairs, warnings };
}

async function readModule(
  source: GgufFile,
  name: string,
  { a, b }: Pair,
  context: ReadContext,
): Promise<LoraFactors[]> {
  const { file } = source;
  const own = checkpointName(name, context.family);
  if (own === null || own === undefined)
    throw new LoraError(
      'adapter',
      'The adapter changes a tensor that its architecture does not have.',
      { place: { file, tensor: name } },
    );
  if (!a || !b)
    throw new LoraError(
      'adapter',
      `Its partner is missing: ${name} needs both lora_a and lora_b.`,
      { place: { file, tensor: (a ?? b)!.name } },
    );
  const [A, B] = [await source.readF32(a), await source.readF32(b)];
  if (isOfAllExperts(own)) {
    const factors = {
      a: { shape: a.shape, data: A, tensor: a.name },
      b: { shape: b.shape, data: B, tensor: b.name },
    };
    return expertModulesOf(own, factors, { alpha: context.alpha, file });
  }
  const pair = {
    A: matrixOf(A, a.shape, { file, tensor: a.name }),
    B: matrixOf(B, b.shape, { file, tensor: b.name }),
  };
  const { alpha } = context;
  const isEmbedding = name === EMBEDDING;
  const ordered = inOrder(pair, own, context);
  const first = isEmbedding ? transposed(ordered.A) : ordered.A;
  return [
    factorsOf({
      path: own.replace(/\.weight$/, ''),
      kind: isEmbedding ? 'embedding' : 'linear',
      A: first,
      B: ordered.B,
      scaling: alpha === 0 ? 1 : alpha / first.rows,
    }),
  ];
}

/** The model that an adapter is written for. */
export interface GgufTarget {
  readonly family: GgufFamily;
  readonly base: AdaptedBase;
  /** The experts of each mixture; 0: it has none. */
  readonly experts: number;
  /** The adapter's name. */
  readonly name: string;
}

/**
 * Writes an adapter for llama.cpp. The format has one alpha for all modules, so that other scales
 * are multiplied into B.
 *
 * @throws LoraError('adapter') when the format lacks one of its modules; LoraError('disk').
 */
export async function writeGgufAdapter(
  file: string,
  { config, modules, dtype = 'F32' }: Adapter,
  given: GgufTarget,
): Promise<void> {
  const alpha = mostFrequent(modules.map(storedAlpha));
  const target = { ...given, family: variantOf(given.family, given.base.hasGates) };
  const scale = Math.fround(alpha);
  await writeGguf(
    file,
    [
      { key: 'general.architecture', type: 'string', value: target.family.arch },
      { key: 'general.type', type: 'string', value: 'adapter' },
      { key: 'adapter.type', type: 'string', value: 'lora' },
      { key: 'general.name', type: 'string', value: target.name },
      ...baseEntries(config.base_model_name_or_path),
      { key: 'adapter.lora.alpha', type: 'f32', value: alpha },
      { key: 'general.file_type', type: 'u32', value: FILE_TYPES[dtype] },
      { key: 'general.quantization_version', type: 'u32', value: 2 },
    ],
    [
      ...modules
        .filter((m) => !isOnExpert(m))
        .flatMap((m) => tensorsOf(m, scale, { ...target, dtype }, file)),
      ...expertTensors(modules, { ...target, dtype, alpha: scale }, file),
    ],
  );
}

/** llama.cpp's numbers for the type of a file's tensors (llama_ftype). */
const FILE_TYPES: Readonly<Record<AdapterDtype, number>> = { F32: 0, F16: 1, BF16: 32 };

/** The base's name, and where it is on the Hub; a local path is left out. */
function baseEntries(base: string | null): readonly GgufEntry[] {
  if (base === null || base === '') return [];
  const key = 'general.base_model';
  const name = withoutFolders(base);
  return [
    { key: `${key}.count`, type: 'u32', value: 1 },
    { key: `${key}.0.name`, type: 'string', value: name },
    ...(isHubName(name)
      ? ([
          { key: `${key}.0.repo_url`, type: 'string', value: `https://huggingface.co/${name}` },
        ] as const)
      : []),
  ];
}

function tensorsOf(
  m: LoraFactors,
  alpha: number,
  { family, base, dtype }: GgufTarget & { readonly dtype: AdapterDtype },
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
  const order = factorOrder(own, family);
  const B = rescaled(m, alpha / m.r);
  const A =
    m.kind === 'embedding'
      ? transposed({ rows: m.r, columns: m.in_features, data: m.A, place: { file } })
      : { rows: m.r, columns: m.in_features, data: m.A };
  const [aShape, bShape] = [
    [A.rows, A.columns],
    [m.out_features, m.r],
  ];
  const stored = (data: Float32Array, storage: GgufStorage, shape: readonly number[]) =>
    toGgufOrder(data, storage, { ...base, shape });
  return [
    adapterTensor(
      { name: `${name}.lora_a`, shape: aShape, data: stored(A.data, order.columns, aShape) },
      dtype,
    ),
    adapterTensor(
      { name: `${name}.lora_b`, shape: bShape, data: stored(B, order.rows, bShape) },
      dtype,
    ),
  ];
}
