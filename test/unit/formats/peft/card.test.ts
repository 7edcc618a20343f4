import { describe, expect, it } from 'vitest';
import { publishedBase } from '../../../../src/formats/hub/publishedBase';
import { derivedCard, modelCard, type CardFacts } from '../../../../src/formats/peft/card';

const FACTS: CardFacts = {
  task: 'causal_lm',
  labels: [],
  frozen_adapters: [],
  base: { title: 'owner/tiny', hub: 'owner/tiny', name_or_path: 'owner/tiny', gguf_file: null },
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

To load it, run this in its folder, or write the folder or its repository instead of \`"."\`:

\`\`\`python
from peft import AutoPeftModelForCausalLM

model = AutoPeftModelForCausalLM.from_pretrained(".")
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
      `from peft import AutoPeftModelFor${model}\n\nmodel = AutoPeftModelFor${model}.from_pretrained(".", num_labels=2, ignore_mismatched_sizes=True)\n`,
    );
  });

  it('of a classifier of images loads the base first', () => {
    const card = modelCard({ ...FACTS, task: 'image_cls', labels: ['a', 'b', 'c'] });
    expect(card).toContain('pipeline_tag: image-classification\n');
    expect(card).toContain(`\`\`\`python
from peft import PeftConfig, PeftModel
from transformers import AutoModelForImageClassification

base = PeftConfig.from_pretrained(".").base_model_name_or_path
model = AutoModelForImageClassification.from_pretrained(base, num_labels=3, ignore_mismatched_sizes=True)
model = PeftModel.from_pretrained(model, ".")
\`\`\``);
  });

  it('of an adapter for a .gguf file names no place on this disk', () => {
    const base = publishedBase({ hub: null, path: '/home/me/a.gguf', name: 'A', format: 'gguf' });
    const card = modelCard({ ...FACTS, base, frozen_adapters: ['../below'] });
    expect(card).not.toMatch(/home|base_model:/);
    expect(card).toContain(`import os

from peft import PeftConfig, PeftModel
from transformers import AutoModelForCausalLM

base = PeftConfig.from_pretrained(".").base_model_name_or_path
model = AutoModelForCausalLM.from_pretrained(os.path.dirname(base), gguf_file=os.path.basename(base))
model = PeftModel.from_pretrained(model, "../below").merge_and_unload()
model = PeftModel.from_pretrained(model, ".")
`);
  });

  it('of an adapter for a .gguf file on the Hub names the file', () => {
    const base = publishedBase({
      hub: 'owner/A-GGUF',
      path: '/home/me/a.Q8_0.gguf',
      name: 'A',
      format: 'gguf',
    });
    const card = modelCard({ ...FACTS, base });
    expect(card).toContain('from_pretrained(base, gguf_file="a.Q8_0.gguf")');
    expect(card).toContain('base_model: "owner/A-GGUF"\n');
  });
});

describe('the card of a derived adapter', () => {
  it('names what it was made from and loads it', () => {
    const card = derivedCard({
      task: 'causal_lm',
      base: FACTS.base,
      num_labels: 0,
      title: 'resized to rank 4',
      sources: ['tiny/adapter'],
    });
    expect(card).toContain('base_model: "owner/tiny"\n');
    expect(card).toContain('For owner/tiny. Made from:\n\n- tiny/adapter\n');
    expect(card).toContain('AutoPeftModelForCausalLM.from_pretrained(".")');
  });

  it('loads nothing when the base is not known', () => {
    const card = derivedCard({ task: null, base: null, num_labels: 0, title: 't', sources: ['a'] });
    expect(card).not.toMatch(/python|base_model/);
  });
});

it('names of strangers are shown as text in a card', () => {
  const attack = '![x](https://evil.example/x.png)\n# <img src=x> [a](b) |';
  const cards = [
    modelCard({
      ...FACTS,
      base: { ...FACTS.base, title: attack },
      labels: [attack],
      frozen_adapters: [attack],
      target_modules: attack,
    }).split('```')[0]!,
    derivedCard({ task: null, base: null, num_labels: 0, title: attack, sources: [attack] }),
  ];
  for (const card of cards) {
    expect(card).toContain('evil.example');
    expect(card).not.toMatch(/(?<!\\)[[<]|:\/\/|^# (?!LoRA)/m);
  }
});
