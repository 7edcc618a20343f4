// node test/scripts/adapt_nsfwjs.mjs: adapts a real MobileNet v2, that of the npm package nsfwjs,
// to Fashion-MNIST (Debian's package dataset-fashion-mnist), and prints the accuracy before and
// after. Model and images are kept in the user's cache. Run npm run build first.
import { execFileSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import path from 'node:path';
import { gunzipSync } from 'node:zlib';
import { encode } from 'fast-png';
import { npmCommand, programPath } from '../../scripts/programs.mjs';

const PACKAGE = 'nsfwjs@4.3.0';
const DATASET = '/usr/share/datasets/fashion-mnist';
const CLASSES = 'tshirt trouser pullover dress coat sandal shirt sneaker bag boot'.split(' ');
/** Images of each class: a subset, so that it takes minutes on two cores. */
const COUNTS = { train: 60, t10k: 20 };
const SIDE = 28;

const root = path.resolve(import.meta.dirname, '../..');
const cache = path.join(homedir(), '.cache', 'lora-workbench', 'models', 'nsfwjs-4.3.0');
const lora = (...args) =>
  execFileSync(process.execPath, [path.join(root, 'dist', 'cli.js'), ...args], {
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'inherit'],
  });

/** model.json and its shard, which the package has as modules of JavaScript. */
function unpackModel() {
  if (existsSync(path.join(cache, 'model.json'))) return;
  mkdirSync(cache, { recursive: true });
  const [npm, ...args] = npmCommand();
  execFileSync(npm, [...args, 'pack', PACKAGE, '--pack-destination', cache], { stdio: 'inherit' });
  const archive = path.join(cache, 'nsfwjs-4.3.0.tgz');
  execFileSync(programPath('tar'), ['xzf', archive, '-C', cache]);
  const folder = path.join(cache, 'package', 'dist', 'models', 'mobilenet_v2');
  const load = createRequire(path.join(folder, 'index.js'));
  const own = (name) => load(`./${name}.min.js`).default ?? load(`./${name}.min.js`);
  const json = own('model');
  for (const { paths } of json.weightsManifest)
    for (const shard of paths)
      writeFileSync(path.join(cache, shard), Buffer.from(own(shard), 'base64'));
  writeFileSync(path.join(cache, 'model.json'), JSON.stringify(json));
  rmSync(path.join(cache, 'package'), { recursive: true });
}

/** The first images of each class as PNG files, in a folder for each class. */
function writeImages(set) {
  const folder = path.join(cache, 'fashion', set);
  if (existsSync(folder)) return folder;
  const read = (kind) => gunzipSync(readFileSync(path.join(DATASET, `${set}-${kind}-ubyte.gz`)));
  const [images, labels] = [read('images-idx3').subarray(16), read('labels-idx1').subarray(8)];
  const counts = CLASSES.map(() => 0);
  for (const [i, label] of labels.entries()) {
    if (counts[label] === COUNTS[set]) continue;
    const own = path.join(folder, CLASSES[label]);
    mkdirSync(own, { recursive: true });
    const data = images.subarray(i * SIDE * SIDE, (i + 1) * SIDE * SIDE);
    const png = encode({ width: SIDE, height: SIDE, channels: 1, depth: 8, data });
    writeFileSync(path.join(own, `${counts[label]++}.png`), png);
  }
  return folder;
}

unpackModel();
const recipe = path.join(cache, 'lora.json');
writeFileSync(
  recipe,
  JSON.stringify({
    base: path.join(cache, 'model.json'),
    dataset: writeImages('train'),
    validation: writeImages('t10k'),
    task: 'image_cls',
    lora: { r: 8 },
    training: {
      learning_rate: 2e-3,
      num_train_epochs: 1,
      per_device_train_batch_size: 16,
      eval_steps: 1000,
      save_steps: 1000,
    },
  }),
);
const run = path.join(cache, `run-${process.pid}`);
const merged = path.join(cache, `merged-${process.pid}`);
const started = performance.now();
lora('train', recipe, '--run-dir', run);
const minutes = (performance.now() - started) / 60_000;
const evaluations = readFileSync(path.join(run, 'metrics.jsonl'), 'utf8')
  .split('\n')
  .filter((line) => line.includes('"eval"'))
  .map((line) => JSON.parse(line));
const [before, after] = [evaluations[0], evaluations.at(-1)];
const adapter = path.join(run, 'adapter');
const last = (text) => JSON.parse(text.trim().split('\n').at(-1));
const base = path.join(cache, 'model.json');
const { parity } = last(
  lora('merge', '--base', base, '--adapter', adapter, '--output', merged, '--json'),
);
const evaluated = lora(
  'evaluate',
  '--base',
  path.join(merged, 'model.json'),
  '--dataset',
  path.join(cache, 'fashion', 't10k'),
);
const { trainable_parameters } = JSON.parse(readFileSync(path.join(run, 'run.json'), 'utf8'));
console.log(
  [
    `${trainable_parameters} trained parameters, ${minutes.toFixed(1)} minutes`,
    `before: accuracy ${before.scores.accuracy.toFixed(4)}, loss ${before.loss.toFixed(4)}`,
    `after: accuracy ${after.scores.accuracy.toFixed(4)}, loss ${after.loss.toFixed(4)}`,
    `merged: ${evaluated.trim()}`,
    `outputs differ by at most ${parity.largest_gap} (largest ${parity.largest_logit})`,
    `merged model: ${merged}`,
  ].join('\n'),
);
