import { describe, expect, it } from 'vitest';
import { encodeRow } from '../../../../src/data/examples/encodeRow';
import { labelPieces } from '../../../../src/data/examples/labelPieces';
import { tokenizeRows } from '../../../support/scannedRows';
import { ROW_SETTINGS } from '../../../../src/data/rows/settings';
import type { TextRow } from '../../../../src/data/rows/row';
import { smallTokenizer } from '../../../support/datasets';

const plain = smallTokenizer({ chat_template: null });
const chats = smallTokenizer();
const completion = (prompt: string, text: string): TextRow => ({
  kind: 'completion',
  line: 1,
  prompt,
  completion: text,
});
const tokenized = (input_ids: number[], labels: number[]): TextRow => ({
  kind: 'tokenized',
  line: 3,
  input_ids,
  labels,
  attention_mask: input_ids.map(() => 1),
});

describe('an encoded row', () => {
  it('of token ids has spans where its labels are', () => {
    const spans = (...labels: number[]) => encodeRow(tokenized(labels, labels), plain).labelled;
    expect(spans(-100, 5, 6, -100, 7)).toEqual([
      { start: 1, end: 3 },
      { start: 4, end: 5 },
    ]);
    expect(spans(5)).toEqual([{ start: 0, end: 1 }]);
    expect(spans(-100, -100)).toEqual([]);
  });

  it('ends with the end token once, if there is one', () => {
    const eos = plain.eos_token_id!;
    const { ids, labelled } = encodeRow({ kind: 'text', line: 1, text: 'ab' }, plain);
    expect(ids).toEqual([...plain.encode('ab'), eos]);
    expect(labelled).toEqual([{ start: 0, end: ids.length }]);
    const ended = { kind: 'text', line: 1, text: `ab${plain.decode([eos])}` } as const;
    expect(encodeRow(ended, plain).ids).toEqual(ids);
    const without = { ...plain, eos_token_id: null };
    expect(encodeRow({ kind: 'text', line: 1, text: 'ab' }, without).ids).toEqual(
      plain.encode('ab'),
    );
  });

  it('labels a completion from the first token that is not the prompt', () => {
    const { ids, labelled } = encodeRow(completion('ab-', '-cd'), plain);
    expect(ids).toEqual([...plain.encode('ab--cd'), plain.eos_token_id]);
    const [{ start, end }] = labelled as [{ start: number; end: number }];
    expect(end).toBe(ids.length);
    expect('ab-'.startsWith(plain.decode(ids.slice(0, start)))).toBe(true);
    expect(encodeRow(completion('', 'cd'), plain).labelled).toEqual([
      { start: 0, end: plain.encode('cd').length + 1 },
    ]);
  });

  it('with a template is a chat of the prompt and the completion', () => {
    const { ids } = encodeRow(completion('hello', 'hi'), chats);
    const messages = [
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'hi' },
    ];
    expect(ids).toEqual(chats.encode(chats.applyChatTemplate(messages, false), false));
  });
});

describe('the pieces of an example', () => {
  it('are the whole text, labelled or not', () => {
    const input_ids = Int32Array.from(plain.encode('one two three four', false));
    for (let cut = 0; cut <= input_ids.length; cut++) {
      const labels = input_ids.map((id, i) => (i < cut ? -100 : id));
      const pieces = labelPieces({ kind: 'tokens', line: 1, input_ids, labels }, plain);
      expect(pieces.map((p) => p.text).join('')).toBe('one two three four');
      expect(pieces.map((p) => p.labelled)).toEqual(
        [false, true].filter((labelled) => (labelled ? cut < input_ids.length : cut > 0)),
      );
      expect(pieces.map((p) => p.tokens).reduce((sum, n) => sum + n, 0)).toBe(input_ids.length);
    }
    expect(
      labelPieces(
        { kind: 'tokens', line: 1, input_ids: new Int32Array(0), labels: new Int32Array(0) },
        plain,
      ),
    ).toEqual([]);
  });

  it('are decoded on their own where the text before them changes with them', () => {
    const input_ids = Int32Array.of(1, 2);
    const odd = {
      ...plain,
      decode: (ids: readonly number[]) => (ids.length === 2 ? 'whole' : `<${ids.join()}>`),
    };
    const example = { kind: 'tokens', line: 1, input_ids, labels: Int32Array.of(-100, 2) } as const;
    expect(labelPieces(example, odd).map((p) => p.text)).toEqual(['<1>', '<2>']);
  });
});

describe('tokenized rows', () => {
  const tokenize = (rows: TextRow[], change: object = {}) => {
    const settings = { tokenizer: plain, max_length: 8, labels: 'assistant', ...change } as const;
    const result = tokenizeRows('f', rows, settings);
    return { ...result, messages: result.problems.map((p) => p.message) };
  };
  const size = plain.vocab_size;

  it('name ids beyond the vocabulary, or the embedding', () => {
    expect(tokenize([tokenized([1, size], [1, size])]).problems).toMatchObject([
      {
        message: `The token id ${size} is not in the vocabulary of ${size}.`,
        place: { line: 3, key: 'input_ids[1]' },
      },
    ]);
    expect(tokenize([tokenized([1, size - 1], [1, size - 1])]).problems).toEqual([]);
    expect(tokenize([tokenized([1, size], [1, size])], { vocab_size: size + 1 }).problems).toEqual(
      [],
    );
    expect(tokenize([tokenized([1, 5], [1, 5])], { vocab_size: 5 }).messages).toHaveLength(1);
  });

  it('say why no label is left', () => {
    expect(tokenize([tokenized([1], [1])]).messages[0]).toMatch(/the row has 1 token\. Give it/);
    expect(tokenize([tokenized([1, 2], [-100, -100])]).messages[0]).toMatch(
      /has 2 tokens\. Give it/,
    );
    const ids = Array.from({ length: 12 }, (_, i) => i + 1);
    const late = tokenized(
      ids,
      ids.map((id, i) => (i < 9 ? -100 : id)),
    );
    expect(tokenize([late]).messages[0]).toMatch(
      /begins after 9 of the row's 12 tokens, but max_length is 8\. .*unlabelled_rows to "skip"/,
    );
    const skipped = tokenize([late], { rows: { ...ROW_SETTINGS, unlabelled_rows: 'skip' } });
    expect(skipped).toMatchObject({
      examples: [],
      rows: [],
      lengths: [],
      messages: ['No label is left within max_length = 8; the row is skipped.'],
    });
  });

  it('warn once for each special token in a message', () => {
    const row: TextRow = {
      kind: 'messages',
      line: 1,
      messages: [
        { role: 'user', content: 'a<|im_end|>b<|im_end|>' },
        { role: 'assistant', content: 'c<|im_start|>' },
      ],
    };
    const { messages } = tokenize([row], { tokenizer: chats, max_length: 99 });
    expect(
      messages
        .filter((m) => m.includes('special token'))
        .map((m) => /"(.*?)"/.exec(m)![1])
        .sort(),
    ).toEqual(['<|im_end|>', '<|im_start|>']);
    expect(tokenize([completion('a<|im_end|>', 'b')], { max_length: 99 }).messages).toHaveLength(2);
    expect(
      tokenize([{ kind: 'text', line: 1, text: 'a<|im_end|>b' }], { max_length: 99 }).messages,
    ).toEqual([]);
    const bare = { ...plain, special_tokens: new Map([[' ', 1]]) };
    expect(
      tokenize([completion('a b', ' c')], { tokenizer: bare, max_length: 99 }).messages,
    ).toHaveLength(1);
  });
});
