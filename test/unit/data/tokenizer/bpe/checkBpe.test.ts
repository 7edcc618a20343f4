import { describe, expect, it } from 'vitest';
import { checkBpe } from '../../../../../src/data/tokenizer/bpe/checkBpe';
import { createTokenizer } from '../../../../../src/data/tokenizer/createTokenizer';

const source = 'tokenizer.json';
const vocab = { a: 0, b: 1, ab: 2 };

describe('a BPE model', () => {
  it.each<[string, object, string]>([
    ['model.merges.0', { merges: ['b a'] }, 'needs the token "ba", which the vocabulary lacks'],
    ['model.merges.1', { merges: ['a b', ['c', 'b']] }, 'needs the token "c"'],
    ['model.merges.0', { merges: [['', 'a']] }, 'needs the token ""'],
    ['model.merges.0', { merges: [['constructor', 'a']] }, 'needs the token "constructor"'],
    ['model.merges', { merges: ['a'] }, 'not a list of pairs'],
    ['model.merges', { merges: [[1, 2]] }, 'not a list of pairs'],
    ['model.merges', { merges: 'a b' }, 'not a list of pairs'],
    ['model.merges', { merges: null }, 'not a list of pairs'],
    ['model.vocab', { vocab: ['a'] }, 'not an object of tokens'],
    ['model.vocab', { vocab: null }, 'not an object of tokens'],
  ])('is refused where it would lose tokens, naming %s', (key, parts, words) => {
    const model = { type: 'BPE', vocab, merges: [], ...parts };
    const make = () =>
      createTokenizer({ tokenizer: { model }, config: {}, chat_template: null, source });
    expect(make).toThrow(
      expect.objectContaining({
        area: 'tokenizer',
        place: { file: source, key },
        message: expect.stringContaining(words) as string,
      }),
    );
  });

  it('has the prefix of continuing subwords once in what it merges', () => {
    const model = {
      type: 'BPE',
      vocab: { a: 0, '##b': 1, ab: 2 },
      merges: ['a ##b'],
      continuing_subword_prefix: '##',
    };
    expect(() => checkBpe(model, source)).not.toThrow();
  });
});
