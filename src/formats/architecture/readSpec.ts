import { LoraError } from '../../shared/errors';
import { MODEL_TASKS, type ModelTask } from '../../shared/task';
import { isObject } from '../../shared/values';
import type { QuantizeOptions } from '../quantized/whileLoading';
import type { ReplacedTensor } from '../weightSource';
import { ConfigReader, type Config } from './config';
import { FAMILIES, KNOWN_FAMILIES } from './families';
import type { Family } from './family';
import { statedContext } from './positions';
import type { Spec } from './spec';
import { taskOfClass } from './transformersClass';
import { nearestFix, unknownKind } from './unknownModels';

/** How a model is opened. */
export interface ReadSpecOptions {
  /** By default what the checkpoint was made for. */
  readonly task?: ModelTask;
  /** Labels of a new head; by default those of the config. */
  readonly num_labels?: number;
  /** Initialize the classifier's last layer newly, even when the checkpoint has one. */
  readonly new_head?: boolean;
  /** Rows of the embedding, when an adapter replaces it. */
  readonly vocab_size?: number;
  /** The tensors that an adapter replaces. */
  readonly replaced?: ReadonlyMap<string, ReplacedTensor>;
  /** Quantize the linear layers when they are read. Default: as they are stored. */
  readonly quantize?: QuantizeOptions | null;
}

/**
 * Reads a config.json, including that of a vision-language model, whose language model is used.
 *
 * @throws LoraError('base') naming the key, or the supported architectures.
 */
export function readSpec(config: Config, file: string, options: ReadSpecOptions = {}): Spec {
  const given = textConfig(config);
  const inner =
    options.vocab_size === undefined ? given : { ...given, vocab_size: options.vocab_size };
  checkSupported(config, inner, file);
  const family = FAMILIES[typeOf(inner)]!;
  const reader = new ConfigReader(inner, file);
  const own = family.spec(reader, {
    task: taskOf(inner, family, file, options.task),
    num_labels: options.num_labels ?? labelsOf(reader),
  });
  const context = statedContext(inner['max_position_embeddings'], own);
  const spec = { ...own, ...(context !== null && { context }) };
  if (textConfig(config) === config) return spec;
  const vision = isObject(config['vision_config']) && family.vision?.[typeOf(config)];
  return {
    ...spec,
    language_model: languageModelOf(config),
    ...(vision && { vision: vision(config, file) }),
  };
}

/** The method that quantized the weights read from safetensors files (src/formats/quantized). */
const QUANTIZED_METHODS: readonly unknown[] = ['bitsandbytes', 'torchao'];

/** Settings of GPTQ and AWQ whose storage is read: the values that are, undefined where missing. */
const PACKED_SETTINGS: Readonly<Record<string, Readonly<Record<string, readonly unknown[]>>>> = {
  gptq: { bits: [4], checkpoint_format: ['gptq', undefined] },
  awq: { bits: [4], version: ['gemm', undefined] },
};

/** @throws LoraError('base') for another storage of GPTQ or AWQ than the one that is read. */
function refuseOtherPacking(method: unknown, settings: Config, file: string): boolean {
  if (typeof method !== 'string' || !Object.hasOwn(PACKED_SETTINGS, method)) return false;
  for (const [key, known] of Object.entries(PACKED_SETTINGS[method]!)) {
    const value = settings[key];
    const own = typeof value === 'string' ? value.toLowerCase() : (value ?? undefined);
    if (known.includes(own)) continue;
    throw new LoraError(
      'base',
      `The weights are quantised by ${method} with ${key} ${JSON.stringify(value ?? null)}, which is not supported; ${JSON.stringify(known[0])} is.`,
      {
        place: { file, key: `quantization_config.${key}` },
        fix: 'Use the model in bf16, f16 or f32, or a .gguf file of it.',
      },
    );
  }
  return true;
}

/** Models for text and images whose class in transformers calls its language model `text_model`. */
const WITH_TEXT_MODEL: readonly unknown[] = ['idefics2', 'idefics3', 'smolvlm', 'granite_docling'];

/** Models for text and images whose class in transformers does not cap the logits. */
const WITHOUT_SOFTCAP: readonly unknown[] = ['gemma3'];

/** The path of the language model within a vision-language model, in transformers 5. */
const languageModelOf = ({ model_type }: Config): string =>
  WITH_TEXT_MODEL.includes(model_type) ? 'model.text_model' : 'model.language_model';

/** The tasks that models of a family can be trained for. */
export const tasksOf = (family: string): readonly ModelTask[] => FAMILIES[family]?.tasks ?? [];

