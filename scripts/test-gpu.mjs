// npm run test:gpu: the tests of the numbers on this machine's NVIDIA GPU, with TensorFlow with
// CUDA, which it installs. Where there is no GPU, it fails.
import { spawnSync } from 'node:child_process';
import path from 'node:path';

const root = path.resolve(import.meta.dirname, '..');
/** All but those of the CPU's own kernels, of installing, and of the extension's other runtimes. */
const TESTS = [
  'cases',
  'checkpointing',
  'gradients',
  'bf16',
  'logits-cached',
  'minilm',
  'rescale',
  'smollm2-model',
  'tensors',
  'trajectory',
  'vocabulary',
  'fullFineTuning',
  '../cli/train.test',
  '../cli/full',
  '../cli/training',
  '../cli/variants',
];

function run(...args) {
  const { status } = spawnSync(process.execPath, args, { cwd: root, stdio: 'inherit' });
  if (status !== 0) process.exit(status ?? 1);
}

run('scripts/build.mjs');
run('dist/cli.js', 'runtime', '--install', '--gpu');
run(
  'node_modules/vitest/vitest.mjs',
  'run',
  '--project',
  'parity',
  ...TESTS.map((name) => `test/parity/${name}`),
);
