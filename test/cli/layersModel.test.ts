import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { encode } from 'fast-png';
import * as v from 'valibot';
import { ShownCertificateSchema, type ShownCertificate } from '../../src/shared/mergeFacts';
import { cli, tempFolder } from '../support/commandLine';
import { fillWeights, saveModel, TEST_MODELS, testLayers } from '../support/layersModels';

let bases = '';
beforeAll(async () => {
  bases = tempFolder();
  const tf = await testLayers();
  for (const name of ['dense', 'images', 'tokens']) {
    const { model } = TEST_MODELS[name]!(tf);
    fillWeights(tf, model, 3);
    await saveModel(model, path.join(bases, name));
  }
});

const ROWS = ['a,b,c,d,label'];
for (let i = 0; i < 30; i++) ROWS.push(`${i % 3},${(i * 7) % 5},${-i / 10},1,${'xyz'[i % 3]!}`);

/** A folder with a recipe for a copy of a base. */
function place(base: string, recipe: object, files: Readonly<Record<string, string>> = {}): string {
  const folder = tempFolder();
  cpSync(path.join(bases, base), path.join(folder, 'base'), { recursive: true });
  for (const [name, text] of Object.entries(files)) writeFileSync(path.join(folder, name), text);
  const whole = { base: 'base/model.json', task: 'features', dataset: 'rows.csv', ...recipe };
  writeFileSync(path.join(folder, 'lora.json'), JSON.stringify(whole));
  return folder;
}

const TRAINING = { learning_rate: 0.05, max_steps: 8, save_steps: 4, eval_steps: 4 };
const rows = { 'rows.csv': ROWS.join('\n') };

async function trained(folder: string): Promise<string> {
  const run = path.join(folder, 'run');
  const { code, stderr } = await cli('train', path.join(folder, 'lora.json'), '--run-dir', run);
  expect(stderr).toBe('');
  expect(code).toBe(0);
  return run;
}

const weightsOf = (folder: string) => readFileSync(path.join(folder, 'adapter_model.safetensors'));

