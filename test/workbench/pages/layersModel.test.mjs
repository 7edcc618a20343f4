// A merged layers model and the library for tfjs in a browser, with the tfjs that any page loads.
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';
import { launchBrowser } from '../../support/browser.mjs';
import { root } from '../../support/root.mjs';
import { WAIT_MS } from './openPage.mjs';

const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs');
const { loadAdapter } = require(path.join(root, 'dist', 'tfjs', 'index.cjs'));
const tfjs = path.dirname(require.resolve('@tensorflow/tfjs'));

const ROWS = Array.from({ length: 6 }, (_, i) => [i % 3, (i * 5) % 4, -i / 2, 1]);
const PAGE = `<!doctype html><meta charset="utf-8">
<script type="importmap">{"imports": {"@tensorflow/tfjs": "/tf.mjs"}}</script>`;

let folder, server, origin, browser, page;
before(async () => {
  folder = mkdtempSync(path.join(tmpdir(), 'lora-tfjs-'));
  await trainAndMerge();
  const files = {
    '/': ['text/html', () => PAGE],
    '/tf.mjs': ['text/javascript', () => readFileSync(path.join(tfjs, 'tf.fesm.min.js'))],
    '/lora.mjs': [
      'text/javascript',
      () => readFileSync(path.join(root, 'dist', 'tfjs', 'index.mjs')),
    ],
  };
  server = createServer(({ url }, response) => {
    const merged = /^\/merged\/([\w.-]+)$/.exec(url)?.[1];
    const [type, read] = merged
      ? ['application/octet-stream', () => readFileSync(path.join(folder, 'merged', merged))]
      : (files[url] ?? []);
    response.writeHead(read ? 200 : 404, { 'content-type': type ?? 'text/plain' });
    response.end(read?.());
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${server.address().port}`;
  browser = await launchBrowser();
  page = await browser.newPage();
  page.setDefaultTimeout(WAIT_MS);
  await page.goto(origin);
});
after(async () => {
  await browser?.close();
  server?.close();
  if (folder) rmSync(folder, { recursive: true, force: true });
});

const lora = (...args) =>
  execFileSync(process.execPath, [path.join(root, 'dist', 'cli.js'), ...args], { cwd: folder });

/** Trains a small model on rows of numbers, and merges the adapter. */
async function trainAndMerge() {
  const model = tf.sequential({
    layers: [
      tf.layers.dense({ units: 6, activation: 'relu', inputShape: [4] }),
      tf.layers.batchNormalization(),
      tf.layers.dense({ units: 3, activation: 'softmax' }),
    ],
  });
  await model.save({
    save: ({ modelTopology, weightSpecs, weightData }) => {
      writeFileSync(path.join(folder, 'w.bin'), Buffer.from(weightData));
      const weightsManifest = [{ paths: ['w.bin'], weights: weightSpecs }];
      writeFileSync(
        path.join(folder, 'model.json'),
        JSON.stringify({ format: 'layers-model', modelTopology, weightsManifest }),
      );
      return { modelArtifactsInfo: { dateSaved: new Date(), modelTopologyType: 'JSON' } };
    },
  });
  const lines = ROWS.concat(ROWS, ROWS).map((row, i) => [...row, 'abc'[i % 3]].join(','));
  writeFileSync(path.join(folder, 'rows.csv'), ['p,q,r,s,label', ...lines].join('\n'));
  writeFileSync(
    path.join(folder, 'lora.json'),
    JSON.stringify({
      base: 'model.json',
      dataset: 'rows.csv',
      task: 'features',
      validation_split: 0,
      lora: { r: 2 },
      training: { learning_rate: 0.05, max_steps: 12 },
    }),
  );
  lora('train', 'lora.json', '--run-dir', 'run');
  lora('merge', '--base', 'model.json', '--adapter', 'run/adapter', '--output', 'merged');
}

/** What the base predicts with its adapter, by the library in Node. */
async function adaptedPredictions() {
  const json = JSON.parse(readFileSync(path.join(folder, 'model.json'), 'utf8'));
  const bytes = readFileSync(path.join(folder, 'w.bin'));
  const model = await tf.loadLayersModel({
    load: () => ({
      modelTopology: json.modelTopology,
      weightSpecs: json.weightsManifest[0].weights,
      weightData: new Uint8Array(bytes).buffer,
    }),
  });
  const adapter = path.join(folder, 'run', 'adapter');
  const before = [...(await model.predict(tf.tensor2d(ROWS)).data())];
  loadAdapter(model, {
    'adapter_config.json': readFileSync(path.join(adapter, 'adapter_config.json'), 'utf8'),
    'adapter_model.safetensors': new Uint8Array(
      readFileSync(path.join(adapter, 'adapter_model.safetensors')),
    ),
  });
  return { before, adapted: [...(await model.predict(tf.tensor2d(ROWS)).data())] };
}

const largestGap = (a, b) => Math.max(...a.map((value, i) => Math.abs(value - b[i])));

test('a page with tfjs loads the merged model.json, which predicts as the adapted model', async () => {
  const { before, adapted } = await adaptedPredictions();
  const predicted = await page.evaluate(async (rows) => {
    const tf = await import('/tf.mjs');
    await tf.setBackend('cpu');
    const model = await tf.loadLayersModel('/merged/model.json');
    return [...(await model.predict(tf.tensor2d(rows)).data())];
  }, ROWS);
  assert.ok(largestGap(predicted, adapted) < 1e-5, `gap ${largestGap(predicted, adapted)}`);
  assert.ok(largestGap(before, adapted) > 1e-3, 'the adapter changes nothing');
});

test('the library adapts a model in the browser', async () => {
  const found = await page.evaluate(async (rows) => {
    const tf = await import('/tf.mjs');
    const { applyLora, mergeLora, saveAdapter } = await import('/lora.mjs');
    await tf.setBackend('cpu');
    const model = await tf.loadLayersModel('/merged/model.json');
    const { trainable_parameters } = applyLora(model, { r: 2 });
    model.compile({ optimizer: tf.train.adam(0.05), loss: 'categoricalCrossentropy' });
    const labels = tf.tensor1d([2, 1, 0, 2, 1, 0], 'int32');
    const { history } = await model.fit(tf.tensor2d(rows), tf.oneHot(labels, 3), {
      epochs: 15,
      verbose: 0,
    });
    const adapted = await model.predict(tf.tensor2d(rows)).data();
    const files = Object.keys(await saveAdapter(model));
    const merged = await mergeLora(model).predict(tf.tensor2d(rows)).data();
    const gap = Math.max(...merged.map((value, i) => Math.abs(value - adapted[i])));
    return { trainable_parameters, files, gap, losses: [history.loss[0], history.loss.at(-1)] };
  }, ROWS);
  assert.equal(found.trainable_parameters, 2 * (4 + 6) + 2 * (6 + 3));
  assert.deepEqual(found.files, ['adapter_config.json', 'adapter_model.safetensors']);
  assert.ok(found.gap < 1e-5);
  assert.ok(found.losses[1] < found.losses[0]);
});
