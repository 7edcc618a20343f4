import { existsSync, readdirSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { GgufFile } from '../../src/formats/gguf/read';
import type { MergeSizes } from '../../src/shared/mergeFacts';
import { createRandom } from '../../src/shared/random';
import { mergedBase, scaledAdapter } from '../support/adapters';
import {
  cliAnswer,
  cliError,
  cliLogits,
  cliResult,
  inFixtures,
  newPath,
} from '../support/cliResults';
import { encoderGguf } from '../support/ggufEncoders';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import {
  expectParity,
  expectSameLogits,
  expectVerified,
  merge,
  type MergeResult,
} from '../support/merges';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import { BLOCK_TYPES, RandomAdapter, writeQuantizedBase } from '../support/quantizedGguf';
import { smollm2Path } from '../support/realModels';

/** llama.cpp's names of the architectures. */
const ARCHES: Readonly<Record<string, string>> = {
  llama: 'llama',
  qwen2: 'qwen2',
  qwen3: 'qwen3',
  gemma: 'gemma',
  gemma2: 'gemma2',
  gemma3_text: 'gemma3',
  phi3: 'phi3',
  olmo2: 'olmo2',
  smollm3: 'smollm3',
  gpt2: 'gpt2',
  gpt_neox: 'gptneox',
};

const mergeToFile = (base: string, adapter: string, options = {}): Promise<MergeResult> =>
  merge(base, [adapter], { output: newPath('merged.gguf'), ...options });

async function ggufBase(family: string): Promise<string> {
  const file = newPath('base.gguf');
  const { metadata, tensors } = await asGguf(inFixtures(family, 'base'), ARCHES[family]!);
  writeFileSync(file, ggufBytes(metadata, tensors));
  return file;
}

const storedBytes = (file: GgufFile, name: string): Promise<Uint8Array> => {
  const { start, end } = file.header.tensors.get(name)!;
  return file.readBytes(start, end - start, name);
};

describe('a .gguf file', () => {
  it.each(Object.entries(ARCHES))(
    "of %s equals the merged checkpoint after llama.cpp's converter, with the base's metadata",
    async (family, arch) => {
      const base = await ggufBase(family);
      const { folder, adapter } = await scaledAdapter(inFixtures(family, 'base'));
      const merged = await mergeToFile(base, folder);
      const { output } = merged;
      expect(merged.parity!.top1_agreement).toBe(1);
      expectParity(merged);
      const want = await asGguf(await mergedBase(inFixtures(family, 'base'), adapter), arch);
      const [before, after] = [await GgufFile.open(base), await GgufFile.open(output)];
      expect(new Map(after.header.metadata)).toEqual(new Map(before.header.metadata));
      expect([...after.header.tensors.keys()]).toEqual([...before.header.tensors.keys()]);
      for (const { name, data } of want.tensors) {
        const have = await after.readF32(after.header.tensors.get(name)!);
        expect(gap(have, data), name).toBeLessThanOrEqual(1e-6 * Math.max(1, largest(data)));
      }
      await Promise.all([before.close(), after.close()]);
      await expectVerified(output);
      expect(readdirSync(path.dirname(output)).sort()).toEqual([
        'merged.gguf',
        'merged.gguf.merge.json',
      ]);
    },
  );

  it.each([
    ['an untied output layer', 'llama/embed-tied'],
    ['DoRA', 'qwen3/dora'],
    ['biases', 'gpt_neox/bias-lora-only'],
  ])('can contain %s: %s', async (_, name) => {
    const base = await ggufBase(name.split('/')[0]!);
    const merged = await mergeToFile(base, inFixtures(name, 'adapter'));
    expect(merged.untied).toBe(name === 'llama/embed-tied');
    expectParity(merged);
    const { inputs } = readJson(name, 'expected.json') as SingleCase;
    const want = (await readFloats(name, 'expected.safetensors')).get('adapter.logits')!;
    expectSameLogits(await cliLogits(inputs, { base: merged.output }), want, inputs);
  });

  it.each(['bert/seq-cls', 'roberta/lora', 'xlm-roberta/seq-cls', 'modernbert/seq-cls'])(
    'holds the trained classifier that llama.cpp cannot have in an adapter: %s',
    async (name) => {
      const [base, adapter] = [newPath('base.gguf'), inFixtures(name, 'adapter')];
      const { metadata, tensors } = await encoderGguf(inFixtures(path.dirname(name), 'base'), true);
      writeFileSync(base, ggufBytes(metadata, tensors));
      const [to, output] = ['gguf', newPath('merged.gguf')];
      const folder = inFixtures(path.dirname(name), 'base');
      expect(await cliError('convert', { adapter, base: folder, to, output })).toMatch(
        /trained tensors.*\(--merge\): into its \.gguf file \(--base BASE\.gguf\), or into a folder/s,
      );
      expect(await cliError('convert', { adapter, base, to, output })).toMatch(
        /trained tensors.*\(--merge\), which makes a \.gguf file of the merged model/s,
      );
      expect(existsSync(output)).toBe(false);
      await cliResult('convert', { adapter, base, to, output, merge: true });
      const { inputs } = readJson(name, 'expected.json') as SingleCase;
      const want = (await readFloats(name, 'expected.safetensors')).get('adapter.logits')!;
      expectSameLogits(await cliLogits(inputs, { base: output }), want, inputs);
    },
  );

  it('of a quantized base keeps the bytes of unchanged tensors; --dtype chooses the type', async () => {
    const base = await smollm2Path();
    const adapter = inFixtures('real/smollm2/adapter');
    const before = await GgufFile.open(base);

    const kept = await mergeToFile(base, adapter);
    const half = await GgufFile.open(kept.output);
    for (const name of ['token_embd.weight', 'blk.0.ffn_up.weight', 'blk.7.attn_norm.weight']) {
      const isEqual = Buffer.compare(
        await storedBytes(half, name),
        await storedBytes(before, name),
      );
      expect(isEqual, name).toBe(0);
    }
    expect(half.header.tensors.get('blk.0.attn_q.weight')!.dtype).toBe('F16');
    const { sizes } = kept;
    expect(sizes.stored[0]).toMatchObject({ from: 'Q4_1', to: 'F16' });
    expect(sizes.base_bytes).toBe(statSync(base).size);
    expect(sizes.bytes).toBeGreaterThan(1.2 * sizes.base_bytes);
    const written = statSync(kept.output).size; // and the metadata
    expect(written - sizes.bytes).toBeGreaterThan(0);
    expect(written - sizes.bytes).toBeLessThan(8e6);
    expect(half.header.metadata.get('general.file_type')).toBe(1);
    expect(kept.parity!.top1_agreement).toBeGreaterThan(0.98);

    const small = await mergeToFile(base, adapter, { dtype: 'q8_0', 'no-parity': true });
    const quantized = await GgufFile.open(small.output);
    const embedding = 'token_embd.weight'; // q8_0 in the base already
    expect(
      Buffer.compare(await storedBytes(quantized, embedding), await storedBytes(before, embedding)),
    ).toBe(0);
    for (const name of ['blk.0.attn_q.weight', 'blk.3.ffn_down.weight']) {
      const tensor = quantized.header.tensors.get(name)!;
      expect(tensor.dtype).toBe('Q8_0');
      const want = await half.readF32(half.header.tensors.get(name)!);
      expect(gap(await quantized.readF32(tensor), want)).toBeLessThanOrEqual(
        (1.01 * largest(want)) / 254,
      );
    }
    await Promise.all([before.close(), half.close(), quantized.close()]);
    const { choices } = await cliResult<{
      choices: readonly (MergeSizes & { form: string; dtype: string })[];
    }>('merge', { sizes: true, base, adapter: [adapter] });
    const sizeOf = (form: string, dtype: string) =>
      choices.find((own) => own.form === form && own.dtype === dtype)!;
    expect(sizeOf('gguf', 'keep')).toMatchObject(sizes);
    expect(sizeOf('gguf', 'q8_0')).toMatchObject(small.sizes);
    expect(sizeOf('gguf', 'float32').bytes).toBeGreaterThan(sizes.bytes);
    await expectVerified(small.output);
    expect(await cliAnswer({ base: small.output })).toBe(await cliAnswer({ base, adapter }));
  });

  it('of weights in every type gives, loaded again, the logits of base and adapter', async () => {
    const [base, adapter] = [newPath('base.gguf'), newPath('adapter')];
    const random = createRandom(3, 'every type');
    let next = 0;
    const nextType = () => BLOCK_TYPES[next++ % BLOCK_TYPES.length]!;
    await writeQuantizedBase(base, { tied: true, layers: 2, random, nextType });
    await new RandomAdapter(random, { layers: 2, share: 1, changesOutput: false }).write(adapter);
    const inputs = { input_ids: [[3, 9, 27, 1, 5, 30, 12, 7]] };
    const [own, adapted] = [
      await cliLogits(inputs, { base }),
      await cliLogits(inputs, { base, adapter }),
    ];
    expect(gap(own, adapted)).toBeGreaterThan(0.1 * largest(adapted));
    const exact = await mergeToFile(base, adapter, { dtype: 'float32' });
    expectParity(exact);
    const kept = await mergeToFile(base, adapter);
    const types = kept.sizes.stored.filter(({ to }) => to === 'F16').map(({ from }) => from);
    expect(types.sort()).toEqual(BLOCK_TYPES.filter((type) => type !== 'Q8_0').sort());
    for (const { output } of [exact, kept]) {
      const logits = await cliLogits(inputs, { base: output });
      expect(gap(logits, adapted)).toBeLessThanOrEqual(0.02 * largest(adapted));
      await expectVerified(output);
    }
  });

  it.each([
    ['made from a folder', 'merged.gguf', {}, /only be made from a \.gguf base.*convert_hf/s],
    ['with q8_0 in a folder', 'merged', { dtype: 'q8_0' }, /cannot hold q8_0 weights/],
  ])('%s is refused', async (_, name, options, reason) => {
    const output = newPath(name);
    const message = await cliError('merge', {
      base: inFixtures('llama/base'),
      adapter: inFixtures('llama/lora-qv/adapter'),
      output,
      ...options,
    });
    expect(message).toMatch(reason);
    expect(existsSync(output)).toBe(false);
  });
});
