import { describe, expect, it } from 'vitest';
import { cliArgs, inFixtures, newPath } from '../support/cliResults';
import { cli, makeRecipe } from '../support/commandLine';

const base = inFixtures('llama/base');
const adapterOf = (name: string) => inFixtures('generated/adapters', name);

/** What the command says of an adapter; it must succeed. */
const COMMANDS: Readonly<Record<string, (adapter: string) => readonly string[]>> = {
  'inspect --base': (adapter) => ['inspect', adapter, '--base', base],
  merge: (adapter) => [
    'merge',
    ...cliArgs({ base, adapter, output: newPath('merged'), 'no-parity': true }),
  ],
  generate: (adapter) => [
    'generate',
    ...cliArgs({ base, adapter, prompt: 'a', 'max-new-tokens': 1 }),
  ],
  check: (init_adapter) => ['check', makeRecipe({ lora: { init_adapter } })],
  train: (init_adapter) => [
    'train',
    makeRecipe({ lora: { init_adapter }, training: { max_steps: 1 } }),
    ...cliArgs({ 'run-dir': newPath('run') }),
  ],
};

const saidBy = async (args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await cli(...args);
  expect(code, stderr).toBe(0);
  return stdout + stderr;
};

describe.each(Object.entries(COMMANDS))('lora %s', (_, args) => {
  it('names what exclude_modules excludes in vain, and modules without tensors', async () => {
    expect(await saidBy(args(adapterOf('exclude')))).toContain(
      'exclude_modules: "nothing" matches no module of this base that LoRA can adapt.',
    );
    expect(await saidBy(args(adapterOf('layer-without-tensors')))).toContain(
      'target_modules includes model.layers.1.self_attn.q_proj, but the weights file has no tensors for it: its update is zero, as in PEFT.',
    );
  });
});

it('lora inspect says neither without a base, which it takes for adapters only', async () => {
  for (const name of ['exclude', 'layer-without-tensors'])
    expect(await saidBy(['inspect', adapterOf(name)])).not.toMatch(/matches no|has no tensors/);
  const { code, stderr } = await cli('inspect', base, '--base', base);
  expect([code, stderr]).toEqual([2, expect.stringContaining('--base is for adapters.')]);
});
