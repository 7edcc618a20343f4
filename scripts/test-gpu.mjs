// npm run test:gpu: the tests of the numbers (GPU in stages.mjs) on this machine's NVIDIA GPU, with
// TensorFlow with CUDA, which it installs. Fails without a GPU.
import path from 'node:path';
import { run } from './dependencies.mjs';
import { GPU } from './stages.mjs';

const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
const projects = GPU.stages.flatMap((name) => ['--project', name]);

const commands = [
  ['scripts/build.mjs'],
  ['dist/cli.js', 'runtime', '--install', '--gpu'],
  [vitest, 'run', ...projects, ...GPU.files()],
];
for (const args of commands) {
  if (!run(process.execPath, args).ok) process.exit(1);
}
