import { existsSync, readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase, targetableModules } from '../../../../src/formats/openBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import { writePeftAdapter } from '../../../../src/formats/peft/write';
import { withSafetensors } from '../../../../src/formats/safetensors/read';
import { newAdapter, PLAIN_LORA as PLAIN_LORA } from '../../../../src/lora/newAdapter';
import { matchTargets } from '../../../../src/lora/targets';
import { temp } from '../../../support/temp';

const fixtures = path.resolve(import.meta.dirname, '../../../fixtures');
const facts = { task: 'causal_lm' as const, labels: null, card: '# card\n' };

/** Every plain LoRA adapter of the fixtures. */
const PLAIN = [
  ...[
    'lora-qv',
    'all-linear',
    'embed-tied',
    'layers-to-transform',
    'pissa-converted',
    'lora-attn-padded',
    'formats',
  ].map((name) => `llama/${name}/adapter`),
  'llama/pair/adapter_a',
  'llama/pair-mixed-rank/adapter_b',
  'llama/train/start',
  'llama/train/final',
  'llama3/rslora/adapter',
  'llama3/lm-head/adapter',
  'llama3/embed/adapter',
  'qwen2/rank-alpha-pattern/adapter',
  'mistral/sliding-window/adapter',
  'llama-sharded/bf16-merge/adapter',
  'llama-sharded/bf16-adapter/adapter',
  'real/smollm2/adapter',
].map((name) => path.join(fixtures, name));

interface Expected {
  readonly trainable_params: number;
  readonly modules: Readonly<Record<string, { readonly r: number; readonly scaling: number }>>;
}

describe('PEFT adapters', () => {
  it.each([
    'llama/lora-qv',
    'llama/all-linear',
    'llama/embed-tied',
    'llama/layers-to-transform',
    'llama/pissa-converted',
    'llama3/rslora',
    'llama3/lm-head',
    'llama3/embed',
    'qwen2/rank-alpha-pattern',
  ])("reads %s with PEFT's modules, ranks and scalings", async (name) => {
    const expected = JSON.parse(
      readFileSync(path.join(fixtures, name, 'expected.json'), 'utf8'),
    ) as Expected;
    const base = await openBase(path.join(fixtures, name, '../base'));
    const { adapter, warnings } = await readPeftAdapter(path.join(fixtures, name, 'adapter'), {
      modules: targetableModules(base),
      names: [adapter_name(name)],
    });
    await base.close();
    expect(warnings).toEqual([]);
    expect(Object.fromEntries(adapter.modules.map((m) => [m.path, [m.r, m.scaling]]))).toEqual(
      Object.fromEntries(
        Object.entries(expected.modules).map(([path, m]) => [path, [m.r, m.scaling]]),
      ),
    );
    expect(adapter.modules.reduce((n, m) => n + m.A.length + m.B.length, 0)).toBe(
      expected.trainable_params,
    );
  });

  it.each(PLAIN)(
    'writes %s back with the same config and byte-identical weights',
    async (source) => {
      const { adapter } = await readPeftAdapter(source);
      const folder = path.join(temp(), 'adapter');
      await writePeftAdapter(folder, adapter, facts);
      expect(readdirSync(folder).sort()).toEqual([
        'README.md',
        'adapter_config.json',
        'adapter_model.safetensors',
      ]);
      expect(readFileSync(path.join(folder, 'adapter_config.json'), 'utf8')).toBe(
        readFileSync(path.join(source, 'adapter_config.json'), 'utf8'),
      );
      const [ours, theirs] = [folder, source].map((dir) =>
        readFileSync(path.join(dir, 'adapter_model.safetensors')),
      );
      if (await isF32WithoutBase(source)) expect(ours!.equals(theirs!)).toBe(true);
      else expect((await readPeftAdapter(folder)).adapter.modules).toEqual(adapter.modules);
    },
  );

  it("creates an adapter with PEFT's names and shapes and a zero update", async () => {
    const base = await openBase(path.join(fixtures, 'llama/base'));
    const modules = matchTargets(targetableModules(base), { target_modules: 'all-linear' }).matched;
    await base.close();
    const adapter = newAdapter(modules, PLAIN_LORA, 'fixtures/llama-tiny', { seed: 7 });
    expect(
      adapter.modules.every((m) => m.B.every((x) => x === 0) && m.A.some((x) => x !== 0)),
    ).toBe(true);
    const folder = path.join(temp(), 'adapter');
    await writePeftAdapter(folder, adapter, facts);
    const [ours, peft] = [folder, path.join(fixtures, 'llama/all-linear/adapter')].map(
      (dir) =>
        JSON.parse(readFileSync(path.join(dir, 'adapter_config.json'), 'utf8')) as Record<
          string,
          unknown
        >,
    );
    const sorted = (config: Record<string, unknown>) => ({
      ...config,
      target_modules: [...(config['target_modules'] as string[])].sort(),
    });
    expect(sorted(ours!)).toEqual(sorted(peft!));
    expect(header(folder)).toEqual(header(path.join(fixtures, 'llama/all-linear/adapter')));
  });

  it('keeps the old folder if writing the new one fails', async () => {
    const { adapter } = await readPeftAdapter(path.join(fixtures, 'llama/lora-qv/adapter'));
    const folder = path.join(temp(), 'adapter');
    await writePeftAdapter(folder, adapter, facts);
    const broken = {
      ...adapter,
      modules: [{ ...adapter.modules[0]!, A: null as unknown as Float32Array }],
    };
    await expect(writePeftAdapter(folder, broken, facts)).rejects.toThrow();
    expect(existsSync(path.join(folder, 'adapter_model.safetensors'))).toBe(true);
    expect(readdirSync(path.dirname(folder))).toEqual(['adapter']);
  });
});

/** A bf16 file is written back in f32, without the base's own embedding. */
const isF32WithoutBase = (folder: string) =>
  withSafetensors(path.join(folder, 'adapter_model.safetensors'), (source) =>
    Promise.resolve(
      [...source.tensors.values()].every(
        ({ name, dtype }) => dtype === 'F32' && !name.includes('base_layer'),
      ),
    ),
  );

const adapter_name = (name: string) => `fixtures/${name.split('/')[0]}-tiny`;

function header(folder: string): unknown {
  const file = readFileSync(path.join(folder, 'adapter_model.safetensors'));
  return JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE(0))));
}
