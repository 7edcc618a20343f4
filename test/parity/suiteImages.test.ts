import { copyFileSync, cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { languageRows } from '../../src/engine/evaluation/languageRows';
import { readSuites } from '../../src/engine/evaluation/suiteFile';
import { openSuiteImages } from '../../src/engine/evaluation/suiteImages';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import type { EvaluatedCell } from '../../src/shared/evaluation/result';
import { atImages, withImageModel } from '../support/chatImages';
import { fixtures, readJson, tensorFlowOps, withBase } from '../support/models';
import { temp } from '../support/temp';

const { continuations } = readJson('qwen3-vl-pairs', 'expected.json') as {
  readonly continuations: readonly (readonly [number, number])[];
};

let ops: TensorFlowOps;
beforeAll(async () => {
  ops = await tensorFlowOps();
});

interface Pair {
  readonly images: readonly string[];
  readonly prompt: readonly { readonly role: string; readonly content: unknown }[];
  readonly chosen: readonly { readonly content: string }[];
  readonly rejected: readonly { readonly content: string }[];
}

const pairs = readFileSync(path.join(fixtures, 'qwen3-vl-pairs', 'pairs.jsonl'), 'utf8')
  .trim()
  .split('\n')
  .map((line) => JSON.parse(line) as Pair);

/** The question of a pair with the images in its places. */
function questionOf({ images, prompt }: Pair): object[] {
  const left = images.map((image) => path.basename(image));
  return prompt.map(({ role, content }) => ({
    role,
    content: Array.isArray(content)
      ? (content as { type: string }[]).map((part) =>
          part.type === 'image' ? { type: 'image', image: left.shift() } : part,
        )
      : content,
  }));
}

/** The cells of a suite's rows under PEFT's adapter, in their order. */
async function cellsOf(
  rows: readonly object[],
  change: (folder: string) => void = () => undefined,
): Promise<readonly EvaluatedCell[]> {
  const folder = temp();
  cpSync(atImages('chats'), folder, { recursive: true });
  const file = path.join(folder, 'suite.jsonl');
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const cells: EvaluatedCell[] = [];
  await withBase(atImages('base'), async (base) => {
    const cases = await readSuites([file]);
    const imagesOf = await openSuiteImages(cases, base);
    change(folder);
    const tokenizer = createTokenizer(await base.readTokenizer());
    await withImageModel(
      atImages('adapter'),
      async (model) => {
        const answer = languageRows(
          {
            scheduler: { generate: () => Promise.reject(new Error('nothing is written')) },
            mix: [],
            tokenizer,
            imagesOf,
            vocab_size: base.spec.vocab_size,
            positions: 256,
            start_id: null,
            model: () => Promise.resolve(model),
          },
          { temperature: 0, seed: 0, max_new_tokens: 1 },
          new AbortController().signal,
        );
        await answer(cases, (item, cell) => (cells[item.index] = cell));
      },
      { ops },
    );
  });
  return cells;
}

it('measures answers to questions with images as transformers does', async () => {
  const before = ops.live();
  const cells = await cellsOf(
    pairs.flatMap((pair) =>
      [pair.chosen, pair.rejected].map(([answer]) => ({
        messages: questionOf(pair),
        check: { kind: 'perplexity', expected: answer!.content },
      })),
    ),
  );
  expect(cells.map(({ error }) => error)).toEqual(cells.map(() => null));
  continuations.flat().forEach((want, i) => {
    const { sum, tokens } = cells[i]!.loss!;
    expect(tokens).toBeGreaterThan(1);
    expect(Math.abs(sum + want)).toBeLessThanOrEqual(1e-5 * Math.abs(want));
  });
  expect(ops.live()).toBe(before);
});

it('chooses the answer that is more probable after the images', async () => {
  const choices = (pair: Pair) => [pair.chosen[0]!.content, pair.rejected[0]!.content];
  const rowOf = (pair: Pair, expected: number) => ({
    messages: questionOf(pair),
    check: { kind: 'choice', choices: choices(pair), expected },
  });
  const cells = await cellsOf(pairs.map((pair) => rowOf(pair, 0)));
  const right = continuations.map(([chosen, rejected]) => (chosen > rejected ? 1 : 0));
  expect(new Set(right).size).toBe(2);
  expect(cells.map(({ scores }) => scores['choice'])).toEqual(right);
});

it('fails only the row of an image that cannot be decoded', async () => {
  const [first, , last] = pairs as [Pair, Pair, Pair];
  const rows = [first, last].map((pair) => ({
    messages: questionOf(pair),
    check: { kind: 'perplexity', expected: 'Yes.' },
  }));
  const [broken, own] = await cellsOf(rows, (folder) =>
    copyFileSync(path.join(folder, 'rows.jsonl'), path.join(folder, 'wide.png')),
  );
  expect(broken!.error).toMatch(/wide\.png/);
  expect(own!.error).toBe(null);
});
