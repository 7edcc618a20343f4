import path from 'node:path';
import * as v from 'valibot';
import type { Adapter, LoraFactors } from '../../lora/adapter';
import { isOutputPath } from '../../lora/tying';
import { ruleOf } from '../../shared/schemaRule';
import { LoraError, type Problem } from '../../shared/errors';
import { checkFinite } from '../checkFinite';
import {
  factorsOf,
  matrixOf,
  peftAdapter,
  refuseSameModule,
  transposed,
  type ImportedAdapter,
} from '../importedAdapter';
import { readJsonObject } from '../json';
import { withSafetensors, type SafetensorsFile } from '../safetensors/read';
import { fromMlxPath } from './names';
import { countOf } from '../../shared/values';

/** The files of an mlx-lm adapter's folder. */
export const MLX_CONFIG = 'adapter_config.json';
export const MLX_WEIGHTS = 'adapters.safetensors';

const number = v.pipe(v.number('must be a number'), v.finite('must be finite'));
const ConfigSchema = v.looseObject({
  fine_tune_type: v.optional(v.string('must be a name'), 'lora'),
  use_dora: v.nullish(v.boolean('must be true or false'), false), // before fine_tune_type
  model: v.nullish(v.string('must be a name'), null),
  lora_parameters: v.looseObject(
    {
      rank: v.pipe(
        v.number('must be a number'),
        v.integer('must be a whole number'),
        v.minValue(1, 'must be at least 1'),
      ),
      scale: number,
      alpha: v.optional(number),
      dropout: v.optional(number, 0),
      keys: v.nullish(v.array(v.string('must be a name'), 'must be a list of names'), null),
    },
    'is missing',
  ),
});
type Config = v.InferOutput<typeof ConfigSchema>;

const LORA_KEYS: ReadonlySet<string> = new Set(['rank', 'scale', 'alpha', 'dropout', 'keys']);

const EMBEDDING = /(?:^|\.)(?:embed_tokens|wte|embed_in)$/;
const FACTOR_NAME = /^(.+)\.(lora_a|lora_b|m)$/;

/**
 * Reads an adapter of mlx-lm, which stores A as [in, r], B as [r, out] and one scale for all
 * modules.
 *
 * @param rename A module's path in the base, given the one in the file.
 * @throws LoraError('adapter') naming file, tensor or key.
 */
export async function readMlxAdapter(
  folder: string,
  rename: ((path: string) => string) | null,
): Promise<ImportedAdapter> {
  const configFile = path.join(folder, MLX_CONFIG);
  const config = await readConfig(configFile);
  return withSafetensors(path.join(folder, MLX_WEIGHTS), async (source) => {
    const { paths, warnings } = pathsIn(source, config);
    const modules: LoraFactors[] = [];
    const sources = new Map<string, string>();
    for (const own of paths) {
      const stored = fromMlxPath(own);
      const modulePath = rename ? rename(stored) : stored;
      refuseSameModule(sources.get(modulePath), own, modulePath, source.file);
      sources.set(modulePath, own);
      const read = await readModule(source, own, modulePath, config);
      modules.push(withoutPadding(read));
    }
    if (modules.length === 0)
      throw new LoraError('adapter', 'The file holds no LoRA tensors.', {
        place: { file: source.file },
      });
    const { model, lora_parameters } = config;
    return {
      adapter: tiedAsInMlx(peftAdapter(modules, model, lora_parameters.dropout)),
      warnings: [...unknownKeys(config, configFile), ...warnings],
    };
  });
}

/** mlx-lm applies the update of an embedding to an output layer that shares its weight, too. */
function tiedAsInMlx(adapter: Adapter): Adapter {
  const { config, modules } = adapter;
  const isTied =
    modules.some((m) => m.kind === 'embedding') && !modules.some((m) => isOutputPath(m.path));
  return isTied
    ? { ...adapter, config: { ...config, raw: { ensure_weight_tying: true } } }
    : adapter;
}

/** Warnings about keys that may change what the adapter computes, and that are not known. */
function unknownKeys({ lora_parameters }: Config, file: string): Problem[] {
  return Object.entries(lora_parameters)
    .filter(([key, value]) => !LORA_KEYS.has(key) && Boolean(value))
    .map(([key]) => ({
      severity: 'warning',
      message: `"${key}" is not a known key of lora_parameters and is ignored.`,
      place: { file, key: `lora_parameters.${key}` },
    }));
}

