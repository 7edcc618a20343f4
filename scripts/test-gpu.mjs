// npm run test:gpu: the tests of the numbers (GPU in stages.mjs) on this machine's NVIDIA GPU, with
// TensorFlow with CUDA, which it installs. Fails without a GPU.
//   npm run test:gpu -- --imitate   the parity tests of them on the processor, by the operations
//                                   of TensorFlow that a GPU would compute
import path from 'node:path';
import { run } from './dependencies.mjs';
import { GPU, stageOf } from './stages.mjs';

const vitest = path.join('node_modules', 'vitest', 'vitest.mjs');
const imitates = process.argv.includes('--imitate');
const stages = imitates ? ['parity'] : GPU.stages;
const projects = stages.flatMap((name) => ['--project', name]);
const files = GPU.files().filter((file) => stages.includes(stageOf(file)));
process.env.LORA_TEST_WITHOUT_KERNELS = '1';

const commands = [
  ['scripts/build.mjs'],
  ...(imitates ? [] : [['dist/cli.js', 'runtime', '--install', '--gpu']]),
  [vitest, 'run', ...projects, ...files],
];
for (const args of commands) {
  if (!run(process.execPath, args).ok) process.exit(1);
}
