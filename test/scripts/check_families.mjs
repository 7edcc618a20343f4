// Every fixture with PEFT's numbers: its adapter merged into its base, and its adapter after one
// step of training, loaded with transformers and PEFT, whose logits are compared.
//
//     node test/scripts/check_families.mjs PYTHON [CASE,…]        (after npm run build)
//
// PYTHON: with torch, transformers and peft.
import { build } from 'esbuild';
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import path from 'node:path';

const [python, only] = process.argv.slice(2);
/** Encoders without a head, whose loss is another one here: they are merged only. */
const FEATURES = ['mpnet/features', 'electra-features/features'];
const isWanted = (name) => !only || only.split(',').some((one) => name.startsWith(one));
const root = path.resolve(import.meta.dirname, '../..');
const fixtures = path.join(root, 'test', 'fixtures');
const folder = mkdtempSync(path.join(tmpdir(), 'lora-families-'));
const bundle = path.join(root, 'dist', 'check_families.cjs');
await build({
  absWorkingDir: root,
  stdin: {
    contents: `
      export * from './test/support/models';
      export { PEFT_CASES } from './test/support/peftCases';
      export { PLAIN_MERGE } from './test/support/mergeOptions';
      export { mergeModel } from './src/engine/merge/mergeModel';
      export { openBase } from './src/formats/openBase';
      export { withModelNames } from './src/formats/peft/modelNames';
      export { writePeftAdapter } from './src/formats/peft/write';`,
    resolveDir: root,
  },
  outfile: bundle,
  bundle: true,
  packages: 'external',
  platform: 'node',
  format: 'cjs',
  define: { 'import.meta.dirname': JSON.stringify(path.join(root, 'test', 'support')) },
  logLevel: 'error',
});
const own = createRequire(import.meta.url)(bundle);

/** One step with a large rate, so that every factor differs from those of the fixture. */
async function train(ops, name, output) {
  const expected = own.readJson(name, 'expected.json');
  const want = await own.readFloats(name, 'expected.safetensors');
  const input = own.caseInput(name, expected, want);
  const model = await own.loadFixture(ops, `${name.split('/')[0]}/base`, name + '/adapter');
  const { labelled } = await model.accumulate(input, 0);
  await model.step(labelled, { learning_rate: 0.02, weight_decay: 0, max_grad_norm: 1 });
  const logits = Float32Array.from(await model.logits(input));
  const adapter = await model.adapter();
  model.dispose();
  const base = await own.openBase(path.join(fixtures, name.split('/')[0], 'base'));
  await own.writePeftAdapter(path.join(output, 'trained'), own.withModelNames(adapter, base.spec), {
    task: base.spec.task,
    labels: null,
    card: '',
    baseTensor: (tensor) => base.weights.readF32(tensor),
  });
  await base.close();
  writeFileSync(path.join(output, 'trained.f32'), new Uint8Array(logits.buffer));
}

try {
  const ops = await own.tensorFlowOps();
  for (const name of [...own.PEFT_CASES, ...FEATURES].filter(isWanted)) {
    const output = path.join(folder, name.replace('/', ' '));
    mkdirSync(output);
    const base = path.join(fixtures, name.split('/')[0], 'base');
    const adapter = path.join(fixtures, name, 'adapter');
    try {
      const merged = path.join(output, 'merged');
      await own.mergeModel({ base, adapters: [adapter], output: merged, ...own.PLAIN_MERGE });
      if (!FEATURES.includes(name)) await train(ops, name, output);
    } catch (error) {
      console.log(`${name}: ${error.message}`);
    }
  }
  const check = path.join(import.meta.dirname, 'check_families.py');
  const { status } = spawnSync(python, [check, fixtures, folder], { stdio: 'inherit' });
  process.exitCode = status ?? 1;
} finally {
  rmSync(folder, { recursive: true });
  rmSync(bundle);
}
