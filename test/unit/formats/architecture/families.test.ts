import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, expectTypeOf, it } from 'vitest';
import { FAMILIES, familyOf } from '../../../../src/formats/architecture/families';
import type { Family } from '../../../../src/formats/architecture/family';
import { readSpec } from '../../../../src/formats/architecture/readSpec';
import {
  taskOfClass,
  transformersClassOf,
} from '../../../../src/formats/architecture/transformersClass';
import { GGUF_FAMILIES, ggufFamilyOf } from '../../../../src/formats/gguf/families';
import { TASKS, type Task } from '../../../../src/shared/task';

/** By family and task; made by test/scripts/make_classes.py. */
const { classes: CLASSES } = JSON.parse(
  readFileSync(
    path.resolve(import.meta.dirname, '../../../fixtures/transformers_classes.json'),
    'utf8',
  ),
) as { classes: Record<string, Partial<Record<Task, string[]>>> };
const entries = Object.entries(FAMILIES);
const entriesByTask = entries.flatMap(([family, { tasks }]) =>
  tasks.map((task) => ({ family, task })),
);

describe('a model family', () => {
  it.each(entries)('has a complete definition: %s', (_, family) => {
    expect(family.tasks.length).toBeGreaterThan(0);
    expect(TASKS).toEqual(expect.arrayContaining([...family.tasks]));
    expect(family.transformersClass).toMatch(/^[A-Z][A-Za-z0-9_]+$/);
    expect([true, false, 'within']).toContain(family.mlx);
    expect(family.gguf === null || typeof family.gguf.arch === 'string').toBe(true);
  });

  it('does not compile with a key missing', () => {
    const { mlx, gguf, transformersClass, ...incomplete } = FAMILIES['llama']!;
    // @ts-expect-error: mlx, gguf and transformersClass are missing
    const family: Family = incomplete;
    expect({ ...family, mlx, gguf, transformersClass }).toEqual(FAMILIES['llama']);
    type Key = 'tasks' | 'spec' | 'renames' | 'transformersClass' | 'mlx' | 'gguf';
    expectTypeOf<Required<Pick<Family, Key>>>().toEqualTypeOf<Pick<Family, Key>>();
  });
});

describe('the transformers class of a model', () => {
  it.each(entriesByTask)('matches the task: $family for $task', (spec) => {
    const name = transformersClassOf(spec);
    expect(name.startsWith(familyOf(spec).transformersClass)).toBe(true);
    const withoutHead = familyOf(spec).tasks.includes('contrastive') ? 'contrastive' : 'embedding';
    expect(taskOfClass(name) ?? withoutHead).toBe(spec.task);
  });

  it.each(entriesByTask)('exists in transformers: $family for $task', (spec) => {
    expect(CLASSES[spec.family]?.[spec.task]).toContain(transformersClassOf(spec));
  });

  it('is missing for tagging with Gemma 3 and OLMo 2, which is refused', () => {
    for (const family of ['gemma3_text', 'olmo2'])
      expect(() => readSpec({ model_type: family }, 'config.json', { task: 'token_cls' })).toThrow(
        'does not support the task "token_cls"',
      );
  });

  it.each([
    ['llama', 'causal_lm', 'LlamaForCausalLM'],
    ['gpt2', 'causal_lm', 'GPT2LMHeadModel'],
    ['gpt2', 'seq_cls', 'GPT2ForSequenceClassification'],
    ['gpt_neox', 'causal_lm', 'GPTNeoXForCausalLM'],
    ['roberta', 'token_cls', 'RobertaForTokenClassification'],
    ['vit', 'image_cls', 'ViTForImageClassification'],
    ['bert', 'embedding', 'BertModel'],
  ] as const)('of %s for %s is %s', (family, task, name) => {
    expect(transformersClassOf({ family, task })).toBe(name);
  });
});

describe('the GGUF families', () => {
  it('are found by architecture and mapped to a supported family', () => {
    for (const [arch, family] of GGUF_FAMILIES) {
      expect(ggufFamilyOf(arch, 'a.gguf')).toBe(family);
      expect(family.arch).toBe(arch);
      expect(FAMILIES[family.model_type]?.gguf).toBe(family);
    }
  });

  it('include the families that are read from such files, with Mistral stored as Llama', () => {
    const missing = entries.filter(([, { gguf }]) => gguf === null).map(([name]) => name);
    expect(missing).toEqual([
      'qwen3_vl_text',
      'electra',
      'mpnet',
      'albert',
      'deberta-v2',
      'vit',
      'dinov2',
      'clip',
      'siglip',
    ]);
    expect(FAMILIES['mistral']!.gguf).toBe(ggufFamilyOf('llama', 'a.gguf'));
  });

  it('are listed in the error for an unknown one', () => {
    expect(() => ggufFamilyOf('rwkv7', 'a.gguf')).toThrow(
      expect.objectContaining({
        area: 'base',
        place: { file: 'a.gguf', key: 'general.architecture' },
        message: `The architecture "rwkv7" is not supported in GGUF files. Supported: ${[...GGUF_FAMILIES.keys()].join(', ')}.`,
      }) as Error,
    );
  });
});
