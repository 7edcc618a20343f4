import { describe, expect, it } from 'vitest';
import type { Message } from '../../src/data/chat/chat';
import { readJson, smallTokenizer } from '../support/datasets';

interface Expected {
  readonly samples: readonly {
    readonly text: string;
    readonly ids: readonly number[];
    readonly decoded: string;
  }[];
  readonly chats: readonly {
    readonly messages: readonly Message[];
    readonly add_generation_prompt: boolean;
    readonly text: string;
    readonly ids: readonly number[];
  }[];
}

const expected = readJson('test/fixtures/tokenizer/expected.json') as Expected;

describe('the fixture tokenizer', () => {
  const tokenizer = smallTokenizer();

  it.each(expected.samples)(
    'encodes and decodes $text like the reference',
    ({ text, ids, decoded }) => {
      expect(tokenizer.encode(text)).toEqual(ids);
      expect(tokenizer.decode(ids)).toBe(decoded);
    },
  );

  it.each(expected.chats)(
    'renders and encodes chat $# like the reference',
    ({ messages, add_generation_prompt, text, ids }) => {
      expect(tokenizer.applyChatTemplate(messages, add_generation_prompt)).toBe(text);
      expect(tokenizer.encode(text, false)).toEqual(ids);
    },
  );

  it('has its vocabulary and special tokens', () => {
    expect(tokenizer).toMatchObject({
      vocab_size: 384,
      bos_token_id: 1,
      eos_token_id: 2,
      pad_token_id: 0,
      has_chat_template: true,
    });
    expect(Object.fromEntries(tokenizer.special_tokens)).toEqual({
      '<|pad|>': 0,
      '<|bos|>': 1,
      '<|eos|>': 2,
      '<|im_start|>': 3,
      '<|im_end|>': 4,
    });
  });
});
