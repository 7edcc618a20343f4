import { markdownText } from '../../shared/plainText';
import type { ModelTask } from '../../shared/task';
import type { PublishedBase } from '../hub/publishedBase';

/** What loading an adapter in Python depends on. */
export interface LoadingFacts {
  readonly task: ModelTask;
  /** Null: the base is not known. */
  readonly base: PublishedBase | null;
  /** Outputs of a trained classifier; 0: it has none. */
  readonly num_labels: number;
  /** Adapters that must be loaded below this one: paths as seen from its folder. */
  readonly frozen_adapters: readonly string[];
}

/** The facts of a training run that its model card shows. */
export interface CardFacts extends Omit<LoadingFacts, 'base' | 'num_labels'> {
  readonly base: PublishedBase;
  /** Names of the labels; empty without a classifier. */
  readonly labels: readonly string[];
  readonly r: number;
  readonly lora_alpha: number;
  readonly target_modules: string;
  readonly trainable_parameters: number;
  readonly parameters: number;
  readonly examples: number;
  readonly steps: number;
  readonly learning_rate: number;
  readonly last_loss: number | null;
  readonly validation_loss: number | null;
}

/**
 * By task: the Hub's pipeline, transformers' class, and PEFT's class that also loads the base, if
 * it has one.
 */
const KINDS: Readonly<
  Record<
    ModelTask,
    { readonly pipeline: string; readonly model: string; readonly auto: string | null }
  >
> = {
  causal_lm: {
    pipeline: 'text-generation',
    model: 'AutoModelForCausalLM',
    auto: 'AutoPeftModelForCausalLM',
  },
  seq2seq_lm: {
    pipeline: 'text2text-generation',
    model: 'AutoModelForSeq2SeqLM',
    auto: 'AutoPeftModelForSeq2SeqLM',
  },
  seq_cls: {
    pipeline: 'text-classification',
    model: 'AutoModelForSequenceClassification',
    auto: 'AutoPeftModelForSequenceClassification',
  },
  token_cls: {
    pipeline: 'token-classification',
    model: 'AutoModelForTokenClassification',
    auto: 'AutoPeftModelForTokenClassification',
  },
  image_cls: {
    pipeline: 'image-classification',
    model: 'AutoModelForImageClassification',
    auto: null,
  },
  embedding: {
    pipeline: 'sentence-similarity',
    model: 'AutoModel',
    auto: 'AutoPeftModelForFeatureExtraction',
  },
  contrastive: {
    pipeline: 'zero-shot-image-classification',
    model: 'AutoModel',
    auto: null,
  },
};

/** Python that loads an adapter from the current folder; null: its base is not known. */
export function loadingCode({
  task,
  base,
  num_labels,
  frozen_adapters,
}: LoadingFacts): string | null {
  if (!base) return null;
  const { model, auto } = KINDS[task];
  const head = num_labels > 0 ? `, num_labels=${num_labels}, ignore_mismatched_sizes=True` : '';
  const loadsBase = auto !== null && base.gguf_file === null && frozen_adapters.length === 0;
  if (loadsBase)
    return [`from peft import ${auto}`, '', `model = ${auto}.from_pretrained("."${head})`].join(
      '\n',
    );
  const isLocalFile = base.gguf_file !== null && base.hub === null;
  const where = isLocalFile
    ? 'os.path.dirname(base), gguf_file=os.path.basename(base)'
    : `base${base.gguf_file === null ? '' : `, gguf_file=${pythonText(base.gguf_file)}`}`;
  return [
    ...(isLocalFile ? ['import os', ''] : []),
    'from peft import PeftConfig, PeftModel',
    `from transformers import ${model}`,
    '',
    'base = PeftConfig.from_pretrained(".").base_model_name_or_path',
    `model = ${model}.from_pretrained(${where}${head})`,
    ...frozen_adapters.map(
      (folder) =>
        `model = PeftModel.from_pretrained(model, ${pythonText(folder)}).merge_and_unload()`,
    ),
    'model = PeftModel.from_pretrained(model, ".")',
  ].join('\n');
}

/** A text as a literal of Python: JSON's escapes are also Python's. */
const pythonText = (text: string) => JSON.stringify(text);

function frontMatter(base: PublishedBase | null, task: ModelTask | null): string[] {
  const hub = base?.hub ?? null;
  return [
    '---',
    ...(hub === null ? [] : [`base_model: ${JSON.stringify(hub)}`]),
    'library_name: peft',
    ...(task === null ? [] : [`pipeline_tag: ${KINDS[task].pipeline}`]),
    'tags:',
    '- lora',
    ...(hub === null ? [] : [`- ${JSON.stringify(`base_model:adapter:${hub}`)}`]),
    '---',
  ];
}

function loadingLines(facts: LoadingFacts): string[] {
  const code = loadingCode(facts);
  return code === null
    ? []
    : [
        '',
        'To load it, run this in its folder, or write the folder or its repository instead of `"."`:',
        '',
        '```python',
        code,
        '```',
      ];
}

/** The README.md of a trained adapter: front matter for the Hub, then the facts. */
export function modelCard(facts: CardFacts): string {
  const { base, task, labels, frozen_adapters } = facts;
  const loss = (value: number | null) => (value === null ? '–' : value.toFixed(4));
  const row = (name: string, value: string | number) => `| ${name} | ${value} |`;
  return [
    ...frontMatter(base, task),
    '',
    `# LoRA adapter for ${markdownText(base.title)}`,
    '',
    `W' = W + s·BA with rank r = ${facts.r} and s from lora_alpha = ${facts.lora_alpha}, on ${markdownText(facts.target_modules)}: ${facts.trainable_parameters.toLocaleString('en-US')} trained parameters, ${facts.parameters.toLocaleString('en-US')} frozen.`,
    '',
    '| | |',
    '|---|---|',
    ...(labels.length === 0 ? [] : [row('Labels', labels.map(markdownText).join(', '))]),
    ...(frozen_adapters.length === 0
      ? []
      : [row('On top of', frozen_adapters.map(markdownText).join(', '))]),
    row('Examples', facts.examples),
    row('Steps', facts.steps),
    row('Learning rate', facts.learning_rate),
    row('Last training loss', loss(facts.last_loss)),
    row('Validation loss', loss(facts.validation_loss)),
    ...loadingLines({ task, base, num_labels: labels.length, frozen_adapters }),
    '',
  ].join('\n');
}

/** What the card of an adapter says that was made from others. */
export interface DerivedFacts {
  /** Null: unknown. */
  readonly task: ModelTask | null;
  readonly base: PublishedBase | null;
  readonly num_labels: number;
  /** How it was made. */
  readonly title: string;
  /** Names of what it was made from, without local paths. */
  readonly sources: readonly string[];
}

/** The README.md of an adapter that was made from others. */
export function derivedCard({ task, base, num_labels, title, sources }: DerivedFacts): string {
  return [
    ...frontMatter(base, task),
    '',
    `# LoRA adapter: ${markdownText(title)}`,
    '',
    ...(base ? [`For ${markdownText(base.title)}. Made from:`] : ['Made from:']),
    '',
    ...sources.map((source) => `- ${markdownText(source)}`),
    ...(task === null ? [] : loadingLines({ task, base, num_labels, frozen_adapters: [] })),
    '',
  ].join('\n');
}