describe('a layers model on the command line', () => {
  it.each([
    ['evaluate', '--dataset', 'rows.csv'],
    ['merge', '--adapter', 'adapter', '--output', 'merged'],
  ])('is not quantized by %s', async (command, ...given) => {
    const { code, stderr } = await cli(
      ...[command, '--base', 'base/model.json', '--quantize', 'nf4', ...given],
    );
    expect(stderr).toMatch(/A layers model is not quantized/);
    expect(code).not.toBe(0);
  });

  it('resumes to the same bytes, evaluates and merges', async () => {
    const folder = place('dense', { lora: { r: 2 }, training: TRAINING }, rows);
    const checked = await cli('check', path.join(folder, 'lora.json'));
    expect(checked.stdout).toMatch(/memory of a step with 4 rows: about \d+ MB \(.* free$/m);
    const run = await trained(folder);
    const resumed = path.join(folder, 'resumed');
    cpSync(run, resumed, { recursive: true });
    rmSync(path.join(resumed, 'checkpoints', 'step-8'), { recursive: true });
    rmSync(path.join(resumed, 'adapter'), { recursive: true });
    const file = path.join(resumed, 'run.json');
    const record = JSON.parse(readFileSync(file, 'utf8')) as object;
    writeFileSync(file, JSON.stringify({ ...record, state: 'stopped' }));
    const { code, stderr } = await cli('train', '--resume', resumed);
    expect([code, stderr]).toEqual([0, '']);
    expect(weightsOf(path.join(resumed, 'adapter'))).toEqual(weightsOf(path.join(run, 'adapter')));
    const [base, adapter] = [path.join(folder, 'base', 'model.json'), path.join(run, 'adapter')];
    const output = path.join(folder, 'merged');
    const pair = ['--base', base, '--adapter', adapter];
    const sizes = await cli('merge', '--sizes', ...pair);
    expect(sizes.stdout).toMatch(/^folder, --dtype keep: /);
    const made = await cli('merge', ...pair, '--output', output);
    expect(made.stdout).toMatch(/outputs differ from those of base \+ adapter by at most \d/);
    const certificate = JSON.parse(
      readFileSync(path.join(output, 'merge.json'), 'utf8'),
    ) as ShownCertificate;
    expect(v.is(ShownCertificateSchema, certificate)).toBe(true);
    expect(certificate.parity).toMatchObject({ prompts: 8, top1_agreement: 1 });
    expect(certificate.parity?.largest_gap).toBeLessThan(2e-5);
    expect(certificate.parity?.largest_logit).toBeGreaterThan(0.01);
    expect(certificate.tensors.every(({ delta_norm }) => delta_norm > 0)).toBe(true);
    expect((await cli('merge', '--verify', output)).code).toBe(0);
    writeFileSync(path.join(output, 'model.json'), '{}', { flag: 'a' });
    expect((await cli('merge', '--verify', output)).code).toBe(1);
    truncateSync(
      path.join(output, 'model.json'),
      statSync(path.join(output, 'model.json')).size - 2,
    );
    const dataset = path.join(folder, 'rows.csv');
    const own = await cli('evaluate', '--base', base, '--adapter', adapter, '--dataset', dataset);
    const merged = await cli(
      'evaluate',
      '--base',
      path.join(output, 'model.json'),
      '--dataset',
      dataset,
    );
    expect(own.stdout).toMatch(/^loss \d\.\d{4} on 30 rows, accuracy /);
    expect(merged.stdout).toBe(own.stdout);
  });

  it('replaces an output layer that does not fit, also for images', async () => {
    const folder = place('images', {
      task: 'image_cls',
      dataset: 'pictures',
      lora: { r: 2 },
      training: { ...TRAINING, max_steps: 4 },
      validation_split: 0.25,
    });
    for (const [i, name] of ['a', 'b', 'c', 'd'].entries()) {
      mkdirSync(path.join(folder, 'pictures', name), { recursive: true });
      for (let k = 0; k < 3; k++) {
        const data = new Uint8Array(5 * 7 * 3).fill(60 * i + k);
        const png = encode({ width: 5, height: 7, channels: 3, depth: 8, data });
        writeFileSync(path.join(folder, 'pictures', name, `${k}.png`), png);
      }
    }
    const base = JSON.parse(readFileSync(path.join(folder, 'base', 'model.json'), 'utf8')) as {
      modelTopology: { config: { layers: unknown[] } };
    };
    base.modelTopology.config.layers.pop();
    writeFileSync(path.join(folder, 'base', 'model.json'), JSON.stringify(base));
    const run = path.join(folder, 'run');
    const { code, stdout } = await cli('train', path.join(folder, 'lora.json'), '--run-dir', run);
    expect(code).toBe(0);
    expect(stdout).toContain('is replaced by a new one (4, softmax)');
    const output = path.join(folder, 'merged');
    const [model, adapter] = [path.join(folder, 'base', 'model.json'), path.join(run, 'adapter')];
    const merged = await cli('merge', '--base', model, '--adapter', adapter, '--output', output);
    expect([merged.code, merged.stderr]).toEqual([0, '']);
    const pictures = path.join(folder, 'pictures');
    const own = await cli('evaluate', '--base', model, '--adapter', adapter, '--dataset', pictures);
    const whole = await cli(
      'evaluate',
      '--base',
      path.join(output, 'model.json'),
      '--dataset',
      pictures,
    );
    expect(whole.stdout).toBe(own.stdout);
    expect(own.stdout).toMatch(/^loss /);
  });
});

/** What the tests change of a model.json. */
interface Json {
  format: string;
  modelTopology: {
    config: { layers: { class_name: string; config: Record<string, unknown> }[] };
  };
  weightsManifest: [{ paths: string[] }];
}

/** Changes the model.json in a folder. */
const changed =
  (change: (json: Json) => void) =>
  (folder: string): void => {
    const file = path.join(folder, 'base', 'model.json');
    const json = JSON.parse(readFileSync(file, 'utf8')) as Json;
    change(json);
    writeFileSync(file, JSON.stringify(json));
  };
const layer = (json: Json, i: number) => json.modelTopology.config.layers[i]!;

const FAULTS: readonly (readonly [string, (folder: string) => void, string])[] = [
  [
    'a custom layer',
    changed((json) => (layer(json, 0).class_name = 'Mine')),
    'The layer "dense_Dense1" is of the class "Mine", which TensorFlow.js does not have.',
  ],
  [
    'an unknown activation',
    changed((json) => (layer(json, 0).config['activation'] = 'wobble')),
    'The layer "dense_Dense1" has the activation "wobble", which TensorFlow.js does not have.',
  ],
  [
    'a graph model',
    changed((json) => (json.format = 'graph-model')),
    'The file is a graph model of TensorFlow.js, which has operations but no layers to adapt.',
  ],
  [
    'a shard outside of the folder',
    changed((json) => (json.weightsManifest[0].paths = ['../rows.csv'])),
    'The shard "../rows.csv" is not in the folder of the model: only files there are read.',
  ],
  [
    'a shard at a URL',
    changed((json) => (json.weightsManifest[0].paths = ['https://example.org/a.bin'])),
    'The shard "https://example.org/a.bin" is not in the folder of the model',
  ],
  [
    'a missing shard',
    (folder) => rmSync(path.join(folder, 'base', 'b.bin')),
    'b.bin: The file cannot be read',
  ],
  [
    'a truncated shard',
    (folder) => writeFileSync(path.join(folder, 'base', 'b.bin'), Buffer.alloc(3)),
    'b.bin, tensor',
  ],
  [
    'NaN in a weight',
    (folder) => {
      const file = path.join(folder, 'base', 'a.bin');
      const bytes = readFileSync(file);
      bytes.writeFloatLE(NaN, 4);
      writeFileSync(file, bytes);
    },
    'The weight has numbers that are NaN or infinite.',
  ],
  [
    'rows with too few columns',
    (folder) => writeFileSync(path.join(folder, 'rows.csv'), 'a,label\n1,x\n2,y\n'),
    'The rows have 1 columns beside the labels ("a"), but the model reads 4 numbers.',
  ],
  [
    'a cell that is no number',
    (folder) =>
      writeFileSync(path.join(folder, 'rows.csv'), 'a,b,c,d,label\n1,2,3,4,x\n1,two,3,4,y\n'),
    'rows.csv:3, key b: The column "b" must be a number, not "two".',
  ],
  [
    'a setting that it does not have',
    (folder) => {
      const file = path.join(folder, 'lora.json');
      const recipe = JSON.parse(readFileSync(file, 'utf8')) as object;
      writeFileSync(file, JSON.stringify({ ...recipe, lora: { use_dora: true } }));
    },
    '"lora.use_dora" is not supported for layers models of TensorFlow.js.',
  ],
];

it.each(FAULTS)('refuses %s in one message', async (_, damage, message) => {
  const folder = place('dense', { training: TRAINING }, rows);
  damage(folder);
  const run = path.join(folder, 'run');
  const { code, stderr } = await cli('train', path.join(folder, 'lora.json'), '--run-dir', run);
  expect(code).toBe(1);
  expect(stderr).toContain(message);
  expect(stderr).not.toMatch(/\n\s+at /);
  expect(existsSync(path.join(run, 'adapter'))).toBe(false);
  expect(readdirSync(run).filter((name) => name.endsWith('.tmp'))).toEqual([]);
});
