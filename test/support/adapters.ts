import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { openBase } from '../../src/formats/openBase';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { writePeftAdapter } from '../../src/formats/peft/write';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import { mergeInto } from '../../src/lora/merge';
import { newAdapter, PLAIN_LORA } from '../../src/lora/newAdapter';
import type { Adapter, AdapterConfig } from '../../src/lora/adapter';
import { createRandom } from '../../src/shared/random';

/** Every variant of scale at once, on each layer of a base. */
export async function scaledAdapter(
  base: string,
  change: Partial<AdapterConfig> = {},
  wanted: (path: string) => boolean = () => true,
): Promise<{ readonly folder: string; readonly adapter: Adapter }> {
  const opened = await openBase(base);
  const { modules } = adapterBaseOf(opened);
  await opened.close();
  const own = modules.filter((m) => m.kind === 'linear' && !m.is_output && wanted(m.path));
  const last = (i: number) => own.at(i)!.path.split('.').at(-1)!;
  const choices = {
    ...PLAIN_LORA,
    r: 8,
    lora_alpha: 16,
    use_rslora: true,
    rank_pattern: { [last(0)]: 3 },
    alpha_pattern: { [last(-1)]: 5, [last(0)]: 7 },
    ...change,
  };
  const random = createRandom(7, 'convert');
  const fresh = newAdapter(own, choices, base, { seed: 1 });
  const adapter = {
    ...fresh,
    modules: fresh.modules.map((m) => ({ ...m, B: m.B.map(() => random() - 0.5) })),
  };
  const folder = path.join(mkdtempSync(path.join(tmpdir(), 'lora-scaled-')), 'adapter');
  await writePeftAdapter(folder, adapter, { task: 'causal_lm', labels: null, card: '' });
  return { folder, adapter };
}

/** The merged checkpoint, in f32. */
export async function mergedBase(file: string, { modules }: Adapter): Promise<string> {
  const base = await openBase(file);
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-merged-'));
  const byName = new Map(modules.map((m) => [`${m.path}.weight`, m]));
  const tensors: { name: string; dtype: 'F32'; shape: readonly number[]; data: Float32Array }[] =
    [];
  for (const { name, shape } of base.weights.tensors.values()) {
    const data = await base.weights.readF32(name);
    const m = byName.get(name);
    if (m) mergeInto(data, m, base.spec.family === 'gpt2');
    tensors.push({ name, dtype: 'F32', shape, data });
  }
  await writeSafetensors(path.join(folder, 'model.safetensors'), tensors);
  writeFileSync(path.join(folder, 'config.json'), JSON.stringify(base.config));
  await base.close();
  return folder;
}
