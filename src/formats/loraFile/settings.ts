import * as v from 'valibot';
import { patternValue } from '../../lora/patterns';
import { scalingOf } from '../../lora/adapter';
import { LoraError } from '../../shared/errors';
import { ruleOf } from '../../shared/schemaRule';
import { isObject } from '../../shared/values';

/** The key of the header's metadata under which Diffusers stores the settings of LoRA. */
const KEY = 'lora_adapter_metadata';

const rank = v.pipe(
  v.number('must be a number'),
  v.integer('must be a whole number'),
  v.minValue(1),
);
const alpha = v.pipe(v.number('must be a number'), v.finite('must be finite'));
const SettingsSchema = v.looseObject({
  r: rank,
  lora_alpha: alpha,
  rank_pattern: v.nullish(v.record(v.string(), rank), {}),
  alpha_pattern: v.nullish(v.record(v.string(), alpha), {}),
  use_rslora: v.nullish(v.boolean('must be true or false'), false),
});
type Settings = v.InferOutput<typeof SettingsSchema>;

/** The scale that a file's metadata give a module; null: they say nothing of it. */
export type DeclaredScale = (path: string, r: number, tensor: string) => number | null;

/**
 * Reads the settings that Diffusers stores beside the tensors: those of each model of the pipeline
 * (`unet.r`, `unet.lora_alpha`), or of the only one (`r`, `lora_alpha`).
 *
 * @throws LoraError('adapter') when they are not valid; the result, when a rank contradicts them.
 */
export function declaredScales(
  metadata: Readonly<Record<string, string>>,
  file: string,
): DeclaredScale {
  const text = metadata[KEY];
  if (text === undefined) return () => null;
  const models = modelsIn(text, file);
  return (path, r, tensor) => {
    const [model, settings] =
      [...models].find(([own]) => own === '' || path.startsWith(`${own}.`)) ?? [];
    if (model === undefined || !settings) return null;
    const inner = model === '' ? path : path.slice(model.length + 1);
    const declared = patternValue(settings.rank_pattern, inner, settings.r, 'rank_pattern');
    if (declared !== r)
      throw new LoraError(
        'adapter',
        `The tensor has rank ${r}, but the file's ${KEY} says r = ${declared}.`,
        { place: { file, tensor }, fix: 'Save or download the adapter again.' },
      );
    const own = patternValue(settings.alpha_pattern, inner, settings.lora_alpha, 'alpha_pattern');
    return scalingOf(r, own, settings.use_rslora);
  };
}

/** Settings by the model's name; '' for the only one. */
function modelsIn(text: string, file: string): ReadonlyMap<string, Settings> {
  const all = parsed(text, file);
  const prefixes = Object.keys(all)
    .filter((key) => key === 'lora_alpha' || key.endsWith('.lora_alpha'))
    .map((key) => key.slice(0, -'lora_alpha'.length));
  return new Map(
    prefixes.map((prefix) => {
      const own = Object.fromEntries(
        Object.entries(all)
          .filter(([key]) => key.startsWith(prefix))
          .map(([key, value]) => [key.slice(prefix.length), value]),
      );
      const result = v.safeParse(SettingsSchema, own);
      if (result.success) return [prefix.replace(/\.$/, ''), result.output];
      const [issue] = result.issues;
      throw invalid(`${prefix}${v.getDotPath(issue) ?? 'r'} ${ruleOf(issue)}`, file);
    }),
  );
}

function parsed(text: string, file: string): Readonly<Record<string, unknown>> {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (error) {
    throw invalid('it is not JSON', file, error);
  }
  if (!isObject(value)) throw invalid('it is not a JSON object', file);
  return value;
}

const invalid = (what: string, file: string, cause?: unknown): LoraError =>
  new LoraError('adapter', `The adapter's settings in the file's header are not usable: ${what}.`, {
    place: { file, key: KEY },
    fix: 'Save or download the adapter again.',
    cause,
  });
