import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { convertAdapterFile } from '../../../../src/engine/convert/convertAdapterFile';
import { detectAdapter, readAdapter } from '../../../../src/formats/adapterFormat';
import { familyOf } from '../../../../src/formats/architecture/families';
import { conversionLosses } from '../../../../src/formats/conversionLosses';
import { adapterBaseOf } from '../../../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../../../src/formats/peft/read';
import type { Adapter } from '../../../../src/lora/adapter';
import { adapterGap, fixtures, withBase } from '../../../support/models';
import { PEFT_CASES } from '../../../support/peftCases';
import { temp } from '../../../support/temp';

type Format = 'mlx' | 'gguf';
const FORMATS: readonly Format[] = ['mlx', 'gguf'];

const baseOf = (name: string) => path.join(fixtures, name.split('/')[0]!, 'base');

/** With the scales in B. */
const scaled = (adapter: Adapter): Adapter => ({
  ...adapter,
  modules: adapter.modules.map((m) => ({ ...m, scaling: 1, B: m.B.map((x) => x * m.scaling) })),
});

const readOf = (name: string, place: string) =>
  withBase(
    baseOf(name),
    async (base) => (await readAdapter(await detectAdapter(place), base)).adapter,
  );

async function convert(name: string, to: Format): Promise<string> {
  const adapter = path.join(fixtures, name, 'adapter');
  const output = path.join(temp(), to === 'gguf' ? 'adapter.gguf' : 'adapter');
  const converted = await convertAdapterFile({
    ...{ adapter, to, output, base: baseOf(name), partial: false, dtype: 'keep', merge: false },
    warn: () => undefined,
  });
  expect(converted.kind).toBe('written');
  return output;
}

/** What is lost in a format; null: it does not have the family. */
async function lossesOf(name: string, to: Format): Promise<readonly string[] | null> {
  const folder = path.join(fixtures, name, 'adapter');
  return withBase(baseOf(name), async (base) => {
    const { mlx, gguf } = familyOf(base.spec);
    const { adapter } = await readPeftAdapter(folder, adapterBaseOf(base));
    return (to === 'mlx' ? mlx : gguf) ? conversionLosses(adapter, base, to) : null;
  });
}

/** How many bases have an adapter that is converted; those whose adapters all lose something. */
const EXPECTED: Readonly<Record<Format, { written: number; never: string[] }>> = {
  mlx: { written: 29, never: ['gpt_neox', 'dora-gpt2', 'qwen3_5', 'dora-qwen3_5'] },
  gguf: {
    written: 37,
    never: [
      'gpt_neox', // biases
      ...['bert', 'roberta', 'distilbert'], // classifiers
      ...['dora-gpt2', 'dora-qwen3_5'],
      ...['xlm-roberta', 'modernbert'],
      'padding-saved', // a whole table of tokens
      't5-tied', // another output layer
    ],
  },
};

describe.each(FORMATS)('adapters of every family that %s has', (to) => {
  it('are converted and back, or refused with what is lost', async () => {
    const written: string[] = [];
    const lost: string[] = [];
    for (const name of PEFT_CASES) {
      const losses = await lossesOf(name, to);
      if (losses === null) continue;
      if (losses.length > 0) {
        lost.push(name);
        continue;
      }
      const folder = path.join(fixtures, name, 'adapter');
      const there = await convert(name, to);
      const [want, have] = [await readOf(name, folder), await readOf(name, there)];
      expect(adapterGap(scaled(have), scaled(want)), name).toBeLessThanOrEqual(2e-6);
      written.push(name);
    }
    const ofWritten = new Set(written.map((name) => name.split('/')[0]));
    const never = [...new Set(lost.map((name) => name.split('/')[0]!))].filter(
      (name) => !ofWritten.has(name),
    );
    expect({ written: ofWritten.size, never }).toEqual(EXPECTED[to]);
  });
});
