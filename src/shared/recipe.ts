import * as v from 'valibot';
import { PROBLEM_TYPES, TASKS } from './task';

const described = <S extends v.GenericSchema>(schema: S, description: string) =>
  v.pipe(schema, v.description(description));
const whole = (min: number) =>
  v.pipe(
    v.number(),
    v.integer(`must be a whole number`),
    v.minValue(min, `must be at least ${min}`),
  );
const share = () =>
  v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.maxValue(1, 'must be at most 1'));
const positive = () => v.pipe(v.number(), v.gtValue(0, 'must be above 0'));
const nonNegative = () => v.pipe(v.number(), v.minValue(0, 'must be at least 0'));
const path = () => v.pipe(v.string(), v.minLength(1, 'must not be empty'));

export const SCHEDULERS = ['cosine', 'linear', 'constant', 'constant_with_warmup'] as const;
export const INITS = ['default', 'gaussian', 'orthogonal', 'olora', 'pissa'] as const;
export const BASE_DTYPES = ['auto', 'float32', 'bfloat16'] as const;
export type BaseDtype = (typeof BASE_DTYPES)[number];
export const TRAINING_METHODS = ['lora', 'full'] as const;
export type TrainingMethod = (typeof TRAINING_METHODS)[number];
export const LABEL_CHOICES = ['assistant', 'all'] as const;

const ChatsSchema = v.strictObject({
  same_role: v.optional(
    described(
      v.picklist(['merge', 'skip', 'error']),
      'Two messages of one role running: merged into one, with an empty line between them; or the row is skipped; or it is an error.',
    ),
    'merge',
  ),
  assistant_first: v.optional(
    described(
      v.picklist(['drop', 'skip', 'error']),
      'A chat that begins with the assistant: that message is dropped, as no question stands before it; or the row is skipped; or it is an error.',
    ),
    'drop',
  ),
  user_last: v.optional(
    described(
      v.picklist(['drop', 'skip', 'error']),
      'A chat that ends on a question: that message is dropped, as no answer teaches anything; or the row is skipped; or it is an error.',
    ),
    'drop',
  ),
  system_refused: v.optional(
    described(
      v.picklist(['fold', 'skip', 'error']),
      "A system message that the base's chat template refuses: folded into the first user message; or the row is skipped; or it is an error.",
    ),
    'fold',
  ),
});

const LoraSchema = v.strictObject({
  r: v.optional(
    described(
      whole(1),
      'Rank r of the update BA: each adapted layer trains r·(in + out) numbers instead of in·out. 1 to 16 is usually enough.',
    ),
    8,
  ),
  lora_alpha: v.optional(
    described(
      positive(),
      'The update is scaled by s = lora_alpha / r (by lora_alpha / √r with use_rslora).',
    ),
    16,
  ),
  lora_dropout: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.ltValue(1, 'must be below 1')),
      'Share of the inputs of A that is dropped at random in training.',
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
      'Which layers are adapted: "all-linear", a list of module names or suffixes such as ["q_proj", "v_proj"], or a regular expression for the whole module path.',
    ),
    'all-linear',
  ),
  use_rslora: v.optional(
    described(
      v.boolean(),
      'Rank-stabilised LoRA: scale by lora_alpha / √r, which keeps high ranks learning.',
    ),
    false,
  ),
  use_dora: v.optional(
    described(
      v.boolean(),
      'DoRA: the length of each row of W + dW is trained apart from its direction; slower, often better at low ranks.',
    ),
    false,
  ),
  init_lora_weights: v.optional(
    described(
      v.picklist(INITS),
      'How A and B begin. default: A random, B zero; gaussian: A normal; orthogonal: A and B both from one orthogonal matrix, with BA zero; olora, pissa: with parts of W, which the base goes without in training (the adapter is saved converted, for the whole base).',
    ),
    'default',
  ),
  rank_pattern: v.optional(
    described(
      v.record(v.string(), whole(1)),
      'Other ranks for some layers: an expression for the end of the module path, and its rank.',
    ),
    {},
  ),
  alpha_pattern: v.optional(
    described(
      v.record(v.string(), positive()),
      'Other lora_alpha for some layers, as rank_pattern.',
    ),
    {},
  ),
  layers_to_transform: v.optional(
    described(
      v.nullable(
        v.union([whole(0), v.array(whole(0))], "must be a layer's number or a list of them"),
      ),
      'Only these layers are adapted, counted from 0; null: all.',
    ),
    null,
  ),
  layers_pattern: v.optional(
    described(
      v.nullable(v.union([v.string(), v.array(v.string())], 'must be a name or a list of names')),
      'Name of the list of layers in module paths, for layers_to_transform; null: found.',
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
      'Layers that are not adapted although target_modules names them.',
    ),
    null,
  ),
  modules_to_save: v.optional(
    described(
      v.nullable(v.array(v.pipe(v.string(), v.minLength(1)))),
      'Modules that are trained whole, beside LoRA, and saved with it, such as ["lm_head"]; a new head for labels is always among them.',
    ),
    null,
  ),
  bias: v.optional(
    described(
      v.picklist(['none', 'all', 'lora_only']),
      'Biases that are trained too: none, all, or those of the adapted layers.',
    ),
    'none',
  ),
  frozen_adapters: v.optional(
    described(
      v.array(path()),
      'Adapter folders (PEFT files) that stay as they are under the new one, which learns on top of them; it is used with them.',
    ),
    [],
  ),
  init_adapter: v.optional(
    described(
      v.nullable(path()),
      'Go on from this adapter folder (PEFT files) instead of starting anew; its r and targets are used.',
    ),
    null,
  ),
});

