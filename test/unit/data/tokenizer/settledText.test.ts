import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { createTokenizer } from '../../../../src/data/tokenizer/createTokenizer';
import { settledText } from '../../../../src/data/tokenizer/settledText';
import type { Tokenizer } from '../../../../src/data/tokenizer/tokenizer';
import { AnswerStream } from '../../../../src/engine/serve/http/answerStream';
import { textReader } from '../../../../src/engine/serve/http/answerReaders';
import { openBase } from '../../../../src/formats/openBase';
import { createRandom } from '../../../../src/shared/random';
import { fixtures } from '../../../support/models';

const CLEANED = { clean_up_tokenization_spaces: true };
const INSISTS = { clean_up_tokenization_spaces_for_bpe_even_though_it_will_corrupt_output: true };

const METASPACE = { type: 'Metaspace', replacement: '▁', prepend_scheme: 'never', split: false };

/** A Unigram of characters, and of some words of several. */
function unigram(config: object): Tokenizer {
  const words = [
    ...new Set(Array.from("▁'.,?!abcdefhilmnortsvwxyzü日🙂=")),
    "▁'",
    "n't",
    '▁n',
    "'v",
  ];
  const vocab = [['<unk>', -20], ...words.map((word) => [word, -word.length - 1])];
  const model = { type: 'Unigram', vocab, unk_id: 0 };
  const tokenizer = { model, pre_tokenizer: METASPACE, decoder: METASPACE };
  return createTokenizer({ tokenizer, config: { ...config }, chat_template: null, source: 'file' });
}

async function tokenizerOf(family: string, config: object): Promise<Tokenizer> {
  if (family === 'unigram') return unigram(config);
  const base = await openBase(path.join(fixtures, family, 'base'));
  const files = await base.readTokenizer();
  await base.close();
  return createTokenizer({ ...files, config: { ...files.config, ...config } });
}

/** Texts of the characters that cleaning up looks at, and of some others. */
function textsOf(count: number): string[] {
  const random = createRandom(4, 'texts');
  const parts = [...Array.from(" ''.,?!nmtsvre xü"), ' ', " '", " ' ", " n't", " 've", '日', '🙂'];
  const part = () => parts[Math.floor(random() * parts.length)]!;
  return Array.from({ length: count }, () => Array.from({ length: 24 }, part).join(''));
}

describe('cleaning up spaces', () => {
  it('leaves the texts of BPE as they are, unless the config insists', async () => {
    const text = "where name = 'smith' , x . y ? n't";
    const decoded = async (family: string, config: object) => {
      const tokenizer = await tokenizerOf(family, config);
      return tokenizer.decode(tokenizer.encode(text, false));
    };
    const cleaned = "where name ='smith', x. y?n't";
    expect(await decoded('llama', CLEANED)).toBe(text);
    expect(await decoded('llama', { ...CLEANED, ...INSISTS })).toBe(cleaned);
    expect(await decoded('llama', INSISTS)).toBe(text);
    expect(await decoded('unigram', {})).toBe(text);
    expect(await decoded('unigram', CLEANED)).toBe(cleaned);
  });
});

describe.each([
  ['llama', {}],
  ['unigram', {}],
  ['unigram', CLEANED],
  ['llama', { ...CLEANED, ...INSISTS }],
])('a text of %s that grows, with %j', (family, config) => {
  it('is settled as far as no further token changes it', async () => {
    const tokenizer = await tokenizerOf(family, config);
    for (const text of textsOf(200)) {
      const ids = tokenizer.encode(text, false);
      const whole = tokenizer.decode(ids);
      let last = '';
      for (let count = 1; count <= ids.length; count++) {
        const settled = settledText(tokenizer, tokenizer.decode(ids.slice(0, count)));
        expect(whole.startsWith(settled), JSON.stringify([text, settled, whole])).toBe(true);
        expect(settled.startsWith(last), JSON.stringify([text, last, settled])).toBe(true);
        last = settled;
      }
      expect(whole.slice(last.length)).toMatch(/^[ 'nvr]*$/);
    }
  });

  it('is sent whole by a stream', async () => {
    const tokenizer = await tokenizerOf(family, config);
    for (const text of [
      "select name = 'smith' from x",
      "I do n't , she 's . 🙂 ' ",
      ...textsOf(30),
    ]) {
      const stream = new AnswerStream(textReader(tokenizer), []);
      const ids = tokenizer.encode(text, false);
      const sent = ids.map((id) => stream.push(id).content).join('');
      const { content, rest } = stream.finish();
      expect(sent + rest.content).toBe(content);
      expect(content).toBe(tokenizer.decode(ids, true));
    }
  });
});
