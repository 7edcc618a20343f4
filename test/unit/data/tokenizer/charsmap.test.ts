import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { Charsmap } from '../../../../src/data/tokenizer/charsmap';
import { readSentencePiece } from '../../../../src/formats/sentencePiece/model';
import { LoraError } from '../../../../src/shared/errors';

const file = path.resolve(import.meta.dirname, '../../../fixtures/sentencepiece/t5/spiece.model');
const { charsmap } = readSentencePiece(readFileSync(file), file);
const fail = (what: string) => new LoraError('tokenizer', what);

const tokenizerWith = (precompiled_charsmap: unknown) =>
  createTokenizer({
    tokenizer: {
      model: {
        type: 'Unigram',
        vocab: [
          ['<unk>', 0],
          ['a', -1],
          ['fi', -2],
        ],
        unk_id: 0,
      },
      normalizer: {
        type: 'Sequence',
        normalizers: [{ type: 'Precompiled', precompiled_charsmap }],
      },
    },
    config: {},
    chat_template: null,
    source: 'tokenizer.json',
  });

describe('rules of a SentencePiece normalizer', () => {
  it('replace characters and clusters as the Rust library does', () => {
    const map = new Charsmap(charsmap, fail);
    // the accent is part of a cluster whose beginning has a rule
    expect(map.normalize('x\ufb01y \ufb01\u0301 e\u0301 \u200b|\u3000\u2460')).toBe(
      'xfiy fi é | 1',
    );
    expect(map.normalize('a\tb\r\nc')).toBe('a b c');
    expect(map.normalize('plain text, 12')).toBe('plain text, 12');
  });

  it('are used of a tokenizer.json, and not those of NFKC', () => {
    const tokenizer = tokenizerWith(charsmap.toString('base64'));
    expect(tokenizer.encode('\ufb01a')).toEqual([2, 1]);
    // NFKC would make an a of it, these rules do not
    expect(tokenizer.encode('\uff41')).toEqual([0]);
  });

  it.each([
    ['is missing', null],
    ['is damaged: its rules are not as long as it says', ''],
    [
      'is damaged: its rules are not as long as it says',
      charsmap.subarray(0, 400).toString('base64'),
    ],
    ['is damaged: its rules are not as long as it says', Buffer.alloc(64, 255).toString('base64')],
  ])('that are damaged are refused: %s', (what, stored) => {
    expect(() => tokenizerWith(stored)).toThrow(
      `The tokenizer cannot be used: "normalizer.normalizers.0.precompiled_charsmap" ${what}.`,
    );
  });

  it.each([
    ['a replacement is outside it', 0],
    ['has a replacement that is too long', 0x61],
    ['a replacement is not UTF-8', 0xff],
  ])('with results that are damaged are refused: %s', (what, byte) => {
    const size = charsmap.readUInt32LE(0);
    const results = byte === 0 ? Buffer.alloc(0) : Buffer.alloc(400, byte);
    if (byte === 0xff) results[9] = 0;
    const damaged = Buffer.concat([charsmap.subarray(0, 4 + size), results, Buffer.from([0])]);
    const short =
      byte === 0xff
        ? Buffer.from(damaged.map((b, i) => (i > 4 + size && i % 8 === 0 ? 0 : b)))
        : damaged;
    const text = '\ufb01\u3000\u2460\uff21\uff3a';
    expect(() => new Charsmap(short, fail).normalize(text)).toThrow(what);
  });
});