const TrainingSchema = v.strictObject({
  method: v.optional(
    described(
      v.picklist(TRAINING_METHODS),
      'What trains. lora: an adapter on the frozen base. full: all weights of the base, in float32, which makes a model of its own: two to three times the memory, and files as large as the model; for a small model, or to compare. The settings of lora do not count then, and learning_rate should be about a tenth.',
    ),
    'lora',
  ),
  learning_rate: v.optional(
    described(
      positive(),
      'Peak learning rate of AdamW. LoRA takes about ten times the rate of full tuning.',
    ),
    2e-4,
  ),
  num_train_epochs: v.optional(
    described(
      positive(),
      'How often the whole dataset is seen; max_steps, if set, decides instead.',
    ),
    3,
  ),
  max_steps: v.optional(
    described(v.nullable(whole(1)), 'Number of optimizer steps; null: as num_train_epochs says.'),
    null,
  ),
  per_device_train_batch_size: v.optional(described(whole(1), 'Examples in a batch.'), 4),
  gradient_accumulation_steps: v.optional(
    described(whole(1), 'Batches a step: the loss is the mean over all their labelled tokens.'),
    1,
  ),
  lr_scheduler_type: v.optional(
    described(v.picklist(SCHEDULERS), 'How the learning rate goes on after the warm-up.'),
    'cosine',
  ),
  warmup_steps: v.optional(
    described(
      whole(0),
      'Steps in which the learning rate rises from 0; above 0 it overrides warmup_ratio.',
    ),
    0,
  ),
  warmup_ratio: v.optional(
    described(share(), 'Share of all steps in which the learning rate rises from 0.'),
    0.03,
  ),
  weight_decay: v.optional(
    described(nonNegative(), 'Decoupled weight decay of AdamW, on all adapter tensors.'),
    0.01,
  ),
  max_grad_norm: v.optional(
    described(
      nonNegative(),
      'Gradients are scaled down to this total L2 norm; 0 switches clipping off.',
    ),
    1,
  ),
  max_length: v.optional(described(whole(2), 'Longer examples are cut to this many tokens.'), 512),
  packing: v.optional(
    described(
      v.boolean(),
      'Put several short examples into one row of max_length tokens, none of which sees another: no padding is computed. For causal_lm.',
    ),
    false,
  ),
  base_dtype: v.optional(
    described(
      v.picklist(BASE_DTYPES),
      'In what the frozen base is held and multiplied; norms, loss, LoRA and optimizer are float32 always. bfloat16 takes half the memory. auto: bfloat16 where the processor multiplies it by itself, or where float32 does not fit into memory.',
    ),
    'auto',
  ),
  gradient_checkpointing: v.optional(
    described(
      v.union([v.literal('auto'), v.boolean()], 'must be "auto", true or false'),
      'Compute layers again in the backward pass instead of keeping what they computed: about half the memory at three quarters of the speed. auto: as many layers as memory asks for.',
    ),
    'auto',
  ),
  loraplus_lr_ratio: v.optional(
    described(
      v.nullable(v.pipe(v.number(), v.minValue(1, 'must be at least 1'))),
      'LoRA+: the learning rate of B as a multiple of that of A, such as 16; null: the same.',
    ),
    null,
  ),
  shuffle: v.optional(described(v.boolean(), 'Draw the examples in a new order each epoch.'), true),
  seed: v.optional(
    described(
      whole(0),
      'Seed of everything random: the same recipe and seed give the same adapter on the same machine.',
    ),
    42,
  ),
  eval_steps: v.optional(
    described(whole(1), 'Steps between two evaluations on the validation set.'),
    50,
  ),
  save_steps: v.optional(described(whole(1), 'Steps between two checkpoints.'), 100),
  save_total_limit: v.optional(described(whole(1), 'How many checkpoints are kept.'), 2),
});

