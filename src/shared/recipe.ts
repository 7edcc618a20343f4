import * as v from 'valibot';
import { TemplateVariablesSchema } from './chatVariables';
import { ColumnsSchema, DatasetSchema } from './datasetSources';
import { EvaluateSchema } from './evaluation/recipeSettings';
import { EmbeddingSchema } from './embeddingSettings';
import { LoraSchema } from './loraSettings';
import { ObjectiveSchema } from './objective';
import { RerankerSchema } from './rerankerSettings';
import { described, int, path } from './schemaParts';
import { PROBLEM_TYPES, TASKS } from './task';
import { ToolsSchema } from './tools';
import { TrackersSchema } from './trackers';
import { TrainingSchema } from './trainingSettings';

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

const SamplesSchema = v.strictObject({
  prompts: v.optional(
    described(
      v.array(v.string()),
      'Prompts that the model answers during training, with the system message that the rows share. Empty: the first two rows of the validation set, up to their last answer.',
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
    'The base model: a Hugging Face model folder, a .gguf file, or the model.json of a layers ' +
      "model of TensorFlow.js. Relative paths start at the recipe's folder.",
  ),
  dataset: described(
    DatasetSchema,
    'Training examples: a file (.jsonl, .json, .csv, .tsv, .parquet, also as .gz or .zst), a ' +
      'folder of such files, or a dataset on the Hugging Face Hub (hf://owner/name), with messages, prompt and ' +
      'completion, text, Alpaca, ShareGPT or tokenized rows; with text and label (seq_cls), ' +
      'tokens and tags (token_cls), anchor and positive (embedding), or query, document and score ' +
      '(reranker); with prompt, chosen and rejected, or prompt, completion and label ' +
      '(objective); with image (a path) and text (contrastive); a folder with one folder of ' +
      'images per class (image_cls, contrastive); or rows of numbers (features), also as ' +
      '.safetensors or .npz with the tensors features and labels, or features.npy beside ' +
      'labels.npy. A list of sources is mixed by weight.',
  ),
  columns: v.optional(ColumnsSchema, {}),
  task: v.optional(
    described(
      v.picklist(TASKS),
      'The task to train for. causal_lm: write text; seq2seq_lm: write text from a prompt that an encoder reads (T5); seq_cls: classify texts; token_cls: classify words; image_cls: classify images; embedding: map related texts to nearby vectors; contrastive: match images with texts; reward: score answers, learned from pairs of a better and a worse one; reranker: score documents for a query, learned from scores; features: predict classes or numbers from rows of numbers, with a TensorFlow.js layers model.',
    ),
    'causal_lm',
  ),
  objective: v.optional(
    described(ObjectiveSchema, 'What is learned from the rows: their answers, or preferences.'),
    {},
  ),
  problem_type: v.optional(
    described(
      v.nullable(v.picklist(PROBLEM_TYPES)),
      'The kind of labels of seq_cls and features: one class per row, several classes, or real ' +
        'numbers. regression with image_cls: the image folders are named after numbers. ' +
        'null: detected from the rows (text or whole numbers; lists; numbers with a fraction).',
    ),
    null,
  ),
  pixel_range: v.optional(
    described(
      v.nullable(v.tuple([v.number(), v.number()], 'must be two numbers, such as [-1, 1]')),
      'TensorFlow.js layers models only: the values of black and white pixels. null: ' +
        'preprocessor_config.json beside the model, else [0, 1], or [0, 255] where the model has ' +
        'a Rescaling layer.',
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
      'Fraction of the dataset that is held out for validation if validation is null. The seed selects the examples. 0: no validation.',
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
      'How to handle chats that do not alternate between user and assistant. Affected rows are counted and reported before the start.',
    ),
    {},
  ),
  tools: v.optional(ToolsSchema, null),
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
  embedding: v.optional(described(EmbeddingSchema, 'The loss of the task embedding.'), {}),
  reranker: v.optional(described(RerankerSchema, 'The loss of the task reranker.'), {}),
  lora: v.optional(described(LoraSchema, 'The adapter.'), {}),
  training: v.optional(described(TrainingSchema, 'The training run.'), {}),
  report_to: v.optional(
    described(
      TrackersSchema,
      'Trackers that get the metrics while a run trains, with the names used by transformers. tensorboard: ' +
        "event files in the run's folder; mlflow, trackio: a server that environment variables name.",
    ),
    [],
  ),
  samples: v.optional(described(SamplesSchema, 'Sample answers during training.'), {}),
  evaluate: v.optional(described(EvaluateSchema, 'Evaluations besides the validation loss.'), {}),
});

/** A recipe with every default filled in. */
export type Recipe = v.InferOutput<typeof RecipeSchema>;
/** A recipe as a user writes it, without the defaults. */
export type RecipeInput = v.InferInput<typeof RecipeSchema>;
export type LoraSettings = Recipe['lora'];
export type TrainingSettings = Recipe['training'];
export {
  BASE_DTYPES,
  TRAINING_METHODS,
  type BaseDtype,
  type TrainingMethod,
} from './trainingSettings';
