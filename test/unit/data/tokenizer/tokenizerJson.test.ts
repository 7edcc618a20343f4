import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';

const read = (name: string) =>
  JSON.parse(readFileSync(`test/fixtures/llama/base/${name}`, 'utf8')) as Record<string, unknown>;

it.each([
  ['content that is not a string', { id: 3, content: { toString: null } }],
  ['no content', { id: 3 }],
  ['an id that is no number', { id: { valueOf: null, toString: null }, content: 'x' }],
  ['an id below 0', { id: -1, content: 'x' }],
])('rejects an added token with %s, naming file and key', (_, token) => {
  const tokenizer = { ...read('tokenizer.json'), added_tokens: [token] };
  expect(() =>
    createTokenizer({
      tokenizer,
      config: read('tokenizer_config.json'),
      chat_template: null,
      source: 'tokenizer.json',
    }),
  ).toThrow(
    expect.objectContaining({
      area: 'tokenizer',
      message: 'An added token has no text or no whole number as its id.',
      place: { file: 'tokenizer.json', key: 'added_tokens' },
    }) as Error,
  );
});
