import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { openBase } from '../../src/formats/openBase';
import { withSafetensors } from '../../src/formats/safetensors/read';
import { writeSafetensors } from '../../src/formats/safetensors/write';
import { gap, largest, readFloats, readJson, type SingleCase } from '../support/models';
import {
  baseWith,
  cli,
  editJson,
  fixtures,
  makeRecipe,
  stepsOf,
  tempFolder,
  train,
} from '../support/commandLine';

describe.each(['whole', 'saved', 'saved-tied'])(
  'an adapter whose base got more tokens before its training (%s)',
  (name) => {
    const adapter = path.join(fixtures, 'resized', name, 'adapter');
    const { base, adapter_loss, inputs } = readJson('resized', name, 'expected.json') as SingleCase;

    it('resizes the vocabulary as PEFT does', async () => {
      const [input, output] = ['in.json', 'out.safetensors'].map((file) =>
        path.join(tempFolder(), file),
      ) as [string, string];
      writeFileSync(input, JSON.stringify(inputs));
      const { stderr } = await cli(
        'logits',
        '--base',
        path.join(fixtures, base, 'base'),
        '--adapter',
        adapter,
        '--input',
        input,
        '--output',
        output,
      );
      expect(stderr).toBe('');
      const want = (await readFloats('resized', name, 'expected.safetensors')).get(
        'adapter.logits',
      )!;
      await withSafetensors(output, async (source) => {
        const have = await source.readF32('logits');
        expect(gap(have, want)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(want)));
        expect(Math.abs((await source.readF32('loss'))[0]! - adapter_loss)).toBeLessThanOrEqual(
          1e-5 * adapter_loss,
        );
      });
    });

    it('can be trained further only if the embedding is one of its trained modules', async () => {
      const recipe = makeRecipe(
        {
          top: { base: path.join(fixtures, base, 'base') },
          lora: { init_adapter: adapter },
          training: { max_steps: 3 },
        },
        Array.from({ length: 8 }, (_, i) => ({ text: `the word ${i}` })),
      );
      if (name === 'whole') {
        const runDir = await train(recipe);
        expect(stepsOf(runDir)).toHaveLength(3);
        const { stderr, code } = await cli(
          'evaluate',
          '--base',
          path.join(fixtures, base, 'base'),
          '--adapter',
          path.join(runDir, 'adapter'),
          '--dataset',
          path.join(path.dirname(recipe), 'data.jsonl'),
        );
        expect([stderr, code]).toEqual(['', 0]);
      } else {
        const { stderr, code } = await cli(
          'train',
          recipe,
          '--run-dir',
          path.join(tempFolder(), 'run'),
        );
        expect(code).toBe(1);
        expect(stderr).toMatch(/replaces .*embed_tokens\.weight.* cannot be trained further/);
      }
    });
  },
);

describe('a vocabulary that is padded beyond the tokenizer', () => {
  /** The tiny llama with 16 more rows, for which the tokenizer has no token. */
  const padded = () =>
    baseWith((folder) => {
      editJson(path.join(folder, 'config.json'), { vocab_size: 400 });
      pending = padEmbedding(path.join(folder, 'model.safetensors'), 400);
    });
  let pending: Promise<void> = Promise.resolve();

  it('trains, and decodes an id that has no token to nothing', async () => {
    const base = padded();
    await pending;
    const runDir = await train(makeRecipe({ top: { base } }));
    expect(stepsOf(runDir).at(-1)!.loss).toBeLessThan(stepsOf(runDir)[0]!.loss);
    const { code, stdout } = await cli(
      'generate',
      '--base',
      base,
      '--prompt',
      'a',
      '--max-new-tokens',
      '12',
      '--json',
    );
    expect(code).toBe(0);
    expect(typeof (JSON.parse(stdout) as { text: string }).text).toBe('string');
    const opened = await openBase(base);
    expect(opened.spec.vocab_size).toBe(400);
    await opened.close();
  });

  it('accepts rows with such ids, but none beyond', async () => {
    const base = padded();
    await pending;
    const rows = (id: number) => [
      { input_ids: [5, 6, id, 7], labels: [5, 6, id, 7] },
      { input_ids: [5, 6, 7], labels: [5, 6, 7] },
    ];
    await train(
      makeRecipe({ top: { base, validation_split: 0 }, training: { max_steps: 1 } }, rows(399)),
    );
    const { stderr } = await cli(
      'train',
      makeRecipe({ top: { base } }, rows(400)),
      '--run-dir',
      path.join(tempFolder(), 'run'),
    );
    expect(stderr).toMatch(/data\.jsonl:1.*token id 400 is not in the vocabulary of 400/s);
  });
});

async function padEmbedding(file: string, rows: number): Promise<void> {
  const tensors = await withSafetensors(file, (source) =>
    Promise.all(
      [...source.tensors.values()].map(async ({ name, shape }) => ({
        name,
        shape,
        data: await source.readF32(name),
      })),
    ),
  );
  await writeSafetensors(
    file,
    tensors.map(({ name, shape, data }) => {
      if (!name.endsWith('embed_tokens.weight'))
        return { name, dtype: 'F32' as const, shape, data };
      const width = shape[1]!;
      const larger = new Float32Array(rows * width).map((_, i) =>
        i < data.length ? data[i]! : 3 * Math.sin(i),
      );
      return { name, dtype: 'F32' as const, shape: [rows, width], data: larger };
    }),
  );
}
