import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { connectEngine } from '../../src/host/engine/engineClient';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { withSafetensors } from '../../src/formats/safetensors/read';
import {
  cli,
  filesIn,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  startCli,
  stepsOf,
  tempFolder,
  train,
  until,
  weightsOf,
} from '../support/commandLine';

interface Trajectory {
  readonly records: readonly { step: number; loss: number; grad_norm: number; lr: number }[];
  readonly max_grad_norm: number;
}

/** The rows of batches.safetensors, whose tensors are [steps, batch, length], in order. */
const tokenizedRows = (file: string) =>
  withSafetensors(file, async (source) => {
    const [, batch, length] = source.tensors.get('input_ids')!.shape as [number, number, number];
    const [ids, mask, labels] = [
      await source.readInts('input_ids'),
      await source.readInts('attention_mask'),
      await source.readInts('labels'),
    ];
    const row = (i: number, values: Int32Array) => [
      ...values.subarray(i * length, (i + 1) * length),
    ];
    const rows = Array.from({ length: ids.length / length }, (_, i) => ({
      input_ids: row(i, ids),
      attention_mask: row(i, mask),
      labels: row(i, labels),
    }));
    return { rows, batch };
  });

it('repeats a run with the recipe that it recorded, although the file is another by now', async () => {
  const recipe = makeRecipe({ training: { max_steps: 2 } });
  const first = await train(recipe);
  writeFileSync(recipe, '{}');
  const { code, stderr } = await cli('train', '--repeat', first);
  expect([code, stderr]).toEqual([0, '']);
  const [again] = filesIn(path.dirname(first)).filter((name) => name !== path.basename(first));
  const second = path.join(path.dirname(first), again!);
  expect(recordOf(second).recipe).toEqual(recordOf(first).recipe);
  expect(recordOf(second).versions.system).toMatch(/\d+ cores?$/);
  expect(weightsOf(second).equals(weightsOf(first))).toBe(true);
});

describe('a run from a recipe', () => {
  it("follows PEFT's trajectory: losses, gradient norms, learning rates, final A and B", async () => {
    const folder = path.join(fixtures, 'llama/train');
    const { records } = JSON.parse(
      readFileSync(path.join(folder, 'trajectory.json'), 'utf8'),
    ) as Trajectory;
    const { rows, batch } = await tokenizedRows(path.join(folder, 'batches.safetensors'));
    const runDir = await train(
      makeRecipe(
        {
          top: { validation_split: 0 },
          lora: { init_adapter: path.join(folder, 'start') },
          training: {
            learning_rate: 1e-3,
            lr_scheduler_type: 'constant',
            shuffle: false,
            per_device_train_batch_size: batch,
            max_steps: records.length,
            weight_decay: 0.01,
            max_grad_norm: 1,
          },
        },
        rows,
      ),
      /made for fixtures\/llama-tiny/,
    );
    const steps = stepsOf(runDir);
    expect(steps).toHaveLength(records.length);
    for (const [i, want] of records.entries()) {
      expect(Math.abs(steps[i]!.loss - want.loss)).toBeLessThanOrEqual(1e-4);
      expect(Math.abs(steps[i]!.grad_norm / want.grad_norm - 1)).toBeLessThanOrEqual(1e-3);
      expect(steps[i]!.learning_rate).toBe(want.lr);
    }
    const [have, want] = [
      await readPeftAdapter(path.join(runDir, 'adapter')),
      await readPeftAdapter(path.join(folder, 'final')),
    ];
    const wanted = new Map(want.adapter.modules.map((m) => [m.path, m]));
    for (const m of have.adapter.modules)
      for (const f of ['A', 'B'] as const) {
        const gap = m[f].reduce(
          (most, x, i) => Math.max(most, Math.abs(x - wanted.get(m.path)![f][i]!)),
          0,
        );
        expect(gap).toBeLessThanOrEqual(1e-4);
      }
  });

  it('writes the same adapter each time, a different one for another seed, and does not change the base', async () => {
    const base = path.join(fixtures, 'llama/base/model.safetensors');
    const before = readFileSync(base);
    const recipe = { lora: { lora_dropout: 0.1 }, training: { gradient_accumulation_steps: 2 } };
    const [first, second, other] = [
      await train(makeRecipe(recipe)),
      await train(makeRecipe(recipe)),
      await train(makeRecipe({ ...recipe, training: { ...recipe.training, seed: 7 } })),
    ];
    expect(weightsOf(first).equals(weightsOf(second))).toBe(true);
    expect(weightsOf(first).equals(weightsOf(other))).toBe(false);
    expect(readFileSync(base).equals(before)).toBe(true);
    expect(recordOf(first)).toMatchObject({
      state: 'completed',
      result: { steps: 12, adapter: 'adapter' },
      error: null,
    });
    expect(filesIn(first).filter((file) => /tmp|old|engine\.json/.test(file))).toEqual([]);
  });
});