/** Whether the weights of a model that `readSpec` has read are packed in blocks. */
export const isPackedIn = (config: Config, spec: Pick<Spec, 'family'>): boolean =>
  packingOf(textConfig(config)) !== undefined &&
  packingOf(textConfig(config)) === FAMILIES[spec.family]?.packed;

const packingOf = ({ quantization_config: own }: Config): unknown =>
  isObject(own) ? own['quant_method'] : undefined;

/** The config of the language model within that of a vision-language model; else the config. */
export function textConfig(config: Config): Config {
  const inner = config['text_config'];
  if (!isObject(inner)) return config;
  if (!Object.hasOwn(FAMILIES, typeOf(inner))) return config;
  const { tie_word_embeddings: tied } = config; // the outer model ties its output layer
  return {
    ...inner,
    architectures: undefined,
    ...(WITHOUT_SOFTCAP.includes(config['model_type']) && { final_logit_softcapping: null }),
    ...(typeof tied === 'boolean' && { tie_word_embeddings: tied }),
  };
}

const typeOf = ({ model_type }: Config): string =>
  typeof model_type === 'string' ? model_type : JSON.stringify(model_type ?? null);

function taskOf(
  config: Config,
  family: Family,
  file: string,
  wanted: ModelTask | undefined,
): ModelTask {
  const task =
    wanted ??
    madeFor(config) ??
    family.tasks.find((t) => t === 'causal_lm' || t === 'embedding' || t === 'image_cls') ??
    family.tasks[0]!;
  if (family.tasks.includes(task)) return task;
  if (wanted === undefined) return family.tasks.at(-1)!;
  throw new LoraError(
    'base',
    `A ${typeOf(config)} model does not support the task "${task}", only: ${family.tasks.join(', ')}.`,
    {
      place: { file, key: 'model_type' },
      fix: `Choose another task or another model. Tasks: ${MODEL_TASKS.join(', ')}.`,
    },
  );
}

function madeFor({ architectures }: Config): ModelTask | undefined {
  const name: unknown = Array.isArray(architectures) ? architectures[0] : null;
  return typeof name === 'string' ? taskOfClass(name) : undefined;
}

function labelsOf(reader: ConfigReader): number {
  const { id2label, num_labels } = reader.config;
  if (typeof id2label === 'object' && id2label !== null)
    return Math.max(1, Object.keys(id2label).length);
  return num_labels === undefined ? 2 : reader.count('num_labels', 2, 1_000_000);
}

function checkSupported(config: Config, inner: Config, file: string): void {
  const model_type = typeOf(inner);
  const place = { file, key: 'model_type' };
  const known = `Supported: ${KNOWN_FAMILIES.join(', ')}.`;
  if (inner['model_type'] === undefined)
    throw new LoraError(
      'base',
      `The config does not say which architecture the model has (model_type). ${known}`,
      { place },
    );
  const isKnown = Object.hasOwn(FAMILIES, model_type);
  const kind = unknownKind(model_type);
  if (!isKnown && kind)
    throw new LoraError(
      'base',
      `The model is ${kind.what} (${model_type}), which is not supported. ${known}`,
      { place, fix: kind.fix },
    );
  if (!isKnown)
    throw new LoraError(
      'base',
      `The architecture ${JSON.stringify(model_type)} is not supported. ${known}`,
      { place, fix: nearestFix(model_type) },
    );
  const experts = ['num_experts', 'num_local_experts', 'n_routed_experts'].find(
    (key) => typeof inner[key] === 'number' && inner[key] > 1,
  );
  if (experts && !FAMILIES[model_type]!.hasExperts)
    throw new LoraError('base', 'The model is a mixture of experts, which is not supported.', {
      place: { file, key: experts },
      fix: 'Use a dense model of the same series.',
    });
  const quantised = config['quantization_config'] ?? inner['quantization_config'];
  if (quantised === undefined || quantised === null) return;
  const method = (quantised as Config)['quant_method'];
  const { packed } = FAMILIES[model_type]!;
  if (refuseOtherPacking(method, quantised as Config, file)) return;
  if (QUANTIZED_METHODS.includes(method) || (method !== undefined && method === packed)) return;
  throw new LoraError(
    'base',
    `The weights are quantised${typeof method === 'string' ? ` by ${method}` : ''}, which is not supported in safetensors files.`,
    {
      place: { file, key: 'quantization_config' },
      fix: 'Use the model in bf16, f16 or f32, or a .gguf file of it.',
    },
  );
}
