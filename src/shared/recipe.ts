import * as v from 'valibot';
import { TemplateVariablesSchema } from './chatVariables';
import { described, int, nonNegative, path, positive, share } from './schemaParts';
import { PROBLEM_TYPES, TASKS } from './task';

const SCHEDULERS = ['cosine', 'linear', 'constant', 'constant_with_warmup'] as const;
const INITS = ['default', 'gaussian', 'orthogonal', 'olora', 'pissa'] as const;
/** The choices for training.base_dtype. */
export const BASE_DTYPES = ['auto', 'float32', 'bfloat16'] as const;
export type BaseDtype = (typeof BASE_DTYPES)[number];
/** The choices for training.method. */
export const TRAINING_METHODS = ['lora', 'full'] as const;
export type TrainingMethod = (typeof TRAINING_METHODS)[number];
const LABEL_CHOICES = ['assistant', 'all'] as const;

const ChatsSchema = v.strictObject({
  same_role: v.optional(
    described(
      v.picklist(['merge', 'skip', 'error']),
      'Two consecutive messages of the same role. merge: join them with an empty line ' +
        'between them; skip: leave the row out; error: refuse the dataset.',
    ),
    'merge',
  ),
  assistant_first: v.optional(
    described(
      v.picklist(['drop', 'skip', 'error']),
      'A chat that starts with the assistant. drop: remove that message, because no question ' +
        'precedes it; skip: leave the row out; error: refuse the dataset.',
    ),
    'drop',
  ),
  user_last: v.optional(
    described(
      v.picklist(['drop', 'skip', 'error']),
      'A chat that ends with a question. drop: remove that message, because no answer ' +
        'follows it; skip: leave the row out; error: refuse the dataset.',
    ),
    'drop',
  ),
  system_refused: v.optional(
    described(
      v.picklist(['fold', 'skip', 'error']),
      "A system message that the base's chat template rejects. fold: put it at the start of " +
        'the first user message; skip: leave the row out; error: refuse the dataset.',
    ),
    'fold',
  ),
});

