import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { npmCommand, programPath } from '../../scripts/programs.mjs';
import { tempFolder } from '../support/commandLine';
import { dist } from '../support/tfjs';

const root = path.dirname(dist);

/** The ten lines of docs/tfjs.md, on a small model; prints what they found. */
const LINES = `
const before = (await model.layers[0].getWeights()[0].data()).slice();
const { modules, trainable_parameters } = applyLora(model, { r: 2, targets: ['Dense'] });
model.compile({ optimizer: tf.train.adam(0.05), loss: 'categoricalCrossentropy' });
const { history } = await model.fit(xs, ys, { epochs: 20, verbose: 0 });
const files = await saveAdapter(model);
const adapted = await model.predict(xs).data();
removeLora(model);
const kept = await model.layers[0].getWeights()[0].data();
loadAdapter(model, files);
mergeLora(model);
const merged = await model.predict(xs).data();
const gap = Math.max(...merged.map((value, i) => Math.abs(value - adapted[i])));
const isFrozen = before.every((value, i) => value === kept[i]);
console.log(JSON.stringify({ modules, trainable_parameters, gap, isFrozen, names: Object.keys(files),
  losses: [history.loss[0], history.loss.at(-1)], weights: model.weights.length }));
`;
const MODEL = `
const model = tf.sequential({ layers: [
  tf.layers.dense({ units: 8, activation: 'relu', inputShape: [4] }),
  tf.layers.batchNormalization(),
  tf.layers.dense({ units: 3, activation: 'softmax' }),
] });
const xs = tf.tensor2d(Array.from({ length: 24 }, (_, i) => [i % 3, (i * 7) % 5, -(i % 3), 1]));
const ys = tf.oneHot(tf.tensor1d(Array.from({ length: 24 }, (_, i) => i % 3), 'int32'), 3);
`;
const NAMES = 'applyLora, loadAdapter, mergeLora, removeLora, saveAdapter';

/** A project with the packed library, beside the tfjs of its own. */
let project = '';
beforeAll(() => {
  project = tempFolder();
  const [npm, ...args] = npmCommand();
  const packed = execFileSync(
    npm,
    [...args, 'pack', '--ignore-scripts', '--json', '--pack-destination', project],
    { cwd: root, encoding: 'utf8' },
  );
  const [{ filename }] = JSON.parse(packed) as [{ filename: string }];
  const own = path.join(project, 'node_modules', 'lora-workbench');
  mkdirSync(own, { recursive: true });
  const archive = path.join(project, filename);
  execFileSync(programPath('tar'), ['xzf', archive, '-C', own, '--strip-components=1']);
  const scope = path.join(root, 'node_modules', '@tensorflow');
  symlinkSync(scope, path.join(project, 'node_modules', '@tensorflow'), 'junction');
});

function run(file: string, text: string): Record<string, unknown> {
  const script = path.join(project, file);
  writeFileSync(script, text);
  const lines = execFileSync(process.execPath, [script], { encoding: 'utf8' }).trim().split('\n');
  return JSON.parse(lines.at(-1)!) as Record<string, unknown>;
}

const expected = {
  modules: ['dense_Dense1', 'dense_Dense2'],
  trainable_parameters: 2 * (4 + 8) + 2 * (8 + 3),
  isFrozen: true,
  names: ['adapter_config.json', 'adapter_model.safetensors'],
  weights: 8,
};

it.each([
  [
    'ten.mjs',
    `import * as tf from '@tensorflow/tfjs';\nimport { ${NAMES} } from 'lora-workbench/tfjs';\n${MODEL}${LINES}`,
  ],
  [
    'ten.cjs',
    `const tf = require('@tensorflow/tfjs');\nconst { ${NAMES} } = require('lora-workbench/tfjs');\n(async () => {${MODEL}${LINES}})();`,
  ],
])('adapts a model in Node with the packed package: %s', (file, text) => {
  const found = run(file, text);
  expect(found).toMatchObject(expected);
  expect(found['gap']).toBeLessThan(1e-6);
  const [first, last] = found['losses'] as [number, number];
  expect(last).toBeLessThan(first / 2);
});

it('packs the library and its types', () => {
  const types = readFileSync(
    path.join(project, 'node_modules', 'lora-workbench', 'dist', 'tfjs', 'index.d.ts'),
    'utf8',
  );
  for (const name of NAMES.split(', ')) expect(types).toContain(`function ${name}(`);
});

it('brings no other package along: what the extension is made of is in its bundles', () => {
  const file = path.join(project, 'node_modules', 'lora-workbench', 'package.json');
  const packed = JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
  expect(packed['dependencies']).toBeUndefined();
  expect(packed['optionalDependencies']).toBeUndefined();
  expect(packed['peerDependencies']).toEqual({ '@tensorflow/tfjs': '^4.22.0' });
});

it.each([
  ["applyLora(model, { targets: ['Dence'] })", '"Dence" is no layer of this model'],
  ['applyLora(model, { r: 0 })', 'r must be a whole number above 0, not 0.'],
  ['mergeLora(model)', 'The model has no adapter: call applyLora first.'],
  ['applyLora(model); applyLora(model)', 'The model has an adapter already'],
  [
    "loadAdapter(model, { 'adapter_config.json': '{}', 'adapter_model.safetensors': new Uint8Array(9) })",
    '"layers_model" is missing',
  ],
])('refuses %s', (statement, message) => {
  const found = run(
    'refused.mjs',
    `import * as tf from '@tensorflow/tfjs';\nimport { ${NAMES} } from 'lora-workbench/tfjs';\n${MODEL}
     try { ${statement}; console.log('{}'); } catch (error) { console.log(JSON.stringify({ message: error.message })); }`,
  );
  expect(found['message']).toContain(message);
});