async function readConfig(file: string): Promise<Config> {
  const parsed = v.safeParse(ConfigSchema, await readJsonObject(file, 'adapter'));
  if (!parsed.success) {
    const [issue] = parsed.issues;
    const key = v.getDotPath(issue) ?? 'lora_parameters';
    throw new LoraError('adapter', `The adapter's config is not usable: ${key} ${ruleOf(issue)}.`, {
      place: { file, key },
    });
  }
  const { fine_tune_type, use_dora } = parsed.output;
  if (use_dora && fine_tune_type === 'lora') return { ...parsed.output, fine_tune_type: 'dora' };
  if (fine_tune_type === 'lora' || fine_tune_type === 'dora') return parsed.output;
  throw new LoraError(
    'adapter',
    `The folder does not hold an adapter but fully trained weights (fine_tune_type ${JSON.stringify(fine_tune_type)}).`,
    {
      place: { file, key: 'fine_tune_type' },
      fix: 'Make a model of them with mlx_lm.fuse, and extract an adapter from it with lora extract.',
    },
  );
}

function pathsIn(
  source: SafetensorsFile,
  { fine_tune_type, lora_parameters: { keys } }: Config,
): { readonly paths: readonly string[]; readonly warnings: readonly Problem[] } {
  const paths = new Set<string>();
  const warnings: Problem[] = [];
  const ignored = (what: string, tensor: string) =>
    warnings.push({
      severity: 'warning',
      message: `${what} and is ignored.`,
      place: { file: source.file, tensor },
    });
  for (const name of source.tensors.keys()) {
    const [, own, leaf] = FACTOR_NAME.exec(name) ?? [];
    if (own === undefined) ignored('The tensor is not part of a LoRA adapter', name);
    else if (leaf === 'm' && fine_tune_type === 'lora')
      throw new LoraError(
        'adapter',
        'The tensor is a magnitude of DoRA, but the config does not say fine_tune_type "dora".',
        { place: { file: source.file, tensor: name } },
      );
    else if (keys && !keys.some((key) => own === key || own.endsWith(`.${key}`)))
      ignored('The module is not in the keys of lora_parameters', name);
    else paths.add(own);
  }
  return { paths: [...paths], warnings };
}

async function readModule(
  source: SafetensorsFile,
  own: string,
  modulePath: string,
  { fine_tune_type, lora_parameters: { rank, scale, alpha } }: Config,
): Promise<LoraFactors> {
  const read = async (leaf: string) => {
    const tensor = `${own}.${leaf}`;
    const stored = source.tensors.get(tensor);
    if (!stored)
      throw new LoraError(
        'adapter',
        `Its partner is missing: ${own} needs ${fine_tune_type === 'dora' ? 'lora_a, lora_b and m' : 'lora_a and lora_b'}.`,
        { place: { file: source.file, tensor } },
      );
    return {
      data: await source.readF32(tensor),
      shape: stored.shape,
      place: { file: source.file, tensor },
    };
  };
  const [a, b] = [await read('lora_a'), await read('lora_b')];
  const isEmbedding = EMBEDDING.test(own);
  if (isEmbedding && fine_tune_type === 'dora')
    throw new LoraError(
      'adapter',
      `mlx-lm's DoRA scales ${own} by token, but PEFT's by dimension: it cannot be read.`,
      { place: { file: source.file, tensor: `${own}.m` }, fix: 'Fuse it with mlx_lm.fuse.' },
    );
  const m = fine_tune_type === 'dora' ? await read('m') : null;
  const [A, B] = [a, b].map(({ data, shape, place }) =>
    transposed(matrixOf(data, shape, place)),
  ) as [ReturnType<typeof transposed>, ReturnType<typeof transposed>];
  if (m && m.data.length !== B.rows)
    throw new LoraError(
      'adapter',
      `The magnitude vector must have ${countOf(B.rows, 'element')}, but its shape is [${m.shape.join(', ')}].`,
      { place: m.place },
    );
  return factorsOf({
    path: modulePath,
    kind: isEmbedding ? 'embedding' : 'linear',
    A,
    B,
    magnitude: m && checkFinite(m.data, m.place),
    scaling: alpha === undefined ? scale : scale * (alpha / rank), // versions from 2024 have both
  });
}

/** mlx-lm has one rank for all modules: smaller ones are padded with zeros, which are removed. */
function withoutPadding(m: LoraFactors): LoraFactors {
  const isPadding = (k: number) =>
    m.A.subarray(k * m.in_features, (k + 1) * m.in_features).every((x) => x === 0) &&
    Array.from({ length: m.out_features }, (_, o) => m.B[o * m.r + k]).every((x) => x === 0);
  let { r } = m;
  while (r > 1 && isPadding(r - 1)) r--;
  if (r === m.r) return m;
  const B = new Float32Array(m.out_features * r);
  for (let o = 0; o < m.out_features; o++) B.set(m.B.subarray(o * m.r, o * m.r + r), o * r);
  return { ...m, r, A: m.A.slice(0, r * m.in_features), B };
}
