import { moduleOfKernel, type LayersKernel } from '../../formats/layersModel/kernels';
import { newAdapter, PLAIN_LORA } from '../../lora/newAdapter';
import { matchTargets } from '../../lora/targets';
import { describeUnmatched, unmatchedEntries } from '../../lora/unmatched';
import type { Adapter } from '../../lora/adapter';
import { exactPattern } from '../../lora/exactPattern';
import { LoraError } from '../../shared/errors';
import type { Recipe } from '../../shared/recipe';
import { countOf } from '../../shared/values';

interface PlanHooks {
  readonly info: (message: string) => void;
  /** `key`: that of the recipe which the warning is about. */
  readonly warn: (message: string, key?: string) => void;
}

/**
 * A new adapter on the kernels that target_modules names: by their paths or the ends of these, by
 * their layers or by classes of layers. "all-linear" is all but embeddings.
 *
 * @param config What the adapter's config says of the model: `raw` of its configuration.
 * @throws LoraError('recipe') when none matches; LoraError('base') when there is no kernel
 */
export function planLayersAdapter(
  recipe: Recipe,
  kernels: readonly LayersKernel[],
  config: { readonly base: string; readonly raw: Readonly<Record<string, unknown>> },
  { info, warn }: PlanHooks,
): Adapter {
  const { lora, training } = recipe;
  if (kernels.length === 0)
    throw new LoraError('base', 'The model has no layer but a new output layer that could train.', {
      place: { file: recipe.base, key: 'modelTopology' },
      fix: 'Use a model with a dense, convolutional, recurrent or embedding layer before its output.',
    });
  const place = { file: recipe.base, key: 'lora.target_modules' };
  const modules = kernels.map(moduleOfKernel);
  const { matched, unmatched } = matchTargets(modules, lora);
  const hints = unmatched.map(({ name, nearest }) => {
    return `"${name}" is no layer of this model${nearest === undefined ? '.' : `; did you mean "${nearest}"?`}`;
  });
  if (matched.length === 0)
    throw new LoraError('recipe', `No layer matches target_modules. ${hints.join(' ')}`.trim(), {
      place,
      fix: `Use "all-linear", or a list of some of these: ${knownNames(kernels)
        .slice(0, 12)
        .map((name) => `"${name}"`)
        .join(', ')}.`,
    });
  if (hints.length > 0) warn(`target_modules: ${hints.join(' ')}`, 'lora.target_modules');
  const known = { modules, adapted: matched, paths: kernels.map(({ path }) => path) };
  for (const own of unmatchedEntries(lora, known))
    if (own.key !== 'target_modules') warn(describeUnmatched(own), `lora.${own.key}`);
  const init = lora.init_lora_weights;
  const adapter = newAdapter(
    matched,
    { ...PLAIN_LORA, ...choicesOf(lora), target_modules: matched.map(({ path }) => path) },
    config.base,
    { seed: training.seed, init: init === 'gaussian' || init === 'orthogonal' ? init : 'default' },
  );
  const numbers = adapter.modules.reduce((sum, { A, B }) => sum + A.length + B.length, 0);
  info(
    `LoRA on ${countOf(matched.length, 'kernel')}: ${numbers.toLocaleString('en-US')} trainable parameters.`,
  );
  return {
    ...adapter,
    config: { ...adapter.config, ...exactPatterns(adapter, lora), raw: config.raw },
  };
}

/** The names of the layers that an adapter changes. */
export function adaptedLayers(
  { modules }: Pick<Adapter, 'modules'>,
  kernels: readonly Pick<LayersKernel, 'path' | 'layer'>[],
): string[] {
  const layers = new Map(kernels.map(({ path, layer }) => [path, layer]));
  return modules.flatMap(({ path }) => layers.get(path) ?? []);
}

const choicesOf = ({ r, lora_alpha, use_rslora, rank_pattern, alpha_pattern }: Recipe['lora']) => ({
  r,
  lora_alpha,
  use_rslora,
  rank_pattern,
  alpha_pattern,
});

/** Patterns that name paths, as the adapter's own reader and the library for browsers read them. */
function exactPatterns({ modules }: Adapter, { r, lora_alpha, use_rslora }: Recipe['lora']) {
  const alphaOf = (own: { readonly r: number; readonly scaling: number }) =>
    own.scaling * (use_rslora ? Math.sqrt(own.r) : own.r);
  return {
    rank_pattern: exactPattern(
      modules.map((own) => [own.path, own.r]),
      r,
    ),
    alpha_pattern: exactPattern(
      modules.map((own) => [own.path, alphaOf(own)]),
      lora_alpha,
    ),
  };
}

const knownNames = (kernels: readonly LayersKernel[]): string[] => [
  ...new Set(kernels.flatMap(({ className, layer, path }) => [className, layer, path])),
];