describe('an interrupted run', () => {
  const recipe = {
    lora: { lora_dropout: 0.1 },
    training: { max_steps: 200, save_steps: 25, eval_steps: 1000 },
  };

  it('produces the same bytes after it was stopped through its pipe and resumed', async () => {
    const whole = await train(makeRecipe(recipe));
    const runDir = path.join(tempFolder(), 'run');
    const { end } = startCli(['train', makeRecipe(recipe), '--run-dir', runDir]);
    await until(
      () => existsSync(path.join(runDir, 'metrics.jsonl')) && stepsOf(runDir).length > 30,
      'thirty steps',
    );
    const [client, other] = [await connectEngine(runDir), await connectEngine(runDir)];
    other.dispose();
    expect((await client.request('checkpoint', undefined)).path).toMatch(/^checkpoints\/step-\d+$/);
    await client.request('stop', undefined);
    expect((await end).code).toBe(130);
    client.dispose();
    const stopped = recordOf(runDir);
    expect(stopped.state).toBe('stopped');
    expect(stopped.result.steps).toBeLessThan(200);
    expect(existsSync(path.join(runDir, 'adapter/adapter_model.safetensors'))).toBe(true);
    expect((await cli('train', '--resume', runDir)).code).toBe(0);
    expect(stepsOf(runDir).map((line) => line.step)).toEqual(
      Array.from({ length: 200 }, (_, i) => i + 1),
    );
    expect(weightsOf(runDir).equals(weightsOf(whole))).toBe(true);
  });

  it('produces the same bytes after it was killed and resumed; a complete run cannot be resumed', async () => {
    const whole = await train(makeRecipe(recipe));
    const runDir = path.join(tempFolder(), 'run');
    const { child, end } = startCli(['train', makeRecipe(recipe), '--run-dir', runDir]);
    await until(
      () => existsSync(path.join(runDir, 'metrics.jsonl')) && stepsOf(runDir).length > 60,
      'sixty steps',
    );
    child.kill('SIGKILL');
    await end;
    const resumed = await cli('train', '--resume', runDir);
    expect(resumed.code).toBe(0);
    expect(metricsOf(runDir).some((line) => line.kind === 'resume' && line.step > 0)).toBe(true);
    expect(weightsOf(runDir).equals(weightsOf(whole))).toBe(true);
    const again = await cli('train', '--resume', runDir);
    expect(again.code).toBe(1);
    expect(again.stderr).toContain('complete');
  });

  it('pauses and resumes, and stops cleanly on a signal', async () => {
    const runDir = path.join(tempFolder(), 'run');
    const { child, end } = startCli([
      'train',
      makeRecipe({ training: { max_steps: 100_000 } }),
      '--run-dir',
      runDir,
    ]);
    await until(
      () => existsSync(path.join(runDir, 'metrics.jsonl')) && stepsOf(runDir).length > 3,
      'three steps',
    );
    const client = await connectEngine(runDir);
    await client.request('pause', undefined);
    await until(() => recordOf(runDir).state === 'paused', 'the pause');
    const step = (await client.request('status', undefined)).step;
    expect(
      (
        await client.request('generate', {
          prompt: 'say one',
          chat: true,
          max_new_tokens: 4,
          temperature: 0,
        })
      ).text,
    ).toBeTypeOf('string');
    expect((await client.request('status', undefined)).step).toBe(step);
    await client.request('resume', undefined);
    await until(() => stepsOf(runDir).length > step, 'going on');
    child.kill('SIGTERM');
    expect((await end).code).toBe(130);
    client.dispose();
    expect(recordOf(runDir).state).toBe('stopped');
  });

  it('pauses and stops in the middle of a long step, and produces the same bytes in the end', async () => {
    const rows = Array.from({ length: 1500 }, (_, i) => ({
      prompt: `say ${i}`,
      completion: `number ${i} it is`,
    }));
    const long = () => {
      const file = makeRecipe({
        training: { max_steps: 1, gradient_accumulation_steps: 1000, num_train_epochs: 1 },
      });
      writeFileSync(
        path.join(path.dirname(file), 'data.jsonl'),
        rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
      );
      return file;
    };
    const whole = await train(long());
    const runDir = path.join(tempFolder(), 'run');
    const { end } = startCli(['train', long(), '--run-dir', runDir]);
    await until(
      () => existsSync(path.join(runDir, 'run.json')) && recordOf(runDir).state === 'running',
      'the first step',
    );
    const client = await connectEngine(runDir);
    await client.request('pause', undefined);
    await until(() => recordOf(runDir).state === 'paused', 'the pause');
    expect(stepsOf(runDir)).toEqual([]);
    await client.request('checkpoint', undefined);
    await client.request('resume', undefined);
    await until(() => recordOf(runDir).state === 'running', 'going on');
    await client.request('stop', undefined);
    expect((await end).code).toBe(130);
    client.dispose();
    expect(recordOf(runDir)).toMatchObject({ state: 'stopped', result: { steps: 0 } });
    expect(stepsOf(runDir)).toEqual([]);
    expect((await cli('train', '--resume', runDir)).code).toBe(0);
    expect(stepsOf(runDir)).toHaveLength(1);
    expect(
      metricsOf(runDir)
        .filter((line) => line.kind === 'eval')
        .map((line) => line.step),
    ).toEqual(
      metricsOf(whole)
        .filter((line) => line.kind === 'eval')
        .map((line) => line.step),
    );
    expect(weightsOf(runDir).equals(weightsOf(whole))).toBe(true);
  });

  it('cannot be resumed when its data has changed', async () => {
    const recipeFile = makeRecipe();
    const runDir = await train(recipeFile);
    writeFileSync(
      path.join(runDir, 'run.json'),
      JSON.stringify({ ...recordOf(runDir), state: 'stopped' }),
    );
    writeFileSync(
      path.join(path.dirname(recipeFile), 'data.jsonl'),
      '{"prompt":"a","completion":"b"}\n',
    );
    const { code, stderr } = await cli('train', '--resume', runDir);
    expect(code).toBe(1);
    expect(stderr).toMatch(/data\.jsonl: The file has changed/);
  });
});

