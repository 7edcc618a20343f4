import * as v from 'valibot';
import { fullMatch, looksAround, unusableLayerKey, type TargetSettings } from '../../lora/targets';
import type { AdapterConfig } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { readJsonObject } from '../json';
import { refuseOtherKinds } from './variants';

const rank = v.pipe(
  v.number('must be a number'),
  v.integer('must be a whole number'),
  v.minValue(1, 'must be at least 1'),
);
const alpha = v.pipe(v.number('must be a number'), v.gtValue(0, 'must be above 0'));
const names = v.union(
  [v.string(), v.array(v.string())],
  'must be a name, an expression or a list of names',
);

const tokens = v.pipe(
  v.array(v.pipe(v.number(), v.integer(), v.minValue(0))),
  v.check((ids) => new Set(ids).size === ids.length, 'must name each token once'),
);

const ConfigSchema = v.looseObject({
  r: rank,
  lora_alpha: alpha,
  lora_dropout: v.optional(v.pipe(v.number('must be a number'), v.minValue(0), v.maxValue(1)), 0),
  target_modules: names,
  use_rslora: v.nullish(v.boolean('must be true or false'), false),
  use_dora: v.nullish(v.boolean('must be true or false'), false),
  bias: v.nullish(
    v.picklist(['none', 'all', 'lora_only'], 'must be "none", "all" or "lora_only"'),
    'none',
  ),
  modules_to_save: v.nullish(v.array(v.string(), 'must be a list of names'), null),
  fan_in_fan_out: v.nullish(v.boolean('must be true or false'), false),
  base_model_name_or_path: v.nullish(v.string(), null),
  layers_to_transform: v.nullish(
    v.union([v.number(), v.array(v.number())], 'must be a layer or a list of layers'),
    null,
  ),
  layers_pattern: v.nullish(names, null),
  rank_pattern: v.nullish(v.record(v.string(), rank), {}),
  alpha_pattern: v.nullish(v.record(v.string(), alpha), {}),
  exclude_modules: v.nullish(names, null),
  trainable_token_indices: v.nullish(
    v.union(
      [tokens, v.record(v.string(), tokens)],
      'must be a list of tokens, or lists by the names of modules',
    ),
    null,
  ),
});

/**
 * Reads and checks adapter_config.json.
 *
 * @throws LoraError('adapter') naming the file and the key.
 */
export async function readAdapterConfig(file: string): Promise<AdapterConfig> {
  const raw = await readJsonObject(file, 'adapter');
  refuseOtherKinds(raw, file);
  const parsed = v.safeParse(ConfigSchema, raw);
  if (parsed.success) {
    checkExpressions(parsed.output, file);
    checkLayers(parsed.output, file);
    const known = Object.fromEntries(
      Object.keys(ConfigSchema.entries).map((key) => [key, parsed.output[key]]),
    ) as v.InferOutput<v.ObjectSchema<typeof ConfigSchema.entries, undefined>>;
    return { ...known, raw };
  }
  const [issue] = parsed.issues;
  const key = (issue.path ?? []).map((item) => String(item.key)).join('.');
  const what =
    issue.input === undefined
      ? 'is missing'
      : `${ruleOf(issue)}, not ${JSON.stringify(issue.input)}`;
  throw new LoraError('adapter', `The adapter's config is not usable: "${key}" ${what}.`, {
    place: { file, key },
    fix: 'Correct the file, or copy or download the adapter again.',
  });
}

/** The keys that only select modules, which the weights file lists too. */
const SELECTORS: readonly string[] = ['target_modules', 'exclude_modules', 'layers_pattern'];

/** @throws LoraError('adapter') when a regular expression cannot be used. */
function checkExpressions(
  {
    target_modules,
    exclude_modules,
    layers_pattern,
    rank_pattern,
    alpha_pattern,
  }: v.InferOutput<typeof ConfigSchema>,
  file: string,
): void {
  const texts = Object.entries({
    target_modules: typeof target_modules === 'string' ? [target_modules] : [],
    exclude_modules: typeof exclude_modules === 'string' ? [exclude_modules] : [],
    layers_pattern: [layers_pattern ?? []].flat(),
    rank_pattern: Object.keys(rank_pattern),
    alpha_pattern: Object.keys(alpha_pattern),
  });
  for (const [key, expressions] of texts) {
    try {
      for (const text of expressions)
        if (!SELECTORS.includes(key) || !looksAround(text)) fullMatch(text, key);
    } catch (error) {
      const { message, fix } = LoraError.from(error, 'adapter');
      throw new LoraError('adapter', message, {
        place: { file, key },
        ...(fix && { fix }),
        cause: error,
      });
    }
  }
}

/** @throws LoraError('adapter') when PEFT would refuse the settings of layers. */
function checkLayers(settings: TargetSettings, file: string): void {
  const key = unusableLayerKey(settings);
  if (key === null) return;
  throw new LoraError(
    'adapter',
    `The adapter's config is not usable: "${key}" has no effect where target_modules is not a list of names.`,
    { place: { file, key }, fix: 'Correct the file, or copy or download the adapter again.' },
  );
}
