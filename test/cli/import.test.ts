import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { cli, fixtures, metricsOf, recordOf, tempFolder } from '../support/commandLine';

const LOGS = path.join(fixtures, 'trackers');
const resultOf = (stdout: string) => JSON.parse(stdout.trim()) as { readonly run_dir: string };

/** Imports into a new folder, and returns it. */
async function imported(log: string, ...more: readonly string[]): Promise<string> {
  const dir = path.join(tempFolder(), 'run');
  const { code, stdout, stderr } = await cli('import', log, '--run-dir', dir, ...more, '--json');
  expect([code, stderr]).toEqual([0, '']);
  expect(resultOf(stdout).run_dir).toBe(dir);
  return dir;
}

describe('lora import', () => {
  it('reads the checkpoints of transformers, with the adapter beside them', async () => {
    const output = path.join(tempFolder(), 'output');
    const last = path.join(output, 'checkpoint-4');
    mkdirSync(path.join(output, 'checkpoint-2'), { recursive: true });
    cpSync(path.join(fixtures, 'llama/lora-qv/adapter'), last, { recursive: true });
    cpSync(path.join(LOGS, 'trainer_state.json'), path.join(last, 'trainer_state.json'));
    const dir = await imported(output, '--adapter');
    const { state, result, recipe, name, imported: mark, total_steps } = recordOf(dir);
    expect([state, name, total_steps]).toEqual(['completed', 'output (transformers)', 4]);
    expect(mark?.program).toBe('transformers');
    expect([result.steps, result.adapter, result.best_step]).toEqual([4, 'adapter', 4]);
    const config = path.join(dir, 'adapter/adapter_config.json');
    const { r } = JSON.parse(readFileSync(config, 'utf8')) as { r: number };
    expect(recipe.lora.r).toBe(r);
    expect(recipe.training.num_train_epochs).toBe(2);
    expect(metricsOf(dir).map(({ kind }) => kind)).toEqual([
      ...['step', 'step', 'eval', 'step', 'step', 'eval'],
    ]);
    expect(JSON.parse(readFileSync(path.join(dir, 'notes.json'), 'utf8'))).toMatchObject({
      ...{ name: 'output (transformers)', tags: ['imported'] },
    });
    expect((await cli('inspect', dir)).stdout).toContain('completed');
    const resumed = await cli('train', '--resume', dir);
    expect(resumed.stderr).toContain('The run is complete');
  });

  it('reads event files and the output of mlx-lm', async () => {
    const events = path.join(tempFolder(), 'runs/Jan01');
    mkdirSync(events, { recursive: true });
    cpSync(
      path.join(LOGS, 'events.out.tfevents.1.host'),
      path.join(events, 'events.out.tfevents.1.host'),
    );
    const dir = await imported(path.dirname(events));
    expect(recordOf(dir)).toMatchObject({
      name: 'Jan01 (TensorBoard)',
      created: '1970-01-01T00:16:41.000Z',
      result: { steps: 4, last_loss: 0.5, best_validation_loss: 2 },
    });
    // as Python writes numbers that JSON does not have
    const state = path.join(tempFolder(), 'trainer_state.json');
    writeFileSync(state, '{"log_history": [{"step": 1, "loss": 2.0, "grad_norm": NaN}]}');
    expect(recordOf(await imported(state)).result.last_loss).toBe(2);
    const log = path.join(tempFolder(), 'train.log');
    writeFileSync(log, 'Iter 1: Val loss 3.0, Val took 1s\nIter 5: Train loss 2.5, It/sec 1.0\n');
    expect(recordOf(await imported(log)).result).toMatchObject({
      ...{ steps: 5, last_loss: 2.5, first_validation_loss: 3 },
    });
  });

  it('refuses what is no log, without writing anything', async () => {
    const folder = tempFolder();
    const dir = path.join(folder, 'run');
    const failing = async (log: string, ...more: readonly string[]) => {
      const { code, stderr } = await cli('import', log, '--run-dir', dir, ...more);
      expect(code).not.toBe(0);
      expect(existsSync(dir)).toBe(false);
      return stderr;
    };
    expect(await failing(folder)).toContain('No log of a training run was found');
    expect(await failing(path.join(folder, 'none'))).toContain('does not exist');
    const json = path.join(folder, 'trainer_state.json');
    writeFileSync(json, '{"log_history": [');
    expect(await failing(json)).toContain('not valid JSON');
    writeFileSync(json, `{"log_history": ${' '.repeat(2e6)}[]}`);
    expect(await failing(json)).toContain('no history of losses');
    const text = path.join(folder, 'a.log');
    writeFileSync(text, 'nothing of note');
    expect(await failing(text)).toContain('No log of a training run was found');
    const event = path.join(folder, 'events.out.tfevents.2');
    writeFileSync(event, Buffer.alloc(1000, 255));
    expect(await failing(event)).toContain('does not begin as event files do');
    const alone = path.join(LOGS, 'trainer_state.json');
    expect(await failing(alone, '--adapter')).toContain('There is no adapter beside the log');
  });

  it('keeps what a recipe can say of an adapter, and refuses too many event files', async () => {
    const folder = tempFolder();
    cpSync(path.join(LOGS, 'trainer_state.json'), path.join(folder, 'trainer_state.json'));
    const config = { r: 5, lora_alpha: 7, lora_dropout: 1.5 };
    writeFileSync(path.join(folder, 'adapter_config.json'), JSON.stringify(config));
    const { lora, training } = recordOf(await imported(folder)).recipe;
    expect([lora.r, lora.lora_alpha, lora.lora_dropout]).toEqual([5, 7, 0]);
    expect(training.num_train_epochs).toBe(2);
    const many = tempFolder();
    for (let i = 0; i < 51; i++)
      cpSync(
        path.join(LOGS, 'events.out.tfevents.1.host'),
        path.join(many, `events.out.tfevents.${i}.host`),
      );
    const { code, stderr } = await cli('import', many, '--run-dir', path.join(many, 'run'));
    expect([code, stderr]).toEqual([2, expect.stringContaining('more than 50 event files')]);
  });
});