const LoraSchema = v.strictObject({
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
      'Share of the inputs of A that is set to zero at random during training.',
    ),
    0,
  ),
  target_modules: v.optional(
    described(
      v.union(
        [
          v.pipe(v.string(), v.minLength(1)),
          v.pipe(
            v.array(v.pipe(v.string(), v.minLength(1))),
            v.minLength(1, 'must name at least one module'),
          ),
        ],
        'must be "all-linear", a regular expression or a list of module names',
      ),
      'The layers to adapt: "all-linear", a list of module names or suffixes such as ' +
        '["q_proj", "v_proj"], or a regular expression for the whole module path.',
    ),
    'all-linear',
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
      'DoRA: train the length of each row of W + dW separately from its direction. Slower, ' +
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
      'Adapter folders (PEFT format) that are applied below the new adapter and do not ' +
        'change. The new adapter needs them when it is used.',
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

const TrainingSchema = v.strictObject({
  method: v.optional(
    described(
      v.picklist(TRAINING_METHODS),
      'What is trained. lora: an adapter for the frozen base. full: all weights of the base ' +
        '(full fine-tuning) in float32, which produces a complete model. It needs two to three ' +
        'times the memory and a learning_rate about a tenth as high, and ignores the settings ' +
        'of lora.',
    ),
    'lora',
  ),
  learning_rate: v.optional(
    described(
      positive(),
      'Peak learning rate of AdamW. LoRA needs about ten times the rate of full fine-tuning.',
    ),
    2e-4,
  ),
  num_train_epochs: v.optional(
    described(positive(), 'Number of passes over the dataset. max_steps overrides it.'),
    3,
  ),
  max_steps: v.optional(
    described(
      v.nullable(int(1)),
      'Number of optimizer steps. null: computed from num_train_epochs.',
    ),
    null,
  ),
  per_device_train_batch_size: v.optional(described(int(1), 'Number of examples in a batch.'), 4),
  gradient_accumulation_steps: v.optional(
    described(
      int(1),
      'Number of batches in a step. The loss is the mean over all of their labelled tokens.',
    ),
    1,
  ),
  lr_scheduler_type: v.optional(
    described(v.picklist(SCHEDULERS), 'How the learning rate changes after the warm-up.'),
    'cosine',
  ),
  warmup_steps: v.optional(
    described(
      int(0),
      'Number of warm-up steps, in which the learning rate rises from 0. Values above 0 override warmup_ratio.',
    ),
    0,
  ),
  warmup_ratio: v.optional(described(share(), 'Share of all steps that are warm-up steps.'), 0.03),
  weight_decay: v.optional(
    described(
      nonNegative(),
      'Decoupled weight decay of AdamW, applied to all tensors of the adapter.',
    ),
    0.01,
  ),
  max_grad_norm: v.optional(
    described(nonNegative(), 'Gradients are scaled down to this total L2 norm. 0: no clipping.'),
    1,
  ),
  max_length: v.optional(
    described(int(2), 'Longest example in tokens. Longer ones are truncated.'),
    512,
  ),
  packing: v.optional(
    described(
      v.boolean(),
      'Pack several short examples into one row of max_length tokens, hidden from each ' +
        'other, so that no padding is computed. For causal_lm.',
    ),
    false,
  ),
  base_dtype: v.optional(
    described(
      v.picklist(BASE_DTYPES),
      'Data type of the frozen base. bfloat16 halves its memory. auto: bfloat16 if the ' +
        'processor multiplies it natively, or if float32 does not fit into memory. Norms, ' +
        'loss, LoRA and optimizer always use float32.',
    ),
    'auto',
  ),
  gradient_checkpointing: v.optional(
    described(
      v.union([v.literal('auto'), v.boolean()], 'must be "auto", true or false'),
      'Recompute layers in the backward pass instead of storing their results: about half ' +
        'the memory at three quarters of the speed. auto: as many layers as memory requires.',
    ),
    'auto',
  ),
  loraplus_lr_ratio: v.optional(
    described(
      v.nullable(v.pipe(v.number(), v.minValue(1, 'must be at least 1'))),
      'LoRA+: the learning rate of B as a multiple of that of A, such as 16. null: the same rate.',
    ),
    null,
  ),
  shuffle: v.optional(described(v.boolean(), 'Shuffle the examples in each epoch.'), true),
  seed: v.optional(
    described(
      int(0),
      'Seed of all random numbers. The same recipe and seed produce the same adapter on the same machine.',
    ),
    42,
  ),
  eval_steps: v.optional(
    described(int(1), 'Number of steps between two evaluations on the validation set.'),
    50,
  ),
  save_steps: v.optional(described(int(1), 'Number of steps between two checkpoints.'), 100),
  save_total_limit: v.optional(described(int(1), 'Number of checkpoints to keep.'), 2),
});

const SamplesSchema = v.strictObject({
  prompts: v.optional(
    described(
      v.array(v.string()),
      'Prompts that the model answers during training, under the system message that the rows ' +
        'share. Empty: the first two rows of the validation set, up to their last answer.',
    ),
    [],
  ),
  sample_steps: v.optional(
    described(int(0), 'Number of steps between two rounds of samples. 0: no samples.'),
    50,
  ),
  max_new_tokens: v.optional(
    described(int(1), "Maximum length of a sample's answer, in tokens."),
    48,
  ),
});

/** Checks a recipe and fills in the defaults. The descriptions become those of the JSON schema. */
export const RecipeSchema = v.strictObject({
  $schema: v.optional(v.string()),
  base: described(
    path(),
    "The base model: a Hugging Face model folder or a .gguf file. Relative paths start at the recipe's folder.",
  ),
  dataset: described(
    path(),
    'Training examples: a .jsonl file with messages, prompt and completion, text, Alpaca, ' +
      'ShareGPT or tokenized rows; with text and label (seq_cls), tokens and tags (token_cls), ' +
      'or anchor and positive (embedding); or a folder with one folder of images per class ' +
      '(image_cls).',
  ),
  task: v.optional(
    described(
      v.picklist(TASKS),
      'The task to train for. causal_lm: write text; seq_cls: classify texts; token_cls: ' +
        'classify words; image_cls: classify images; embedding: find texts that belong ' +
        'together.',
    ),
    'causal_lm',
  ),
  problem_type: v.optional(
    described(
      v.nullable(v.picklist(PROBLEM_TYPES)),
      'The kind of labels of seq_cls: one class per row, several classes, or real numbers. ' +
        'null: detected from the rows (text or whole numbers; lists; numbers with a fraction).',
    ),
    null,
  ),
  validation: v.optional(
    described(
      v.nullable(path()),
      'Examples for evaluation only. null: validation_split takes them from the dataset.',
    ),
    null,
  ),
  validation_split: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.ltValue(1, 'must be below 1')),
      'Share of the dataset that is held out for validation when validation is null. The ' +
        'seed selects the examples. 0: no validation.',
    ),
    0.1,
  ),
  labels: v.optional(
    described(
      v.picklist(LABEL_CHOICES),
      "The tokens to train on: only the assistant's answers, or all.",
    ),
    'assistant',
  ),
  chats: v.optional(
    described(
      ChatsSchema,
      'How to handle chats that do not alternate between user and assistant. The affected ' +
        'rows are counted and reported before the start.',
    ),
    {},
  ),
  chat_template_kwargs: v.optional(TemplateVariablesSchema, {}),
  unlabelled_rows: v.optional(
    described(
      v.picklist(['error', 'skip']),
      'How to handle rows without a token to train on, for example because the answer starts ' +
        'after max_length. error: refuse the dataset; skip: leave them out.',
    ),
    'error',
  ),
  skip_faulty_rows: v.optional(
    described(
      v.boolean(),
      'Leave out rows with errors (invalid JSON, missing or wrong values, labels that do not fit, ' +
        'chats that the template refuses) instead of refusing the dataset. They are counted ' +
        "before the start and listed in the run's folder.",
    ),
    false,
  ),
  lora: v.optional(described(LoraSchema, 'The adapter.'), {}),
  training: v.optional(described(TrainingSchema, 'The training run.'), {}),
  samples: v.optional(described(SamplesSchema, 'Sample answers during training.'), {}),
});

/** A recipe with every default filled in. */
export type Recipe = v.InferOutput<typeof RecipeSchema>;
/** A recipe as a person writes it. */
export type RecipeInput = v.InferInput<typeof RecipeSchema>;
export type LoraSettings = Recipe['lora'];
export type TrainingSettings = Recipe['training'];
