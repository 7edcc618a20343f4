/** What a model card tells of a training. */
export interface CardFacts {
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

/** README.md of an adapter: front matter that the hub reads, then the facts. */
export function modelCard(facts: CardFacts): string {
  const loss = (value: number | null) => (value === null ? '–' : value.toFixed(4));
  return `---
base_model: ${JSON.stringify(facts.base_model)}
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- ${JSON.stringify(`base_model:adapter:${facts.base_model}`)}
---

# LoRA adapter for ${facts.base_model}

W' = W + s·BA with rank r = ${facts.r} and s from lora_alpha = ${facts.lora_alpha}, on ${facts.target_modules}: ${facts.trainable_parameters.toLocaleString('en-US')} numbers trained, ${facts.parameters.toLocaleString('en-US')} frozen.

| | |
|---|---|
| Examples | ${facts.examples} |
| Steps | ${facts.steps} |
| Learning rate | ${facts.learning_rate} |
| Last training loss | ${loss(facts.last_loss)} |
| Validation loss | ${loss(facts.validation_loss)} |

\`\`\`python
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")
\`\`\`
`;
}
