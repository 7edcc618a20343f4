import { copyFileSync, cpSync, existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import type { EvalLine } from '../../src/shared/metrics/lines';
import {
  chats,
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  resumedBefore,
  stepsOf,
  tempFolder,
  train,
  weightsOf,
} from '../support/commandLine';

/** The teacher of the fixtures with the tokenizer of the base, changed by `change`. */
function teacherFolder(change: (tokenizer: string) => string = (text) => text): string {
  const folder = path.join(tempFolder(), 'teacher');
  cpSync(path.join(fixtures, 'distillation/teacher'), folder, { recursive: true });
  const tokenizer = path.join(fixtures, 'llama/base/tokenizer.json');
  writeFileSync(path.join(folder, 'tokenizer.json'), change(readFileSync(tokenizer, 'utf8')));
  copyFileSync(
    path.join(fixtures, 'llama/base/tokenizer_config.json'),
    path.join(folder, 'tokenizer_config.json'),
  );
  return folder;
}

const distill = (change: object = {}) => ({
  objective: { method: 'distill', teacher: teacherFolder(), temperature: 2, top_k: 8, ...change },
});

describe('distillation', () => {
  it.each([
    ['plain', {}],
    ['with packing', { training: { packing: true } }],
    ['in bf16', { training: { base_dtype: 'bfloat16' } }],
    ['with recomputed layers', { training: { gradient_checkpointing: true } }],
    ['in full fine-tuning', { training: { method: 'full', learning_rate: 1e-3 } }],
    ['with DoRA and dropout', { lora: { use_dora: true, lora_dropout: 0.2 } }],
  ])('gets nearer to the teacher and resumes to the same bytes, %s', async (name, change) => {
    const { lora = {}, training = {} } = change as { lora?: object; training?: object };
    const settings = { learning_rate: 1e-2, max_steps: 12, save_steps: 6, eval_steps: 6 };
    const recipe = makeRecipe({
      top: distill({ kd_ratio: 0.9 }),
      lora: { r: 4, ...lora },
      training: { ...settings, ...training },
    });
    const runDir = await train(recipe);
    const evals = metricsOf(runDir).filter((line): line is EvalLine => line.kind === 'eval');
    const [first, last] = [evals[0]!.scores!, evals.at(-1)!.scores!];
    expect(last.teacher_kl).toBeLessThan(first.teacher_kl!);
    expect(first.perplexity).toBeGreaterThan(1);
    for (const { loss, teacher_kl } of stepsOf(runDir)) {
      expect(teacher_kl).toBeGreaterThan(0);
      expect(loss).toBeGreaterThan(0.9 * 4 * teacher_kl!);
    }
    const product = name === 'in full fine-tuning' ? 'model' : 'adapter';
    const file = product === 'model' ? 'model.safetensors' : 'adapter_model.safetensors';
    const bytes = (dir: string) => readFileSync(path.join(dir, product, file));
    const resumed = await resumedBefore(runDir, 12, product);
    expect(bytes(resumed).equals(bytes(runDir))).toBe(true);
  });

  it('resumes without what the teacher said, which it measures again', async () => {
    const settings = { learning_rate: 1e-2, max_steps: 8, save_steps: 4 };
    const runDir = await train(makeRecipe({ top: distill(), training: settings }));
    const kept = path.join(runDir, 'teacher.safetensors');
    expect(existsSync(kept)).toBe(true);
    const bytes = readFileSync(kept);
    rmSync(kept);
    const resumed = await resumedBefore(runDir, 8);
    expect(weightsOf(resumed).equals(weightsOf(runDir))).toBe(true);
    expect(readFileSync(path.join(resumed, 'teacher.safetensors')).equals(bytes)).toBe(true);
  });

  it('says what the teacher needs, and refuses others before the start', async () => {
    const checked = await cli('check', makeRecipe({ top: distill() }));
    expect(checked.code, checked.stdout).toBe(0);
    const refused = async (change: object) => {
      const { code, stdout, stderr } = await cli('check', makeRecipe({ top: distill(change) }));
      expect(code).not.toBe(0);
      return stdout + stderr;
    };
    const other = teacherFolder((text) => text.replace('"a":', '"\u00e4\u00e4":'));
    expect(await refused({ teacher: other })).toMatch(/another tokenizer than the base/);
    const gemma = path.join(fixtures, 'gemma2/base');
    expect(await refused({ teacher: gemma })).toMatch(/another vocabulary.*64 tokens, and not 384/);
    const gpt2 = path.join(fixtures, 'bert/base');
    expect(await refused({ teacher: gpt2 })).toMatch(/language model|causal_lm/);
    expect(await refused({ teacher: null })).toMatch(/"objective.teacher" is missing/);
    expect(await refused({ teacher: path.join(tempFolder(), 'none') })).toMatch(/cannot be opened/);
  });

  it('refuses fractions of sources, which differ in each epoch', async () => {
    const recipe = makeRecipe({ top: distill() }, chats());
    const text = JSON.parse(readFileSync(recipe, 'utf8')) as object;
    const dataset = [{ path: 'data.jsonl', weight: 0.5 }];
    writeFileSync(recipe, JSON.stringify({ ...text, dataset }));
    const { code, stderr } = await cli('train', recipe, '--run-dir', path.join(tempFolder(), 'r'));
    expect(code).toBe(1);
    expect(stderr).toMatch(/whole weights/);
  });
});
