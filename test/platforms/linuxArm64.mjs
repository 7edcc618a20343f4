import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { tsImport } from 'tsx/esm/api';
import { bundleFor } from './bundles.mjs';
import {
  checkExit,
  checkTests,
  compareLosses,
  dist,
  homeOf,
  install,
  trainHere,
  workspace,
} from './checks.mjs';
import { checkElf } from './elf.mjs';
import { emulatorOf } from './emulators.mjs';
import { checkKernels } from './kernels.mjs';

const { processorName } = await tsImport('../../src/runtime/processor.ts', import.meta.url);
const platform = 'linux-arm64';
/** Of the tests of the kernels: both types, and the models that differ most. */
const GROUPS = ['f32', 'bf16', 'llama/lora-qv', 'qwen3/dora', 'bert/seq-cls'];

/** Under qemu: installation, the kernels, 17 steps of the tiny llama as on this machine. */
export async function linuxArm64() {
  for (const name of ['linux-x64', platform]) checkElf(name);
  const emulator = await emulatorOf(platform);
  const folder = workspace('arm');
  const log = path.join(folder, 'log');
  const home = await homeOf(platform);
  const probe = async (binding) => {
    const env = { LORA_TFJS_BINDING: binding, TF_CPP_MIN_LOG_LEVEL: '2' };
    const code = await emulator.run([path.join(dist, 'probe.js')], env, log);
    const output = checkExit(`${platform}: the binding loads and multiplies`, code, log);
    return JSON.parse(output.trim().split('\n').at(-1));
  };
  await install(platform, home, probe);
  // inside the emulator no other process can be started, also not the probe
  nameProcessor(path.join(home, `tensorflow-2.18.1-${platform}`, 'runtime.json'));
  const env = { LORA_RUNTIME_HOME: home, LORA_RUNTIME_PATH: '' };

  await checkKernels(platform, emulator, folder);
  const tests = await bundleFor(emulator, 'test/parity/fused.test.ts', folder);
  // the levels are those of x86
  const own = { LORA_KERNELS_LEVEL: '0', LORA_ONLY_GROUPS: GROUPS.join(' ') };
  const tested = await emulator.run([tests], { ...env, ...own }, log);
  checkTests(`${platform}: fused.test.ts passes`, tested, log);

  const there = path.join(folder, 'there');
  const args = [path.join(dist, 'cli.js'), 'train', path.join(folder, 'lora.json')];
  const code = await emulator.run([...args, '--run-dir', there], env, log);
  checkExit(`${platform}: a training, whose worker ends`, code, log);
  compareLosses(platform, trainHere(folder), there);
  rmSync(path.dirname(folder), { recursive: true });
}

/** An emulated processor has the name of this machine's, or that of its architecture. */
function nameProcessor(file) {
  const manifest = JSON.parse(readFileSync(file, 'utf8'));
  const bf16_products = { [processorName()]: 'slow', arm64: 'slow', unknown: 'slow' };
  writeFileSync(file, JSON.stringify({ ...manifest, bf16_products }));
}
