// node test/bench/sweep.mjs [STEPS] [here|ssh|ray]: wall time of a sweep of eight runs, one and two
// at a time: on this machine, or on it as a target over SSH or in a Ray cluster of two nodes.
// Ray is installed by npm run test:targets -- ray.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { RayCluster } from '../targets/rayCluster.mjs';
import { SshServer } from '../targets/sshServer.mjs';

const root = path.resolve(import.meta.dirname, '../..');
const cli = path.join(root, 'dist/cli.js');
const steps = Number(process.argv[2] ?? 100);
const folder = mkdtempSync(path.join(tmpdir(), 'lora-bench-'));
const recipe = path.join(folder, 'lora.json');
const targets = path.join(folder, 'targets.json');
const chat = (i) => ({
  messages: [
    { role: 'user', content: `say ${i}` },
    { role: 'assistant', content: `number ${i}` },
  ],
});
const rows = Array.from({ length: 40 }, (_, i) => `${JSON.stringify(chat(i))}\n`);
writeFileSync(path.join(folder, 'data.jsonl'), rows.join(''));
writeFileSync(
  recipe,
  JSON.stringify({
    base: path.join(root, 'test/fixtures/llama/base'),
    dataset: 'data.jsonl',
    samples: { sample_steps: 0 },
    training: { max_steps: steps, base_dtype: 'float32' },
  }),
);

/** How each place is opened: its entry among the targets, and how it ends. */
const PLACES = {
  here: async () => ({ entry: null, close: () => undefined }),
  ssh: async () => {
    mkdirSync(path.join(folder, 'ssh'));
    const server = await SshServer.start(path.join(folder, 'ssh'));
    const there = path.join(folder, 'there');
    const entry = { kind: 'ssh', host: 'box', config: server.file('config'), root: there };
    return { entry, close: () => server.down() };
  },
  ray: async () => {
    const cluster = await RayCluster.start();
    await cluster.addNode();
    process.env.BENCH_TOKEN = cluster.token;
    const entry = { kind: 'ray', address: cluster.address, token: 'BENCH_TOKEN' };
    return { entry, close: () => cluster.stop() };
  },
};

async function lora(...args) {
  const env = { ...process.env, LORA_TARGETS: targets };
  const child = spawn(process.execPath, [cli, ...args, '--json'], { env, cwd: folder });
  let said = '';
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (text) => (said += text));
  const [code] = await once(child, 'close');
  if (code !== 0) throw new Error(said);
}

async function seconds(parallel, on) {
  const start = performance.now();
  const vary = ['--vary', 'lora.r=1,2,4,8', '--vary', 'training.learning_rate=1e-4,1e-3'];
  await lora('sweep', recipe, '--parallel', String(parallel), ...vary, ...on);
  return (performance.now() - start) / 1000;
}

const open = PLACES[process.argv[3] ?? 'here'];
if (!open) throw new Error(`Places are ${Object.keys(PLACES).join(', ')}.`);
const { entry, close } = await open();
try {
  const on = entry === null ? [] : ['--on', 'bench'];
  if (entry !== null) writeFileSync(targets, JSON.stringify([{ name: 'bench', ...entry }]));
  // what is sent and installed once does not count
  await lora('train', recipe, ...on);
  for (const parallel of [1, 2])
    console.log(`--parallel ${parallel}: ${(await seconds(parallel, on)).toFixed(1)} s`);
} finally {
  await close();
  rmSync(folder, { recursive: true });
}
