import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import type { TensorToWrite } from '../../src/formats/tensorWriter';
import { cli, fixtures, tempFolder } from '../support/commandLine';
import { tensorsIn } from '../support/conversions';

async function tensorsOf(name: string, inputs: object, options: readonly string[]) {
  const [input, output] = ['in.json', 'out.safetensors'].map((own) =>
    path.join(tempFolder(), own),
  ) as [string, string];
  writeFileSync(input, JSON.stringify(inputs));
  const base = path.join(fixtures, name.split('/')[0]!, 'base');
  const { code, stderr } = await cli(
    ...['logits', '--base', base, '--adapter', path.join(fixtures, name, 'adapter')],
    ...['--input', input, '--output', output, ...options],
  );
  expect(code, stderr).toBe(0);
  return tensorsIn(output);
}

const inputsOf = (name: string) =>
  (
    JSON.parse(readFileSync(path.join(fixtures, name, 'expected.json'), 'utf8')) as {
      readonly inputs: Readonly<Record<string, unknown>>;
    }
  ).inputs;

it('gradients of a language model within another have the names of the adapter', async () => {
  const name = 'gemma3-vlm/text';
  const have = await tensorsOf(name, inputsOf(name), ['--grads']);
  const want = await tensorsIn(path.join(fixtures, name, 'expected.safetensors'));
  const gradients = (names: Iterable<string>) =>
    [...names].filter((own) => own.startsWith('grad.')).sort();
  expect(gradients(have.keys())).toEqual(gradients(want.keys()));
});

it('an encoder for embeddings has the vectors of its tokens', async () => {
  const name = 'mpnet/features';
  const inputs = inputsOf(name);
  const have = (await tensorsOf(name, inputs, [])).get('last_hidden_state')!;
  const want = (await tensorsIn(path.join(fixtures, name, 'expected.safetensors'))).get(
    'adapter.logits',
  )!;
  expect(have.shape).toEqual(want.shape);
  const mask = (inputs['attention_mask'] as number[][]).flat();
  const width = have.shape.at(-1)!;
  const gaps = [...want.data].map((value, i) =>
    mask[Math.floor(i / width)] === 1 ? Math.abs(value - have.data[i]!) : 0,
  );
  expect(Math.max(...gaps)).toBeLessThanOrEqual(5e-5 * Math.max(1, ...want.data.map(Math.abs)));
});

it('each image has a logit with each text, and a loss if they are as many', async () => {
  const logits = async (extra: readonly TensorToWrite[], ...options: readonly string[]) => {
    const [input, output] = ['in', 'out'].map((own) =>
      path.join(tempFolder(), `${own}.safetensors`),
    ) as [string, string];
    const [batch, length] = [3, 4];
    const ids = Int32Array.from({ length: batch * length }, (_, i) => 1 + 20 * i);
    const pixels = Float32Array.from({ length: 2 * 3 * 16 * 16 }, (_, i) => Math.sin(i));
    await writeSafetensors(input, [
      { name: 'input_ids', dtype: 'I32', shape: [batch, length], data: ids },
      { name: 'pixel_values', dtype: 'F32', shape: [2, 3, 16, 16], data: pixels },
      ...extra,
    ]);
    const base = path.join(fixtures, 'clip/base');
    const files = ['--base', base, '--input', input, '--output', output];
    return { ...(await cli('logits', ...files, ...options)), output };
  };
  const { code, output } = await logits([]);
  expect(code).toBe(0);
  expect((await tensorsIn(output)).get('logits')!.shape).toEqual([2, 3]);
  const labels = { name: 'labels', dtype: 'I32', shape: [3, 4], data: new Int32Array(12) } as const;
  const refused = await logits([labels], '--grads');
  expect([refused.code, refused.stderr]).toEqual([
    2,
    expect.stringContaining('each text needs an image'),
  ]);
});
