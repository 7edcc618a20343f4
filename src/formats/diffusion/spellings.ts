import type { Adapter, LoraFactors } from '../../lora/adapter';
import { withRankPatterns } from '../../lora/combine';
import { splitRows, stackedRows, swappedRows, type StackedPart } from '../../lora/rowsOfUpdates';
import { LoraError } from '../../shared/errors';
import { flat } from '../kohya/names';
import { fluxModules, type FluxModule } from './fluxNames';
import { pipelineModule, type PipelineModule } from './names';

const TRANSFORMER = 'transformer.';

/** Whether an adapter is of an image pipeline: all of its modules are known as such. */
export const isOfPipeline = ({ modules }: Pick<Adapter, 'modules'>): boolean =>
  modules.length > 0 && modules.every(({ path }) => pipelineModule(path) !== null);

/** Whether an adapter is of Flux, with all of its modules. */
export const isOfFlux = (adapter: Pick<Adapter, 'modules'>): boolean =>
  isOfPipeline(adapter) &&
  adapter.modules.some(({ path }) => pipelineModule(path)!.paths[0]!.startsWith(TRANSFORMER));

/** Whether all modules have the paths of Diffusers' pipelines. */
export const isInDiffusers = ({ modules }: Pick<Adapter, 'modules'>): boolean =>
  modules.every(({ path }) => pipelineModule(path)?.paths.join() === path);

/** What the numbers of rows of a fused weight follow from. */
interface FusedShape {
  readonly in_features: number;
  readonly out_features: number;
}

/**
 * The rows of each part of a fused weight: three of the same size, and in Flux' single blocks what
 * remains for the MLP. Null: the weight has no such parts.
 */
export function rowsOfParts(
  count: number,
  { in_features, out_features }: FusedShape,
): readonly number[] | null {
  if (count === 1) return [out_features];
  if (count === 3) return out_features % 3 === 0 ? Array<number>(3).fill(out_features / 3) : null;
  const rest = out_features - 3 * in_features;
  return rest > 0 ? [in_features, in_features, in_features, rest] : null;
}

/**
 * The adapter with the modules and names of Diffusers' pipelines, such as
 * `transformer.transformer_blocks.0.attn.to_q`. Updates of fused weights are split exactly.
 *
 * @throws LoraError('adapter') naming a module of no known pipeline, or one of another shape.
 */
export function withDiffusersNames(adapter: Adapter, file: string): Adapter {
  const modules = adapter.modules.flatMap((m) => inDiffusers(m, file));
  refuseTwice(modules, file);
  return withRankPatterns({ ...adapter, has_dotted_names: false }, modules);
}

function inDiffusers(m: LoraFactors, file: string): LoraFactors[] {
  const known = pipelineModule(m.path);
  if (!known)
    throw new LoraError(
      'adapter',
      `${m.path} is not a known module of Stable Diffusion 1, SDXL or Flux.`,
      { place: { file }, fix: 'Keep the format, or leave this module out.' },
    );
  const rows = checkedRows(m, known, file);
  const [first] = known.paths as [string, ...string[]];
  switch (known.rows) {
    case 'same':
      return [{ ...m, path: first }];
    case 'swapped':
      return [swappedRows(m, first)];
    case 'stacked':
      return splitRows(
        m,
        known.paths.map((path, i) => ({ path, rows: rows[i]! })),
      );
  }
}

function checkedRows(m: LoraFactors, known: PipelineModule, file: string): readonly number[] {
  const rows = rowsOfParts(known.paths.length, m);
  const isWhole = known.rows !== 'swapped' || m.out_features % 2 === 0;
  if (rows && isWhole) return rows;
  throw new LoraError(
    'adapter',
    `${m.path} is ${m.out_features} x ${m.in_features}, which cannot be divided into ${known.paths.join(', ')}.`,
    { place: { file }, fix: 'Check that the adapter is of this model.' },
  );
}

function refuseTwice(modules: readonly LoraFactors[], file: string): void {
  const seen = new Set<string>();
  for (const { path } of modules) {
    if (seen.has(path))
      throw new LoraError('adapter', `The adapter has two updates of ${path}.`, {
        place: { file },
        fix: 'Split the file: merge or combine one after the other.',
      });
    seen.add(path);
  }
}

/** Flux' modules by the paths of their parts in Diffusers. */
let byPart: ReadonlyMap<string, FluxModule> | null = null;
const fluxModuleOf = (part: string): FluxModule | undefined => {
  byPart ??= new Map(fluxModules().flatMap((own) => own.diffusers.map((path) => [path, own])));
  return byPart.get(part);
};

/**
 * The adapter with the modules of Flux' original checkpoints under the names of kohya's scripts,
 * such as `lora_unet_double_blocks_0_img_attn_qkv`: updates that share a weight are stacked.
 * Modules of other models get Diffusers' paths.
 *
 * @throws LoraError('adapter') as `withDiffusersNames`, and where DoRA is on parts of a weight.
 */
export function withOriginalFluxNames(adapter: Adapter, file: string): Adapter {
  const own = withDiffusersNames(adapter, file);
  const others: LoraFactors[] = [];
  const parts = new Map<FluxModule, Map<string, LoraFactors>>();
  for (const m of own.modules) {
    const part = m.path.slice(TRANSFORMER.length);
    const module = m.path.startsWith(TRANSFORMER) ? fluxModuleOf(part) : undefined;
    if (module)
      parts.set(module, (parts.get(module) ?? new Map<string, LoraFactors>()).set(part, m));
    else others.push({ ...m, path: kohyaEncoderName(m.path) });
  }
  const modules = [...parts].map(([module, found]) => originalOf(module, found, file));
  return withRankPatterns(own, [...others, ...modules]);
}

/** kohya's scripts number T5 as the third text encoder. */
const kohyaEncoderName = (path: string): string => {
  const [model, inner] = [path.slice(0, path.indexOf('.')), path.slice(path.indexOf('.') + 1)];
  return `${model === 'text_encoder' ? 'lora_te1_' : 'lora_te3_'}${flat(inner)}`;
};

/** Rows of Flux' MLP for each of its inputs. */
const MLP_RATIO = 4;

function originalOf(
  { original, diffusers, isSwapped }: FluxModule,
  found: ReadonlyMap<string, LoraFactors>,
  file: string,
): LoraFactors {
  const name = `lora_unet_${flat(original)}`;
  const own = [...found.values()];
  const [first] = own as [LoraFactors, ...LoraFactors[]];
  if (isSwapped) return swappedRows(first, name);
  if (diffusers.length === 1) return { ...first, path: name };
  if (own.length < diffusers.length && own.some((m) => m.magnitude))
    throw new LoraError(
      'adapter',
      `DoRA is on some of the modules that are one weight in Flux' original checkpoints, ${original}: it cannot be moved there.`,
      { place: { file }, fix: "Keep Diffusers' names." },
    );
  const rowsWithout = (part: string): number => {
    if (!part.endsWith('.proj_mlp')) return rowsOfAttention(first);
    return MLP_RATIO * first.in_features;
  };
  const parts = diffusers.map((part): StackedPart => {
    const factors = found.get(part) ?? null;
    return { factors, rows: factors?.out_features ?? rowsWithout(part) };
  });
  return stackedRows(name, parts);
}

/** q, k and v have as many rows as the blocks have channels. */
const rowsOfAttention = ({ in_features }: LoraFactors): number => in_features;
