import {
  appendFileSync,
  chmodSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openShards } from '../../src/formats/huggingface';
import { GgufFile } from '../../src/formats/gguf/read';
import { gap, largest } from '../support/models';
import { asGguf } from '../support/ggufFixture';
import { ggufBytes } from '../support/ggufWriter';
import { cliError, cliResult, inFixtures, newPath, type CliOptions } from '../support/cliResults';

interface Result {
  readonly output: string;
  readonly largest_difference: number | null;
  readonly tensors: readonly { readonly name: string; readonly bound: number }[];
}

/** Merges adapters, by default into a new folder; gives the output. */
async function merge(
  base: string,
  adapter: readonly string[],
  options: CliOptions = {},
): Promise<string> {
  const output = newPath('merged');
  const given = { base, adapter, output, 'no-parity': true, ...options };
  return (await cliResult<{ output: string }>('merge', given)).output;
}

const unmerge = (merged: string, options: CliOptions = {}): Promise<Result> =>
  cliResult('unmerge', { merged, output: newPath('base'), ...options });

const refusal = (merged: string, options: CliOptions = {}): Promise<string> =>
  cliError('unmerge', { merged, output: newPath('out'), ...options });

const CASES: readonly (readonly [string, readonly string[], CliOptions])[] = [
  ['llama', ['llama/lora-qv'], {}],
  ['llama', ['llama/embed-tied'], {}],
  ['llama3', ['llama3/lm-head'], {}],
  ['gpt2', ['gpt2/fan-in-fan-out'], {}],
  ['phi3', ['phi3/fused-linear'], {}],
  ['llama', ['llama/lora-qv', 'llama/all-linear'], { scale: 0.5 }],
  ['llama-sharded', ['llama-sharded/bf16-adapter'], {}],
];

it.each(CASES)('a merged %s with %s becomes its base again', async (family, names, options) => {
  const base = inFixtures(family, 'base');
  const adapters = names.map((name) => inFixtures(name, 'adapter'));
  const { output, largest_difference, tensors } = await unmerge(
    await merge(base, adapters, options),
  );
  const [before, after] = [await openShards(base), await openShards(output)];
  expect([...after.placed.keys()].sort()).toEqual([...before.placed.keys()].sort());
  const bounds = new Map(tensors.map((tensor) => [tensor.name, tensor.bound]));
  let most = 0;
  for (const [name, file] of before.placed) {
    const own = after.placed.get(name)!;
    expect(own.tensors.get(name)!.dtype).toBe(file.tensors.get(name)!.dtype);
    const bound = bounds.get(name);
    if (bound === undefined) {
      expect(await own.readBytes(name), name).toEqual(await file.readBytes(name));
    }
    const [have, want] = [await own.readF32(name), await file.readF32(name)];
    // The sum and the difference are rounded to f32, in addition to the reported bound.
    const rounding = 2e-7 * Math.max(1, largest(want)) * adapters.length;
    expect(gap(have, want), name).toBeLessThanOrEqual((bound ?? 0) + rounding);
    most = Math.max(most, gap(have, want));
  }
  expect(largest_difference).toBe(most);
  await Promise.all([before.close(), after.close()]);
  expectFilesOfBase(output, base);
});

/** The restored base has the base's files and its tie of output layer and embedding. */
function expectFilesOfBase(output: string, base: string): void {
  const files = readdirSync(output);
  const expected = readdirSync(base).filter(
    (name) => name !== 'config.legacy.json' || files.includes(name),
  );
  expect(files.sort()).toEqual([...new Set([...expected, 'unmerge.json'])].sort());
  const tieIn = (folder: string) =>
    (
      JSON.parse(readFileSync(path.join(folder, 'config.json'), 'utf8')) as {
        tie_word_embeddings?: boolean;
      }
    ).tie_word_embeddings;
  expect(tieIn(output)).toBe(tieIn(base));
}

it('a merged .gguf file becomes a .gguf file again', async () => {
  const base = newPath('base.gguf');
  const { metadata, tensors } = await asGguf(inFixtures('llama/base'), 'llama');
  writeFileSync(base, ggufBytes(metadata, tensors));
  const { output, largest_difference } = await unmerge(
    await merge(base, [inFixtures('llama/embed-tied/adapter')], { output: newPath('merged.gguf') }),
    { output: newPath('back.gguf') },
  );
  expect(largest_difference).toBeLessThan(1e-6);
  const [before, after] = [await GgufFile.open(base), await GgufFile.open(output)];
  expect([...after.header.tensors.keys()]).toEqual([...before.header.tensors.keys()]);
  await Promise.all([before.close(), after.close()]);
  expect(readdirSync(path.dirname(output)).sort()).toEqual(['back.gguf', 'back.gguf.unmerge.json']);
});

/** A copy of an adapter that can be changed. */
function copyOf(adapter: string): string {
  const copy = newPath('adapter');
  cpSync(adapter, copy, { recursive: true });
  for (const name of readdirSync(copy)) {
    chmodSync(path.join(copy, name), 0o644);
  }
  return copy;
}

describe('refused', () => {
  it('are DoRA and replaced tensors; the error names the base', async () => {
    const dora = await merge(inFixtures('qwen3/base'), [inFixtures('qwen3/dora/adapter')]);
    expect(await refusal(dora)).toMatch(
      /DoRA changes the norm of each row.*Use the base, which was .*qwen3/s,
    );
    const replaced = await merge(inFixtures('mistral/base'), [
      inFixtures('mistral/modules-to-save-lm-head/adapter'),
    ]);
    expect(await refusal(replaced)).toMatch(/lm_head\.weight was replaced/);
  });

  it('are wrong models and outputs', async () => {
    expect(await refusal(inFixtures('llama/base'))).toMatch(/not a merged model/);
    const model = await merge(inFixtures('llama/base'), [inFixtures('llama/lora-qv/adapter')]);
    expect(await refusal(model, { output: path.join(model, 'x') })).toMatch(
      /must not be inside an input/,
    );
    expect(await refusal(model, { output: newPath('x.gguf') })).toMatch(/same kind/);
  });

  it('are changes of the model or the adapter since the merge; the adapter may move', async () => {
    const adapter = copyOf(inFixtures('llama/lora-qv/adapter'));
    const model = await merge(inFixtures('llama/base'), [adapter]);
    const moved = newPath('moved');
    renameSync(adapter, moved);
    expect(await refusal(model)).toMatch(/The adapter cannot be opened/);
    expect((await unmerge(model, { adapter: moved })).largest_difference).toBeLessThan(1e-6);
    appendFileSync(path.join(moved, 'adapter_config.json'), ' ');
    for (const other of [moved, inFixtures('llama/all-linear/adapter')]) {
      expect(await refusal(model, { adapter: other })).toMatch(/not the adapter that was merged/);
    }
    const output = newPath('out');
    appendFileSync(path.join(model, 'model.safetensors'), 'x');
    expect(await refusal(model, { adapter: moved, output })).toMatch(
      /has changed since it was written.*changed/s,
    );
    expect(existsSync(output)).toBe(false);
  });
});
