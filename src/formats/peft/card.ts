import type { Task } from '../../shared/task';

/** The facts of a training that its model card shows. */
export interface CardFacts {
  readonly task: Task;
  /** Names of the labels; empty without a classifier. */
  readonly labels: readonly string[];
  /** Adapters that must be loaded below this one. */
  readonly frozen_adapters: readonly string[];
  readonly base_model: string;
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
 * By task: the hub's pipeline, transformers' class, and whether PEFT has an AutoPeftModel for it.
 */
const KINDS: Readonly<
  Record<Task, { readonly pipeline: string; readonly model: string; readonly auto: boolean }>
> = {
  causal_lm: { pipeline: 'text-generation', model: 'CausalLM', auto: true },
  seq_cls: { pipeline: 'text-classification', model: 'SequenceClassification', auto: true },
  token_cls: { pipeline: 'token-classification', model: 'TokenClassification', auto: true },
  image_cls: { pipeline: 'image-classification', model: 'ImageClassification', auto: false },
  embedding: { pipeline: 'sentence-similarity', model: 'FeatureExtraction', auto: true },
};

function howToLoad({ task, labels, base_model }: CardFacts): string {
  const { model, auto } = KINDS[task];
  const heads = labels.length > 0 ? `, num_labels=${labels.length}` : '';
  if (auto)
    return `from peft import AutoPeftModelFor${model}\nmodel = AutoPeftModelFor${model}.from_pretrained("path/to/this/folder"${heads})`;
  return `from peft import PeftModel\nfrom transformers import AutoModelFor${model}\nbase = AutoModelFor${model}.from_pretrained(${JSON.stringify(base_model)}${heads}, ignore_mismatched_sizes=True)\nmodel = PeftModel.from_pretrained(base, "path/to/this/folder")`;
}

/** The README.md of an adapter: front matter for the hub, then the facts. */
export function modelCard(facts: CardFacts): string {
  const loss = (value: number | null) => (value === null ? '–' : value.toFixed(4));
  return `---
base_model: ${JSON.stringify(facts.base_model)}
library_name: peft
pipeline_tag: ${KINDS[facts.task].pipeline}
tags:
- lora
- ${JSON.stringify(`base_model:adapter:${facts.base_model}`)}
---

# LoRA adapter for ${facts.base_model}

W' = W + s·BA with rank r = ${facts.r} and s from lora_alpha = ${facts.lora_alpha}, on ${facts.target_modules}: ${facts.trainable_parameters.toLocaleString('en-US')} trained parameters, ${facts.parameters.toLocaleString('en-US')} frozen.

| | |
|---|---|
${facts.labels.length === 0 ? '' : `| Labels | ${facts.labels.map((name) => name.replaceAll('|', '\\|')).join(', ')} |\n`}${facts.frozen_adapters.length === 0 ? '' : `| On top of | ${facts.frozen_adapters.join(', ')} |\n`}| Examples | ${facts.examples} |
| Steps | ${facts.steps} |
| Learning rate | ${facts.learning_rate} |
| Last training loss | ${loss(facts.last_loss)} |
| Validation loss | ${loss(facts.validation_loss)} |

\`\`\`python
${howToLoad(facts)}
\`\`\`
`;
}
