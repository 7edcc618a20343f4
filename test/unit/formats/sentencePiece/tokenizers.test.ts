import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { readFolderTokenizer } from '../../../../src/formats/folderTokenizer';
import { readSentencePiece } from '../../../../src/formats/sentencePiece/model';
import { tokenizerOfSentencePiece } from '../../../../src/formats/sentencePiece/tokenizer';

const root = path.resolve(import.meta.dirname, '../../../fixtures/sentencepiece');

interface Row {
  readonly text: string;
  readonly ids: readonly number[];
  readonly decoded: string | null;
}

describe.each(readdirSync(root))('a model of %s with a SentencePiece file alone', (name) => {
  const folder = path.join(root, name);
  const rows = JSON.parse(readFileSync(path.join(folder, 'expected.json'), 'utf8')) as Row[];

  it('has the ids of SentencePiece and transformers', async () => {
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    expect(rows.map(({ text }) => ({ text, ids: tokenizer.encode(text) }))).toEqual(
      rows.map(({ text, ids }) => ({ text, ids })),
    );
  });

  it('reads very many spaces in a short time', async () => {
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    const of = (count: number) => tokenizer.encode(`a${' '.repeat(count)}b`);
    const isOne = JSON.stringify(of(2)) === JSON.stringify(of(1));
    const start = performance.now();
    const many = of(100_000);
    // 0.1 s; by their square 15 s, which ends with an error
    expect(performance.now() - start).toBeLessThan(5000);
    if (isOne) expect(many).toEqual(of(1));
    else expect(many.length).toBeGreaterThan(of(2).length);
  });

  it('writes ids as text again', async () => {
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    const known = rows.filter(({ decoded }) => decoded !== null);
    expect(known.length).toBeGreaterThan(8);
    expect(known.map(({ text }) => tokenizer.decode(tokenizer.encode(text, false)))).toEqual(
      known.map(({ decoded }) => decoded),
    );
  });
});

it.each([-1, 1.5, 10_001, '5'])('a T5 with %s extra_ids is refused', (extra_ids) => {
  const source = path.join(root, 't5/spiece.model');
  const model = readSentencePiece(readFileSync(source), source);
  const files = { model, config: { extra_ids }, added: {}, model_type: 't5', source };
  expect(() => tokenizerOfSentencePiece(files)).toThrow(
    `A tokenizer with ${JSON.stringify(extra_ids)} sentinels (extra_ids) is not read from a SentencePiece file.`,
  );
});
