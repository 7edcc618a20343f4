import * as v from 'valibot';
import { BEST_METRICS } from './bestMetric';
import { SCHEDULER_NAMES, SchedulerParametersSchema } from './schedulers';
import { described, int, nonNegative, positive, share } from './schemaParts';

/** The choices for training.base_dtype. */
export const BASE_DTYPES = ['auto', 'float32', 'bfloat16', 'quantized'] as const;
export type BaseDtype = (typeof BASE_DTYPES)[number];
/** The choices for training.quantize. */
export const QUANTIZE = ['nf4', 'int8'] as const;
export type Quantize = (typeof QUANTIZE)[number];
/** The choices for training.method. */
export const TRAINING_METHODS = ['lora', 'full'] as const;
export type TrainingMethod = (typeof TRAINING_METHODS)[number];

/** The recipe's `training`. */
export const TrainingSchema = v.strictObject({
  method: v.optional(
    described(
      v.picklist(TRAINING_METHODS),
      'What is trained. lora: an adapter for the frozen base. full: all weights of the base ' +
        '(full fine-tuning) in float32, which produces a complete model. It needs two to three times the memory and about a tenth of the learning_rate, and ignores the settings of lora.',
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
    described(
      v.picklist(SCHEDULER_NAMES),
      'How the learning rate changes after the warm-up, with the names used by transformers.',
    ),
    'cosine',
  ),
  lr_scheduler_kwargs: v.optional(
    described(
      SchedulerParametersSchema,
      'Parameters of the scheduler, with the names used by transformers. A parameter that the scheduler does not have is an error. null: its default.',
    ),
    {},
  ),
  warmup_steps: v.optional(
    described(
      int(0),
      'Number of warm-up steps, in which the learning rate rises from 0. Values above 0 override warmup_ratio.',
    ),
    0,
  ),
  warmup_ratio: v.optional(
    described(share(), 'Fraction of all steps that are warm-up steps.'),
    0.03,
  ),
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
      'Pack several short examples into one row of max_length tokens, without attention between them, so that no padding is computed. causal_lm only.',
    ),
    false,
  ),
  base_dtype: v.optional(
    described(
      v.picklist(BASE_DTYPES),
      'Data type of the frozen base. bfloat16 halves its memory. quantized: the weights of a quantized GGUF file, or of a bitsandbytes, torchao, GPTQ or AWQ checkpoint, stay quantized in memory. auto: bfloat16 if the processor multiplies ' +
        'it natively, or if float32 does not fit into memory; quantized if neither fits. ' +
        'Norms, loss, LoRA and optimizer always use float32.',
    ),
    'auto',
  ),
  quantize: v.optional(
    described(
      v.nullable(v.picklist(QUANTIZE)),
      'Quantize the linear layers of the frozen base while it is loaded, as bitsandbytes does. ' +
        'nf4: 4 bits in blocks of 64 with double quantization (QLoRA). int8: 8 bits, with a ' +
        'scale for each row of a weight. Heads, embeddings, norms and modules_to_save are not quantized. base_dtype is then the data type of matrix products. Needs a safetensors base. null: ' +
        'as it is stored.',
    ),
    null,
  ),
  gradient_checkpointing: v.optional(
    described(
      v.union([v.literal('auto'), v.boolean()], 'must be "auto", true or false'),
      'Recompute layers in the backward pass instead of storing their activations: about half ' +
        'the memory at three quarters of the speed. auto: for as many layers as memory requires.',
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
  label_smoothing_factor: v.optional(
    described(
      share(),
      'Label smoothing ε: the target of a label is 1 - ε, and ε is shared by all tokens or ' +
        'classes. Evaluations measure the loss without it.',
    ),
    0,
  ),
  neftune_noise_alpha: v.optional(
    described(
      v.nullable(positive()),
      'NEFTune: in training, uniform noise of up to alpha / √(length · width) is added to the token embeddings. 5 is usual. null: none.',
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
  metric_for_best_model: v.optional(
    described(
      v.picklist(BEST_METRICS),
      'What decides which weights are kept in best/: the validation loss, or a score of the task.',
    ),
    'loss',
  ),
  greater_is_better: v.optional(
    described(
      v.nullable(v.boolean()),
      'Whether a higher value of metric_for_best_model is better. null: as the metric is defined.',
    ),
    null,
  ),
  early_stopping_patience: v.optional(
    described(
      v.nullable(int(1)),
      'End the training after this many evaluations in a row that did not improve ' +
        'metric_for_best_model. null: train to the end.',
    ),
    null,
  ),
  early_stopping_threshold: v.optional(
    described(
      nonNegative(),
      'By how much an evaluation must beat the best one to count as an improvement.',
    ),
    0,
  ),
  save_steps: v.optional(described(int(1), 'Number of steps between two checkpoints.'), 100),
  save_total_limit: v.optional(described(int(1), 'Number of checkpoints to keep.'), 2),
});
