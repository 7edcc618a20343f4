import * as v from 'valibot';
import { described, int, path, positive } from './schemaParts';

const INITS = ['default', 'gaussian', 'orthogonal', 'olora', 'pissa'] as const;

const TokensSchema = v.array(int(0));

/** The recipe's `lora`. */
export const LoraSchema = v.strictObject({
  r: v.optional(
    described(
      int(1),
      'Rank r of the update BA: each adapted layer trains r·(in + out) numbers instead of ' +
        'in·out. 1 to 16 is usually enough.',
    ),
    8,
  ),
  lora_alpha: v.optional(
    described(
      positive(),
      'The update is scaled by s = lora_alpha / r (lora_alpha / √r with use_rslora).',
    ),
    16,
  ),
  lora_dropout: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.ltValue(1, 'must be below 1')),
      'Probability with which inputs of A are set to zero during training.',
    ),
    0,
  ),
  target_modules: v.optional(
    described(
      v.union(
        [v.pipe(v.string(), v.minLength(1)), v.array(v.pipe(v.string(), v.minLength(1)))],
        'must be "all-linear", a regular expression or a list of module names',
      ),
      'The layers to adapt: "all-linear", a list of module names or suffixes such as ' +
        '["q_proj", "v_proj"], or a regular expression for the whole module path.',
    ),
    'all-linear',
  ),
  target_parameters: v.optional(
    described(
      v.nullable(v.array(v.pipe(v.string(), v.minLength(1)))),
      'Parameters of a mixture of experts to adapt in addition to target_modules: its experts and its router, such as ["experts.gate_up_proj", "experts.down_proj"]. To adapt only these, set target_modules to [].',
    ),
    null,
  ),
  use_rslora: v.optional(
    described(
      v.boolean(),
      'Rank-stabilized LoRA: scale by lora_alpha / √r instead, so that high ranks keep learning.',
    ),
    false,
  ),
  use_dora: v.optional(
    described(
      v.boolean(),
      'DoRA: train the magnitude of each row of W + dW separately from its direction. Slower, ' +
        'often better at low ranks.',
    ),
    false,
  ),
  init_lora_weights: v.optional(
    described(
      v.picklist(INITS),
      'Initial values of A and B. default: A random, B zero. gaussian: A normally ' +
        'distributed. orthogonal: A and B from one orthogonal matrix, with BA = 0. olora, ' +
        'pissa: parts of W, which are subtracted from the base during training; the adapter is ' +
        'converted when it is saved, so that it fits the unchanged base.',
    ),
    'default',
  ),
  rank_pattern: v.optional(
    described(
      v.record(v.string(), int(1)),
      'Ranks of individual layers: a regular expression for the end of the module path, and the rank.',
    ),
    {},
  ),
  alpha_pattern: v.optional(
    described(
      v.record(v.string(), positive()),
      'lora_alpha of individual layers, in the form of rank_pattern.',
    ),
    {},
  ),
  layers_to_transform: v.optional(
    described(
      v.nullable(v.union([int(0), v.array(int(0))], "must be a layer's number or a list of them")),
      'Adapt only the layers with these numbers, counted from 0. null: all layers.',
    ),
    null,
  ),
  layers_pattern: v.optional(
    described(
      v.nullable(v.union([v.string(), v.array(v.string())], 'must be a name or a list of names')),
      'Name of the list of layers in module paths, for layers_to_transform. null: found automatically.',
    ),
    null,
  ),
  exclude_modules: v.optional(
    described(
      v.nullable(
        v.union(
          [v.string(), v.array(v.string())],
          'must be a regular expression or a list of module names',
        ),
      ),
      'Layers that are not adapted even if target_modules matches them.',
    ),
    null,
  ),
  modules_to_save: v.optional(
    described(
      v.nullable(v.array(v.pipe(v.string(), v.minLength(1)))),
      'Modules whose weights are trained in full and saved with the adapter, such as ' +
        '["lm_head"]. A new classification head is always one of them.',
    ),
    null,
  ),
  trainable_token_indices: v.optional(
    described(
      v.nullable(
        v.union(
          [TokensSchema, v.record(v.pipe(v.string(), v.minLength(1)), TokensSchema)],
          'must be a list of tokens, or lists by the names of modules',
        ),
      ),
      'Tokens whose embedding rows are trained while all other rows stay frozen, for tokens that are new to the base. By module for an output layer that is not tied to the embedding: {"embed_tokens": [5, 6], "lm_head": [5, 6]}.',
    ),
    null,
  ),
  bias: v.optional(
    described(
      v.picklist(['none', 'all', 'lora_only']),
      'Which biases are also trained: none, all, or those of the adapted layers (lora_only).',
    ),
    'none',
  ),
  frozen_adapters: v.optional(
    described(
      v.array(path()),
      'Adapter folders (PEFT format) that are applied under the new adapter and stay frozen. The new adapter needs them when it is used.',
    ),
    [],
  ),
  init_adapter: v.optional(
    described(
      v.nullable(path()),
      'Adapter folder (PEFT format) to continue training from; its r and target_modules are ' +
        'used. null: start a new adapter.',
    ),
    null,
  ),
});
