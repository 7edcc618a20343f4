import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { readFolderTokenizer } from '../../../../src/formats/folderTokenizer';

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

  it('writes ids as text again', async () => {
    const tokenizer = createTokenizer(await readFolderTokenizer(folder));
    const known = rows.filter(({ decoded }) => decoded !== null);
    expect(known.length).toBeGreaterThan(8);
    expect(known.map(({ text }) => tokenizer.decode(tokenizer.encode(text, false)))).toEqual(
      known.map(({ decoded }) => decoded),
    );
  });
});
