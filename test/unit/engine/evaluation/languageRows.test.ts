import { expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { NO_IMAGES } from '../../../../src/data/examples/rowImages';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';
import { languageRows } from '../../../../src/engine/evaluation/languageRows';
import type { SuiteCase } from '../../../../src/engine/evaluation/suiteFile';
import { logProbabilitiesOf } from '../../../../src/engine/evaluation/likelihood';
import { openBase } from '../../../../src/formats/openBase';
import type { LabelledInput, Model } from '../../../../src/models/model';

const TEMPLATE = '{% for m in messages %}{{ m.role }}: {{ m.content }} {% endfor %}';

/** The tokenizer of an encoder-decoder with a chat template. */
async function chatTokenizer(): Promise<Tokenizer> {
  const base = await openBase('test/fixtures/t5/base', { task: 'seq2seq_lm' });
  try {
    return createTokenizer({ ...(await base.readTokenizer()), chat_template: TEMPLATE });
  } finally {
    await base.close();
  }
}

/** The encoder's tokens of the first choice of a row. */
async function measuredSource(tokenizer: Tokenizer, row: object): Promise<readonly number[]> {
  const batches: LabelledInput[] = [];
  const model = {
    decoder: () => null,
    logProbabilities: (batch: LabelledInput) => {
      batches.push(batch);
      return Promise.resolve(new Float64Array(batch.batch));
    },
  } as unknown as Model;
  const check = { kind: 'choice', choices: ['yes', 'no'], expected: 'no' };
  const item = { file: 'a.jsonl', line: 1, index: 0, row: { ...row, check } };
  const answer = languageRows(
    {
      scheduler: { generate: () => Promise.reject(new Error('nothing is written')) },
      mix: [],
      tokenizer,
      imagesOf: () => NO_IMAGES,
      vocab_size: tokenizer.vocab_size,
      positions: Infinity,
      start_id: 0,
      model: () => Promise.resolve(model),
    },
    { temperature: 0, seed: 0, max_new_tokens: 1 },
    new AbortController().signal,
  );
  await answer([item as unknown as SuiteCase], () => undefined);
  const { source } = batches[0]!;
  return [...source!.input_ids].slice(0, source!.length);
}

it.each([
  [{ messages: [{ role: 'user', content: 'Is it green?' }] }, 'user: Is it green? '],
  [{ prompt: 'Is it green?', system: 'Be short.' }, 'system: Be short. user: Is it green? '],
])('an encoder-decoder with a chat template reads %j as when it answers', async (row, text) => {
  const tokenizer = await chatTokenizer();
  expect(await measuredSource(tokenizer, row)).toEqual(tokenizer.encode(text, false));
});

it('an encoder-decoder reads a plain prompt as it is', async () => {
  const tokenizer = await chatTokenizer();
  expect(await measuredSource(tokenizer, { prompt: 'Is it green?', plain: true })).toEqual(
    tokenizer.encode('Is it green?', true),
  );
});

it('batches of texts are limited by their sources, too', async () => {
  const shapes: (readonly number[])[] = [];
  const model = {
    logProbabilities: ({ source, batch }: LabelledInput) => {
      const { length, attention_mask: mask } = source!;
      shapes.push([batch, length]);
      const read = (_: unknown, row: number) =>
        mask.slice(row * length, (row + 1) * length).reduce((a, b) => a + b, 0);
      return Promise.resolve(Float64Array.from({ length: batch }, read));
    },
  } as unknown as Model;
  const text = (length: number) => ({
    ids: [0, 5],
    from: 1,
    source: Array<number>(length).fill(3),
  });
  const texts = [text(1024), text(8), text(1024), text(1024)];
  const sums = await logProbabilitiesOf(model, texts, 0);
  expect(Math.max(...shapes.map(([rows = 0, length = 0]) => rows * length))).toBeLessThanOrEqual(
    2048,
  );
  expect([...sums]).toEqual([1024, 8, 1024, 1024]);
});
