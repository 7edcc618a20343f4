import { describe, expect, it } from 'vitest';
import { modelCard, type CardFacts } from '../../../../src/formats/peft/card';

const FACTS: CardFacts = {
  task: 'causal_lm',
  labels: [],
  frozen_adapters: [],
  base_model: 'owner/tiny',
  r: 8,
  lora_alpha: 16,
  target_modules: 'q_proj, v_proj',
  trainable_parameters: 12_345,
  parameters: 2_000_000,
  examples: 30,
  steps: 40,
  learning_rate: 1e-4,
  last_loss: 0.5,
  validation_loss: 0.25,
};

describe('a model card', () => {
  it('has the facts of the training', () => {
    expect(modelCard(FACTS)).toBe(`---
base_model: "owner/tiny"
library_name: peft
pipeline_tag: text-generation
tags:
- lora
- "base_model:adapter:owner/tiny"
---

# LoRA adapter for owner/tiny

W' = W + s·BA with rank r = 8 and s from lora_alpha = 16, on q_proj, v_proj: 12,345 trained parameters, 2,000,000 frozen.

| | |
|---|---|
| Examples | 30 |
| Steps | 40 |
| Learning rate | 0.0001 |
| Last training loss | 0.5000 |
| Validation loss | 0.2500 |

\`\`\`python
from peft import AutoPeftModelForCausalLM
model = AutoPeftModelForCausalLM.from_pretrained("path/to/this/folder")
\`\`\`
`);
  });

  it('has labels and adapters below as rows of its table', () => {
    const card = modelCard({
      ...FACTS,
      labels: ['yes', 'a|b|c'],
      frozen_adapters: ['first', 'second'],
      last_loss: null,
    });
    expect(card).toContain(
      '|---|---|\n| Labels | yes, a\\|b\\|c |\n| On top of | first, second |\n| Examples | 30 |',
    );
    expect(card).toContain('| Last training loss | – |');
  });

  it.each([
    ['seq_cls', 'text-classification', 'SequenceClassification'],
    ['token_cls', 'token-classification', 'TokenClassification'],
    ['embedding', 'sentence-similarity', 'FeatureExtraction'],
  ] as const)('of a model for %s loads it by its class', (task, pipeline, model) => {
    const card = modelCard({ ...FACTS, task, labels: ['a', 'b'] });
    expect(card).toContain(`pipeline_tag: ${pipeline}\n`);
    expect(card).toContain(
      `from peft import AutoPeftModelFor${model}\nmodel = AutoPeftModelFor${model}.from_pretrained("path/to/this/folder", num_labels=2)\n`,
    );
  });

  it('of a classifier of images loads the base first', () => {
    const card = modelCard({ ...FACTS, task: 'image_cls', labels: ['a', 'b', 'c'] });
    expect(card).toContain('pipeline_tag: image-classification\n');
    expect(card).toContain(`\`\`\`python
from peft import PeftModel
from transformers import AutoModelForImageClassification
base = AutoModelForImageClassification.from_pretrained("owner/tiny", num_labels=3, ignore_mismatched_sizes=True)
model = PeftModel.from_pretrained(base, "path/to/this/folder")
\`\`\``);
  });
});
