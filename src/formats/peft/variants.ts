import { isObject } from '../../shared/values';
import { LoraError, type Place, type Problem } from '../../shared/errors';
import { warning } from './againstBase';
import { isKnownParameter } from './parameters';

type RawConfig = Readonly<Record<string, unknown>>;

/** A key of LoraConfig that changes what an adapter computes, and is not supported. */
interface Variant {
  readonly key: string;
  /** Whether PEFT ignores the key when it has this value. */
  readonly isUnused: (value: unknown) => boolean;
  readonly name: string;
}

/** Python's `not value`. */
const isFalsy = (value: unknown): boolean =>
  !value ||
  (Array.isArray(value) && value.length === 0) ||
  (isObject(value) && Object.keys(value).length === 0);

const isRead = (value: unknown): boolean =>
  isFalsy(value) || (Array.isArray(value) && value.every(isKnownParameter));

const isNone = (value: unknown): boolean =>
  value === null || value === false || (Array.isArray(value) && value.length === 0);

const variant = (
  key: string,
  name: string,
  isUnused: (value: unknown) => boolean = isNone,
): Variant => ({ key, name, isUnused });

const VARIANTS: readonly Variant[] = [
  variant('lora_bias', 'LoRA with a bias', isFalsy),
  variant('target_parameters', 'target_parameters of other parts than experts', isRead),
  variant('layer_replication', 'layer replication', isFalsy),
  variant('alora_invocation_tokens', 'activated LoRA'),
  variant('use_qalora', 'QA-LoRA', isFalsy),
  variant('use_bdlora', 'block-diagonal LoRA'),
  variant('arrow_config', 'arrow routing'),
  variant('kasa_config', 'KaSA'),
  variant('monteclora_config', 'MonteCLoRA'),
  variant('megatron_config', 'parallel layers of Megatron', isFalsy),
  variant('enable_lora', 'LoRA of some parts of a fused layer (enable_lora)', isFalsy),
  variant(
    'init_lora_weights',
    "an initialization that changes the base model's weights (init_lora_weights)",
    leavesBase,
  ),
];

/**
 * PiSSA, CorDA, OLoRA, LoftQ and LoRA-GA subtract the initial BA from the base, so that A and B are
 * wrong for the original base. PEFT can convert such an adapter when it saves.
 */
function leavesBase(value: unknown): boolean {
  return typeof value !== 'string' || !/^(pissa|corda|olora$|loftq$|lora_ga$)/i.test(value);
}

/** Keys of LoraConfig that do not change what a trained adapter computes, or that are read. */
const HARMLESS: ReadonlySet<string> = new Set([
  'alpha_pattern',
  'auto_mapping',
  'base_model_name_or_path',
  'bias',
  'corda_config',
  'ensure_weight_tying',
  'eva_config',
  'exclude_modules',
  'fan_in_fan_out',
  'inference_mode',
  'layers_model',
  'layers_pattern',
  'layers_to_transform',
  'loftq_config',
  'lora_alpha',
  'lora_dropout',
  'lora_ga_config',
  'megatron_core',
  'merge_weights',
  'modules_to_save',
  'peft_type',
  'peft_version',
  'qalora_group_size',
  'r',
  'rank_pattern',
  'revision',
  'runtime_config',
  'target_modules',
  'task_type',
  'trainable_token_indices',
  'use_dora',
  'use_rslora',
  'velora_config',
]);

/**
 * @throws LoraError('adapter') when the config is not that of a LoRA adapter, or of a variant that
 *   is not supported.
 */
export function refuseOtherKinds(raw: RawConfig, file: string): void {
  const { peft_type } = raw;
  if (peft_type !== 'LORA') {
    const what =
      peft_type === undefined
        ? 'does not say its type: peft_type is missing'
        : `is of the type ${JSON.stringify(peft_type)}`;
    throw new LoraError('adapter', `The adapter ${what}. Only LoRA adapters can be used.`, {
      place: { file, key: 'peft_type' },
      fix: 'Merge such an adapter into its base with the tool that made it, or train a LoRA adapter instead.',
    });
  }
  const found = VARIANTS.find(({ key, isUnused }) => key in raw && !isUnused(raw[key]));
  if (found) throw unsupported(found.name, { file, key: found.key });
}

/** The error for an adapter of an unsupported variant of LoRA. */
export const unsupported = (name: string, place: Place): LoraError =>
  new LoraError('adapter', `The adapter uses ${name}, which is not supported.`, {
    place,
    fix: 'Merge it into its base with PEFT, or train a LoRA, rsLoRA or DoRA adapter instead.',
  });

/** Warnings about keys that may change what the adapter computes, and that are not known. */
export function unknownKeys(raw: RawConfig, file: string): Problem[] {
  const known = new Set([...HARMLESS, ...VARIANTS.map(({ key }) => key)]);
  return Object.keys(raw)
    .filter((key) => !known.has(key) && !isFalsy(raw[key]))
    .map((key) =>
      warning(`"${key}" is not a known key of a LoRA adapter's config and is ignored`, {
        file,
        key,
      }),
    );
}
