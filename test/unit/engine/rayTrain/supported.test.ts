import { describe, expect, it } from 'vitest';
import {
  refuseUnsupported,
  unsupportedKeys,
  type SupportInputs,
} from '../../../../src/engine/rayTrain/supported';
import { LoraError } from '../../../../src/shared/errors';
import { parseRecipe } from '../../../../src/shared/recipeFile';

const FOLDER: SupportInputs['base'] = { format: 'safetensors', path: '/models/tiny', spec: {} };

interface Asked {
  readonly recipe?: object;
  readonly base?: SupportInputs['base'];
  readonly workers?: number;
}

function inputs({ recipe = {}, base = FOLDER, workers }: Asked): SupportInputs {
  const text = JSON.stringify({ base: base.path, dataset: '/rows.jsonl', ...recipe });
  return { recipe: parseRecipe(text, '/lora.json'), base, workers: workers ?? null };
}

const keysOf = (asked: Asked): string[] => unsupportedKeys(inputs(asked)).map(({ key }) => key);

describe('supported', () => {
  it.each<Asked>([
    {},
    { recipe: { lora: { use_dora: true, use_rslora: true, bias: 'all', lora_dropout: 0.1 } } },
    { recipe: { lora: { rank_pattern: { q_proj: 4 }, alpha_pattern: { q_proj: 8 } } } },
    { recipe: { lora: { target_modules: ['q_proj'], layers_to_transform: [0] } } },
    { recipe: { lora: { modules_to_save: ['lm_head'], init_lora_weights: 'orthogonal' } } },
    { recipe: { lora: { init_adapter: '/adapter' } } },
    { recipe: { training: { packing: true, base_dtype: 'bfloat16', loraplus_lr_ratio: 16 } } },
    { recipe: { samples: { prompts: ['Hello'], sample_steps: 0 } } },
    { workers: 4 },
  ])('%j', (asked) => {
    expect(keysOf(asked)).toEqual([]);
  });
});

const best = (training: object) => ({ training });

describe('refused by its key', () => {
  it.each<[string, Asked]>([
    ['objective.method', { recipe: { objective: { method: 'dpo' } } }],
    ['base', { base: { ...FOLDER, format: 'gguf' } }],
    ['base', { base: { ...FOLDER, spec: { language_model: 'model.language_model' } } }],
    ['task', { recipe: { task: 'seq_cls' } }],
    ['training.method', { recipe: { training: { method: 'full' } } }],
    ['lora.init_lora_weights', { recipe: { lora: { init_lora_weights: 'pissa' } } }],
    ['lora.init_lora_weights', { recipe: { lora: { init_lora_weights: 'olora' } } }],
    ['lora.frozen_adapters', { recipe: { lora: { frozen_adapters: ['/adapter'] } } }],
    ['training.label_smoothing_factor', { recipe: best({ label_smoothing_factor: 0.1 }) }],
    ['training.base_dtype', { recipe: best({ base_dtype: 'quantized' }) }],
    ['training.neftune_noise_alpha', { recipe: best({ neftune_noise_alpha: 5 }) }],
    ['training.metric_for_best_model', { recipe: best({ metric_for_best_model: 'perplexity' }) }],
    ['training.early_stopping_patience', { recipe: best({ early_stopping_patience: 2 }) }],
    ['samples.prompts', { recipe: { samples: { prompts: ['Hello'] } } }],
    ['training.per_device_train_batch_size', { workers: 5 }],
  ])('%s: %j', (key, asked) => {
    expect(keysOf(asked)).toEqual([key]);
  });
});

it('a step of several batches has rows for more workers', () => {
  const recipe = { training: { gradient_accumulation_steps: 2 } };
  expect(keysOf({ recipe, workers: 8 })).toEqual([]);
  expect(keysOf({ recipe, workers: 9 })).toEqual(['training.per_device_train_batch_size']);
});

it('the refusal names the line of the key, and all keys if there are several', () => {
  const text =
    '{"base": "/models/tiny", "dataset": "/rows.jsonl",\n"training": {"method": "full"}}';
  const refuse = (asked: Asked) => () => refuseUnsupported(inputs(asked), '/lora.json', text);
  const recipe = { training: { method: 'full' } };
  expect(refuse({})).not.toThrow();
  const single = LoraError.from(catching(refuse({ recipe })), 'engine');
  expect(single.area).toBe('recipe');
  expect(single.message).toBe('Ray Train trains adapters only. Set training.method to "lora".');
  expect(single.place).toMatchObject({ file: '/lora.json', line: 2, key: 'training.method' });
  const both = { recipe, base: { ...FOLDER, format: 'gguf' as const } };
  const error = LoraError.from(catching(refuse(both)), 'engine');
  expect(error.problems.map(({ place }) => place?.key)).toEqual(['base', 'training.method']);
});

function catching(work: () => void): unknown {
  try {
    work();
  } catch (error) {
    return error;
  }
  return null;
}
