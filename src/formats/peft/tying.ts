import { patternValue } from '../../lora/patterns';
import {
  areEqual,
  areTransposed,
  isOutputPath,
  tiedFactors,
  type TiedPaths,
} from '../../lora/tying';
import {
  type Adapter,
  type AdapterConfig,
  type LoraFactors,
  type TrainedTensor,
  scalingOf,
} from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import type { AdapterBase, AdapterFiles } from './againstBase';

const EMBEDDING = /(?:^|\.)(?:embed_tokens|wte|embed_in)$/;
const KEY = 'ensure_weight_tying';

/**
 * The embedding and the output layer that the config ties to each other; null when it ties none.
 * Without a base they are those of which the file has tensors.
 *
 * @param paths Modules of which the file has tensors.
 */
export function tiedPaths(
  { raw }: Pick<AdapterConfig, 'raw'>,
  base: AdapterBase | undefined,
  paths: readonly string[],
): TiedPaths | null {
  if (raw[KEY] !== true) return null;
  if (base) return base.tied ?? null; // without a tied layer PEFT ignores the key
  const embedding = paths.find((path) => EMBEDDING.test(path));
  const output = paths.find(isOutputPath);
  return embedding === undefined || output === undefined ? null : { embedding, output };
}

/** Whether the path is one of the two, and `isChosen` holds for one of them. */
export const isTiedTo = (
  path: string,
  tied: TiedPaths | null,
  isChosen: (path: string) => boolean,
): boolean =>
  tied !== null &&
  (path === tied.embedding || path === tied.output) &&
  (isChosen(tied.embedding) || isChosen(tied.output));

/** Both layers as modules that target_modules can name, whichever the file has; empty: neither. */
export function tiedModules(
  tied: TiedPaths | null,
  modules: readonly LoraFactors[],
): readonly Omit<LoraFactors, 'A' | 'B' | 'magnitude'>[] {
  const known = modules.find((m) => m.path === tied?.embedding || m.path === tied?.output);
  if (!tied || !known) return [];
  return [
    { ...known, path: tied.embedding, kind: 'embedding' },
    { ...known, path: tied.output, kind: 'linear' },
  ];
}

/**
 * Gives both of two tied layers the tensor that one of them has.
 *
 * @throws LoraError('adapter') when they have different ones.
 */
export function withTiedTensors(
  trained: readonly TrainedTensor[],
  tied: TiedPaths | null,
  { weights }: AdapterFiles,
): readonly TrainedTensor[] {
  if (!tied) return trained;
  const names = [`${tied.embedding}.weight`, `${tied.output}.weight`] as const;
  const [embedding, output] = names.map((name) => trained.find((own) => own.name === name));
  if (!embedding && !output) return trained;
  if (embedding && output && !areEqual(embedding.data, output.data))
    throw contradiction(tied, weights);
  const { shape, data } = (embedding ?? output)!;
  return [
    ...trained.filter((own) => own !== embedding && own !== output),
    ...names.map((name) => ({ name, shape, data })),
  ];
}

/**
 * Gives both of two tied layers the update that one of them has.
 *
 * @throws LoraError('adapter') when they have different ones, or use DoRA.
 */
export function withTiedFactors(
  modules: readonly LoraFactors[],
  tied: TiedPaths | null,
  config: AdapterConfig,
  files: AdapterFiles,
): readonly LoraFactors[] {
  if (!tied) return modules;
  const [embedding, output] = [tied.embedding, tied.output].map((path) =>
    modules.find((m) => m.path === path),
  );
  const known = embedding ?? output;
  if (!known) return modules;
  if (embedding?.magnitude || output?.magnitude)
    throw new LoraError(
      'adapter',
      `The adapter ties DoRA of ${tied.embedding} to that of ${tied.output} (${KEY}), which is not supported.`,
      { place: { file: files.config, key: KEY }, fix: 'Merge it into its base with PEFT.' },
    );
  if (embedding && output) {
    if (areTransposed(embedding, output)) return modules;
    throw contradiction(tied, files.weights);
  }
  const path = embedding ? tied.output : tied.embedding;
  const alpha = patternValue(config.alpha_pattern, path, config.lora_alpha, 'alpha_pattern');
  const scaling = scalingOf(known.r, alpha, config.use_rslora);
  return [...modules, tiedFactors(known, path, scaling)];
}

const contradiction = ({ embedding, output }: TiedPaths, file: string): LoraError =>
  new LoraError(
    'adapter',
    `The config says that ${output} has the same numbers as ${embedding} (${KEY}), but their tensors differ.`,
    {
      place: { file, tensor: output },
      fix: 'Copy or download both files of the adapter again: they do not belong together.',
    },
  );

/** Whether the adapter changes layers that its config ties to each other. */
export function changesTiedLayers(
  { config, modules, trained }: Adapter,
  tied: TiedPaths | null,
): boolean {
  if (!tied || config.raw[KEY] !== true) return false;
  const paths = [tied.embedding, tied.output];
  return (
    modules.some((m) => paths.includes(m.path)) ||
    trained.some(({ name, rows }) => !rows && paths.some((path) => name === `${path}.weight`))
  );
}