const SamplesSchema = v.strictObject({
  prompts: v.optional(
    described(
      v.array(v.string()),
      'Questions that are put to the model while it trains; empty: the first two prompts of the validation set.',
    ),
    [],
  ),
  sample_steps: v.optional(
    described(whole(0), 'Steps between two rounds of samples; 0 switches them off.'),
    50,
  ),
  max_new_tokens: v.optional(described(whole(1), 'Longest sample answer, in tokens.'), 48),
});

export const RecipeSchema = v.strictObject({
  $schema: v.optional(v.string()),
  base: described(
    path(),
    "The frozen base model: a Hugging Face model folder or a .gguf file. Relative paths start at this file's folder.",
  ),
  dataset: described(
    path(),
    'Training examples: a .jsonl file of messages, prompt and completion, text, Alpaca, ShareGPT or tokenized rows; of text and label (seq_cls), tokens and tags (token_cls), anchor and positive (embedding); or a folder with a folder of images for each class (image_cls).',
  ),
  task: v.optional(
    described(
      v.picklist(TASKS),
      'What is learnt. causal_lm: to write text; seq_cls: labels of texts; token_cls: labels of words; image_cls: labels of images; embedding: which texts belong together.',
    ),
    'causal_lm',
  ),
  problem_type: v.optional(
    described(
      v.nullable(v.picklist(PROBLEM_TYPES)),
      'What the labels of seq_cls are: one class a row, several, or real numbers; null: as the rows show (text or whole numbers, lists, numbers with a fraction).',
    ),
    null,
  ),
  validation: v.optional(
    described(
      v.nullable(path()),
      'Examples that are only evaluated; null: split off the dataset as validation_split says.',
    ),
    null,
  ),
  validation_split: v.optional(
    described(
      v.pipe(v.number(), v.minValue(0, 'must be at least 0'), v.ltValue(1, 'must be below 1')),
      'Share of the dataset, drawn by the seed, that is held out when validation is null; 0: none.',
    ),
    0.1,
  ),
  labels: v.optional(
    described(
      v.picklist(LABEL_CHOICES),
      "Which tokens are learnt: the assistant's answers only, or all.",
    ),
    'assistant',
  ),
  chats: v.optional(
    described(
      ChatsSchema,
      'What is done with chats that do not alternate between user and assistant. Rows are counted and told before the start.',
    ),
    {},
  ),
  unlabelled_rows: v.optional(
    described(
      v.picklist(['error', 'skip']),
      'Rows in which no token is left to learn, such as those whose answer begins behind max_length: an error, or left out.',
    ),
    'error',
  ),
  lora: v.optional(described(LoraSchema, 'The adapter.'), {}),
  training: v.optional(described(TrainingSchema, 'The training run.'), {}),
  samples: v.optional(described(SamplesSchema, 'Sample completions at chosen steps.'), {}),
});

/** A recipe with every default filled in. */
export type Recipe = v.InferOutput<typeof RecipeSchema>;
/** A recipe as a person writes it. */
export type RecipeInput = v.InferInput<typeof RecipeSchema>;
export type LoraSettings = Recipe['lora'];
export type TrainingSettings = Recipe['training'];