describe('the other commands', () => {
  const base = path.join(fixtures, 'llama/base');
  const adapter = path.join(fixtures, 'llama/lora-qv/adapter');

  it("logits computes PEFT's logits, loss and gradients", async () => {
    const output = path.join(tempFolder(), 'out.safetensors');
    const { code, stderr } = await cli(
      'logits',
      '--base',
      base,
      '--adapter',
      adapter,
      '--input',
      path.join(fixtures, 'llama/lora-qv/expected.json'),
      '--output',
      output,
      '--grads',
    );
    expect([code, stderr.includes('Error')]).toEqual([0, false]);
    const { adapter_loss } = JSON.parse(
      readFileSync(path.join(fixtures, 'llama/lora-qv/expected.json'), 'utf8'),
    ) as { adapter_loss: number };
    await withSafetensors(path.join(fixtures, 'llama/lora-qv/expected.safetensors'), (want) =>
      withSafetensors(output, async (have) => {
        const pairs = [
          ['logits', 'adapter.logits', 5e-5, 1],
          ...[...want.tensors.keys()]
            .filter((n) => n.startsWith('grad.'))
            .map((n) => [n, n, 1e-4, 1e-2]),
        ] as [string, string, number, number][];
        expect(pairs.length).toBeGreaterThan(4);
        for (const [ours, theirs, tolerance, floor] of pairs) {
          const [a, b] = [await have.readF32(ours), await want.readF32(theirs)];
          const most = b.reduce((m, x) => Math.max(m, Math.abs(x)), floor);
          expect(
            a.reduce((m, x, i) => Math.max(m, Math.abs(x - b[i]!)), 0),
            ours,
          ).toBeLessThanOrEqual(tolerance * most);
        }
        expect(Math.abs((await have.readF32('loss'))[0]! - adapter_loss)).toBeLessThanOrEqual(
          1e-5 * adapter_loss,
        );
      }),
    );
  });

  it('generate writes the same answer each time, and evaluate counts exact answers', async () => {
    const ask = () =>
      cli(
        'generate',
        '--base',
        base,
        '--adapter',
        adapter,
        '--prompt',
        'the old mill',
        '--max-new-tokens',
        '8',
        '--json',
      );
    const [first, second] = [await ask(), await ask()];
    expect(first.code).toBe(0);
    expect(first.stdout).toBe(second.stdout);
    const recipe = makeRecipe();
    const { code, stdout } = await cli(
      'evaluate',
      '--base',
      base,
      '--dataset',
      path.join(path.dirname(recipe), 'data.jsonl'),
      '--exact',
      '--max-new-tokens',
      '4',
      '--json',
    );
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ examples: 10, exact: 0 });
  });

  it('inspect recognizes bases, adapters, runs and datasets', async () => {
    const recipe = makeRecipe();
    const runDir = await train(recipe);
    const kinds = await Promise.all(
      [base, adapter, runDir, path.join(path.dirname(recipe), 'data.jsonl')].map(
        async (target) =>
          (JSON.parse((await cli('inspect', target, '--json')).stdout) as { type: string }).type,
      ),
    );
    expect(kinds).toEqual(['base', 'adapter', 'run', 'dataset']);
    expect((await cli('inspect', base)).stdout).toContain('q_proj');
    const { stdout } = await cli('inspect', makeRecipe());
    expect(stdout).toMatch(/9 training examples, 1 for validation; \d+ of \d+ tokens have a loss/);
    expect(stdout).toMatch(/line 1: [^«]*say one[^«]*«one[^»]*»/);
  });
});
