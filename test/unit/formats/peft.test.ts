import { existsSync, mkdtempSync, readdirSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase, targetableModules } from '../../../src/formats/base';
import { readPeftAdapter } from '../../../src/formats/peft/read';
import { writePeftAdapter } from '../../../src/formats/peft/write';
import { newAdapter } from '../../../src/lora/newAdapter';
import { matchTargets } from '../../../src/lora/targets';

const fixtures = path.resolve(import.meta.dirname, '../../fixtures');
const temp = () => mkdtempSync(path.join(tmpdir(), 'lora-peft-'));
const facts = { task_type: 'CAUSAL_LM', card: '# card\n' };

interface Expected {
  readonly trainable_params: number;
  readonly modules: Readonly<Record<string, { readonly r: number; readonly scaling: number }>>;
}

describe('PEFT adapters', () => {
  it.each(['llama/lora-qv', 'llama/all-linear', 'llama/embed-tied', 'llama/layers-to-transform', 'llama/pissa-converted', 'llama3/rslora', 'llama3/lm-head', 'llama3/embed', 'qwen2/rank-alpha-pattern'])(
    '%s is read with PEFT\'s modules, ranks and scalings', async (name) => {
      const expected = JSON.parse(readFileSync(path.join(fixtures, name, 'expected.json'), 'utf8')) as Expected;
      const base = await openBase(path.join(fixtures, name, '../base'));
      const { adapter, warnings } = await readPeftAdapter(path.join(fixtures, name, 'adapter'), { modules: targetableModules(base), names: [adapter_name(name)] });
      await base.close();
      expect(warnings).toEqual([]);
      expect(Object.fromEntries(adapter.modules.map((m) => [m.path, [m.r, m.scaling]]))).toEqual(
        Object.fromEntries(Object.entries(expected.modules).map(([path, m]) => [path, [m.r, m.scaling]])));
      expect(adapter.modules.reduce((n, m) => n + m.A.length + m.B.length, 0)).toBe(expected.trainable_params);
    });

  it('are written as PEFT writes them: the same weights file, the same config but for the order of target_modules', async () => {
    const source = path.join(fixtures, 'llama/lora-qv/adapter');
    const { adapter } = await readPeftAdapter(source);
    const folder = path.join(temp(), 'adapter');
    await writePeftAdapter(folder, adapter, facts);
    expect(readdirSync(folder).sort()).toEqual(['README.md', 'adapter_config.json', 'adapter_model.safetensors']);
    expect(readFileSync(path.join(folder, 'adapter_model.safetensors')).equals(readFileSync(path.join(source, 'adapter_model.safetensors')))).toBe(true);
    expect(readFileSync(path.join(folder, 'adapter_config.json'), 'utf8')).toBe(readFileSync(path.join(source, 'adapter_config.json'), 'utf8'));
  });

  it('a new one has PEFT\'s names and shapes, and changes nothing yet', async () => {
    const base = await openBase(path.join(fixtures, 'llama/base'));
    const modules = matchTargets(targetableModules(base), { target_modules: 'all-linear' }).matched;
    await base.close();
    const adapter = newAdapter(modules, { r: 8, lora_alpha: 16, lora_dropout: 0, target_modules: 'all-linear', use_rslora: false }, 'fixtures/llama-tiny', 7);
    expect(adapter.modules.every((m) => m.B.every((x) => x === 0) && m.A.some((x) => x !== 0))).toBe(true);
    const folder = path.join(temp(), 'adapter');
    await writePeftAdapter(folder, adapter, facts);
    const [ours, peft] = [folder, path.join(fixtures, 'llama/all-linear/adapter')].map((dir) => JSON.parse(readFileSync(path.join(dir, 'adapter_config.json'), 'utf8')) as Record<string, unknown>);
    const sorted = (config: Record<string, unknown>) => ({ ...config, target_modules: [...config['target_modules'] as string[]].sort() });
    expect(sorted(ours!)).toEqual(sorted(peft!));
    expect(header(folder)).toEqual(header(path.join(fixtures, 'llama/all-linear/adapter')));
  });

  it('keeps the old folder when a new one cannot be completed', async () => {
    const { adapter } = await readPeftAdapter(path.join(fixtures, 'llama/lora-qv/adapter'));
    const folder = path.join(temp(), 'adapter');
    await writePeftAdapter(folder, adapter, facts);
    const broken = { ...adapter, modules: [{ ...adapter.modules[0]!, A: null as unknown as Float32Array }] };
    await expect(writePeftAdapter(folder, broken, facts)).rejects.toThrow();
    expect(existsSync(path.join(folder, 'adapter_model.safetensors'))).toBe(true);
    expect(readdirSync(path.dirname(folder))).toEqual(['adapter']);
  });
});

const adapter_name = (name: string) => `fixtures/${name.split('/')[0]}-tiny`;

function header(folder: string): unknown {
  const file = readFileSync(path.join(folder, 'adapter_model.safetensors'));
  return JSON.parse(file.toString('utf8', 8, 8 + Number(file.readBigUInt64LE(0))));
}
