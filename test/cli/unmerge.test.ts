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
import { cli, fixtures, tempFolder } from '../support/commandLine';

const at = (...parts: readonly string[]) => path.join(fixtures, ...parts);

interface Result {
  readonly output: string;
  readonly largest_difference: number | null;
  readonly tensors: readonly { readonly name: string; readonly bound: number }[];
}

async function merged(
  base: string,
  adapters: readonly string[],
  name = 'merged',
  ...options: readonly string[]
): Promise<string> {
  const output = path.join(tempFolder(), name);
  const { code, stderr } = await cli(
    'merge',
    '--base',
    base,
    ...adapters.flatMap((own) => ['--adapter', own]),
    '--output',
    output,
    '--no-parity',
    ...options,
  );
  expect(code, stderr).toBe(0);
  return output;
}

async function unmerged(
  model: string,
  name = 'base',
  ...options: readonly string[]
): Promise<Result> {
  const { code, stdout, stderr } = await cli(
    'unmerge',
    '--merged',
    model,
    '--output',
    path.join(tempFolder(), name),
    '--json',
    ...options,
  );
  expect([code, stderr]).toEqual([0, '']);
  return JSON.parse(stdout.trim().split('\n').at(-1)!) as Result;
}

async function refusal(...args: readonly string[]): Promise<string> {
  const { code, stderr } = await cli('unmerge', ...args);
  expect(code).not.toBe(0);
  return stderr;
}

const CASES: readonly (readonly [string, readonly string[], readonly string[]])[] = [
  ['llama', ['llama/lora-qv'], []],
  ['llama', ['llama/embed-tied'], []],
  ['llama3', ['llama3/lm-head'], []],
  ['gpt2', ['gpt2/fan-in-fan-out'], []],
  ['phi3', ['phi3/fused-linear'], []],
  ['llama', ['llama/lora-qv', 'llama/all-linear'], ['--scale', '0.5']],
  ['llama-sharded', ['llama-sharded/bf16-adapter'], []],
];

it.each(CASES)('a merged %s with %s gives its base back', async (family, adapters, options) => {
  const base = at(family, 'base');
  const { output, largest_difference, tensors } = await unmerged(
    await merged(
      base,
      adapters.map((own) => at(own, 'adapter')),
      'merged',
      ...options,
    ),
  );
  const [before, after] = [await openShards(base), await openShards(output)];
  expect([...after.placed.keys()].sort()).toEqual([...before.placed.keys()].sort());
  const bound = new Map(tensors.map((own) => [own.name, own.bound]));
  let most = 0;
  for (const [name, file] of before.placed) {
    const own = after.placed.get(name)!;
    expect(own.tensors.get(name)!.dtype).toBe(file.tensors.get(name)!.dtype);
    if (!bound.has(name))
      expect(await own.readBytes(name), name).toEqual(await file.readBytes(name));
    const [have, want] = [await own.readF32(name), await file.readF32(name)];
    // f32's own rounding of the sum and of the difference comes on top of what was stored.
    expect(gap(have, want), name).toBeLessThanOrEqual(
      (bound.get(name) ?? 0) + 2e-7 * Math.max(1, largest(want)) * adapters.length,
    );
    most = Math.max(most, gap(have, want));
  }
  expect(largest_difference).toBe(most);
  await Promise.all([before.close(), after.close()]);
  expect(readdirSync(output).sort()).toEqual(
    [
      ...new Set([
        ...readdirSync(base).filter(
          (name) => name !== 'config.legacy.json' || readdirSync(output).includes(name),
        ),
        'unmerge.json',
      ]),
    ].sort(),
  );
  expect(
    (
      JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as {
        tie_word_embeddings?: boolean;
      }
    ).tie_word_embeddings,
  ).toBe(
    (
      JSON.parse(readFileSync(path.join(base, 'config.json'), 'utf8')) as {
        tie_word_embeddings?: boolean;
      }
    ).tie_word_embeddings,
  );
});

it('a merged .gguf file gives a .gguf file back', async () => {
  const base = path.join(tempFolder(), 'base.gguf');
  const { metadata, tensors } = await asGguf(at('llama/base'), 'llama');
  writeFileSync(base, ggufBytes(metadata, tensors));
  const { output, largest_difference } = await unmerged(
    await merged(base, [at('llama/embed-tied/adapter')], 'merged.gguf'),
    'back.gguf',
  );
  expect(largest_difference).toBeLessThan(1e-6);
  const [before, after] = [await GgufFile.open(base), await GgufFile.open(output)];
  expect([...after.header.tensors.keys()]).toEqual([...before.header.tensors.keys()]);
  await Promise.all([before.close(), after.close()]);
  expect(readdirSync(path.dirname(output)).sort()).toEqual(['back.gguf', 'back.gguf.unmerge.json']);
});

describe('what is refused', () => {
  const out = () => ['--output', path.join(tempFolder(), 'out')];
  const copyOf = (adapter: string) => {
    const own = path.join(tempFolder(), 'adapter');
    cpSync(adapter, own, { recursive: true });
    for (const name of readdirSync(own)) chmodSync(path.join(own, name), 0o644);
    return own;
  };

  it('DoRA and what was replaced, with where the base is', async () => {
    expect(
      await refusal(
        '--merged',
        await merged(at('qwen3/base'), [at('qwen3/dora/adapter')]),
        ...out(),
      ),
    ).toMatch(/DoRA changes the norm of each row.*Use the base, which was .*qwen3/s);
    expect(
      await refusal(
        '--merged',
        await merged(at('mistral/base'), [at('mistral/modules-to-save-lm-head/adapter')]),
        ...out(),
      ),
    ).toMatch(/lm_head\.weight was replaced/);
  });

  it('a model that no merge wrote, or that was changed since, or an adapter that was', async () => {
    expect(await refusal('--merged', at('llama/base'), ...out())).toMatch(/not a merged model/);
    const own = copyOf(at('llama/lora-qv/adapter'));
    const model = await merged(at('llama/base'), [own]);
    expect(await refusal('--merged', model, '--output', path.join(model, 'x'))).toMatch(
      /must not be inside an input/,
    );
    expect(await refusal('--merged', model, '--output', path.join(tempFolder(), 'x.gguf'))).toMatch(
      /same kind/,
    );
    const moved = path.join(tempFolder(), 'moved');
    renameSync(own, moved);
    expect(await refusal('--merged', model, ...out())).toMatch(/There is no adapter/);
    expect((await unmerged(model, 'base', '--adapter', moved)).largest_difference).toBeLessThan(
      1e-6,
    );
    appendFileSync(path.join(moved, 'adapter_config.json'), ' ');
    expect(await refusal('--merged', model, '--adapter', moved, ...out())).toMatch(
      /not the adapter that was merged/,
    );
    expect(
      await refusal('--merged', model, '--adapter', at('llama/all-linear/adapter'), ...out()),
    ).toMatch(/not the adapter that was merged/);
    const last = out();
    appendFileSync(path.join(model, 'model.safetensors'), 'x');
    expect(await refusal('--merged', model, '--adapter', moved, ...last)).toMatch(
      /has changed since it was written.*changed/s,
    );
    expect(existsSync(last[1]!)).toBe(false);
  });
});
