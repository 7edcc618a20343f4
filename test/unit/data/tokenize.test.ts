import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { collate } from '../../../src/data/examples/batch';
import { ROW_SETTINGS } from '../../../src/data/rows/settings';
import { labelPieces } from '../../../src/data/examples/labelPieces';
import { batchesIn, splitItems, tokenizeRows } from '../../support/scannedRows';
import type { TextRow } from '../../../src/data/rows/row';
import type { Message } from '../../../src/data/chat/chat';
import type { TokensExample } from '../../../src/data/examples/example';
import { smallTokenizer } from '../../support/datasets';

const tokenizer = smallTokenizer();
const chat = (line: number, ...turns: string[]): TextRow => ({
  kind: 'messages',
  line,
  messages: turns.map((content, i): Message => ({
    role: i % 2 === 0 ? 'user' : 'assistant',
    content,
  })),
});
const tokenize = (rows: readonly TextRow[], change: object = {}) =>
  tokenizeRows('data.jsonl', rows, { tokenizer, max_length: 512, labels: 'assistant', ...change });
const learnt = (example: TokensExample) =>
  labelPieces(example, tokenizer)
    .filter((piece) => piece.labelled)
    .map((piece) => piece.text);

describe('labels', () => {
  it("cover the assistant's text and end-of-turn token in every turn", () => {
    const { examples } = tokenize([chat(1, 'hello there', 'hi you', 'and now?', 'bye')]);
    expect(learnt(examples[0]!)).toEqual(['hi you<|im_end|>', 'bye<|im_end|>']);
  });

  it('cover all tokens if the loss is on all tokens', () => {
    const { examples } = tokenize([chat(1, 'hello', 'hi')], { labels: 'all' });
    expect([...examples[0]!.labels]).toEqual([...examples[0]!.input_ids]);
  });

  it('cover only the answer even if the question has the same text', () => {
    const { examples } = tokenize([chat(1, 'say yes', 'yes'), chat(2, 'yes', 'yes')]);
    expect(examples.map(learnt)).toEqual([['yes<|im_end|>'], ['yes<|im_end|>']]);
  });

  it('cover a whole text and its end token', () => {
    const { examples } = tokenize([{ kind: 'text', line: 1, text: 'the old mill' }]);
    expect(learnt(examples[0]!)).toEqual(['the old mill<|eos|>']);
  });

  it('cover the completion and the end token without a chat template', () => {
    const plain = smallTokenizer({ chat_template: null });
    const { examples, problems } = tokenizeRows(
      'f',
      [{ kind: 'completion', line: 1, prompt: 'a question', completion: ' an answer' }],
      { tokenizer: plain, max_length: 64, labels: 'assistant' },
    );
    expect(problems).toMatchObject([
      { severity: 'warning', message: expect.stringContaining('no chat template') as unknown },
    ]);
    expect(
      labelPieces(examples[0]!, plain)
        .filter((p) => p.labelled)
        .map((p) => p.text)
        .join(''),
    ).toBe(' an answer<|eos|>');
  });

  it('rejects chats without a template and says what to do', () => {
    const { problems } = tokenizeRows('f', [chat(3, 'a', 'b')], {
      tokenizer: smallTokenizer({ chat_template: null }),
      max_length: 64,
      labels: 'assistant',
    });
    expect(problems).toMatchObject([
      {
        severity: 'error',
        place: { file: 'f', line: 3 },
        message: expect.stringContaining('chat_template.jinja') as unknown,
      },
    ]);
  });
});

describe('a chat template without system messages', () => {
  const GEMMA =
    "{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}" +
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>\\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";
  const gemma = smallTokenizer({ chat_template: GEMMA });
  const withSystem = (line: number): TextRow => ({
    kind: 'messages',
    line,
    messages: [
      { role: 'system', content: 'be brief' },
      { role: 'user', content: 'hello' },
      { role: 'assistant', content: 'hi' },
    ],
  });
  const tokenizeWith = (
    system_refused: 'fold' | 'skip' | 'error',
    rows = [withSystem(1), chat(2, 'a', 'b'), withSystem(3)],
  ) =>
    tokenizeRows('f', rows, {
      tokenizer: gemma,
      max_length: 512,
      labels: 'assistant',
      rows: { ...ROW_SETTINGS, chats: { ...ROW_SETTINGS.chats, system_refused } },
    });

  it('moves them to the first user message and warns with the number of rows', () => {
    const { examples, rows, problems } = tokenizeWith('fold');
    expect(gemma.decode([...examples[0]!.input_ids])).toBe(
      '<|im_start|>user\nbe brief\n\nhello<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>\n',
    );
    expect(
      labelPieces(examples[0]!, gemma)
        .filter((p) => p.labelled)
        .map((p) => p.text),
    ).toEqual(['hi<|im_end|>']);
    expect(rows[0]).toMatchObject({ messages: [{ role: 'user' }, { role: 'assistant' }] });
    expect(problems).toMatchObject([
      {
        severity: 'warning',
        place: { line: 1 },
        message: expect.stringMatching(
          /System role not supported.*\(2 rows; also line 3\)/,
        ) as unknown,
      },
    ]);
  });

  it('skips such rows or rejects the dataset, as configured', () => {
    expect(tokenizeWith('skip').examples.map((e) => e.line)).toEqual([2]);
    expect(tokenizeWith('skip').problems).toMatchObject([
      { severity: 'warning', message: expect.stringMatching(/skipped.*2 rows/) as unknown },
    ]);
    expect(tokenizeWith('error').problems.map((p) => [p.severity, p.place?.line])).toEqual([
      ['error', 1],
      ['error', 3],
    ]);
  });

  it('reports other template errors at their lines', () => {
    const strict = smallTokenizer({ chat_template: "{{ raise_exception('never') }}" });
    const { problems } = tokenizeRows('f', [withSystem(7)], {
      tokenizer: strict,
      max_length: 64,
      labels: 'assistant',
    });
    expect(problems).toMatchObject([
      {
        severity: 'error',
        place: { line: 7 },
        message: expect.stringContaining('never') as unknown,
      },
    ]);
  });
});

describe('pad = eos', () => {
  it('keeps the labels of end tokens, but not of padding', () => {
    const same = smallTokenizer({ config: { eos_token: '<|im_end|>', pad_token: '<|im_end|>' } });
    expect(same.pad_token_id).toBe(same.eos_token_id);
    const { examples } = tokenizeRows(
      'f',
      [chat(1, 'a', 'b'), chat(2, 'a much longer question', 'and its much longer answer')],
      { tokenizer: same, max_length: 512, labels: 'assistant' },
    );
    const { length, input_ids, labels, attention_mask } = collate(examples, same.pad_token_id!);
    for (const [row, { input_ids: ids }] of examples.entries()) {
      const of = (values: Int32Array | Float32Array) =>
        Int32Array.from(values).subarray(row * length, (row + 1) * length);
      const end = ids.lastIndexOf(same.eos_token_id!);
      expect(of(labels)[end]).toBe(same.eos_token_id);
      expect([...of(labels).subarray(ids.length)].every((label) => label === -100)).toBe(true);
      expect([...of(attention_mask)].reduce((a, b) => a + b)).toBe(ids.length);
      expect([...of(input_ids).subarray(ids.length)].every((id) => id === same.pad_token_id)).toBe(
        true,
      );
    }
    expect(examples[0]!.input_ids.length).toBeLessThan(length);
  });
});

describe('long rows', () => {
  it('are truncated at the end', () => {
    const whole = tokenize([chat(1, 'hello', 'a long answer that goes on and on')]).examples[0]!;
    const { examples, lengths } = tokenize(
      [chat(1, 'hello', 'a long answer that goes on and on')],
      { max_length: whole.input_ids.length - 4 },
    );
    expect([...examples[0]!.input_ids]).toEqual([...whole.input_ids.subarray(0, -4)]);
    expect(lengths).toEqual([whole.input_ids.length]);
  });

  it('are all reported with their lengths if no label is left', () => {
    const { examples, problems } = tokenize(
      [chat(1, 'x '.repeat(200), 'y'), chat(2, 'a', 'b'), chat(3, 'z '.repeat(200), 'y')],
      { max_length: 64 },
    );
    expect(examples).toHaveLength(1);
    expect(problems.filter((p) => p.severity === 'error').map((p) => p.place?.line)).toEqual([
      1, 3,
    ]);
    expect(problems[0]!.message).toMatch(/64/);
  });

  it('are skipped if no label is left and so configured', () => {
    const { examples, problems } = tokenize(
      [chat(1, 'x '.repeat(200), 'y'), chat(2, 'a', 'b'), chat(3, 'z '.repeat(200), 'y')],
      { max_length: 64, rows: { ...ROW_SETTINGS, unlabelled_rows: 'skip' } },
    );
    expect(examples.map((e) => e.line)).toEqual([2]);
    expect(problems).toMatchObject([
      {
        severity: 'warning',
        place: { line: 1 },
        message: expect.stringMatching(/the row is skipped.*2 rows; also line 3/) as unknown,
      },
    ]);
    fc.assert(
      fc.property(
        fc.nat(60),
        fc.nat(60),
        fc.integer({ min: 2, max: 64 }),
        (asked, answered, max_length) => {
          const rows = [chat(1, 'x '.repeat(asked), `y${' y'.repeat(answered)}`)];
          for (const e of tokenize(rows, { max_length }).examples)
            expect([...e.labels.subarray(1)].some((label) => label !== -100)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  it('rejects ids beyond the vocabulary', () => {
    const { problems } = tokenize([
      { kind: 'tokenized', line: 9, input_ids: [1, 384], labels: [1, 384], attention_mask: [1, 1] },
    ]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 9 } }]);
  });
});

const example = (line: number, length: number): TokensExample => ({
  kind: 'tokens',
  line,
  input_ids: new Int32Array(length).fill(line),
  labels: new Int32Array(length).fill(line),
});
const sizesOf = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 60 });

describe('batches', () => {
  it('cover every example once per epoch, in an order that depends on seed and epoch', () => {
    fc.assert(
      fc.property(
        sizesOf,
        fc.integer({ min: 1, max: 7 }),
        fc.boolean(),
        fc.nat(1000),
        (sizes, batch_size, shuffle, seed) => {
          const examples = sizes.map((n, i) => example(i + 1, n));
          const of = (epoch: number) =>
            batchesIn(examples, { batch_size, shuffle, seed, epoch }).map((batch) =>
              batch.map((e) => e.line),
            );
          expect(of(0)).toHaveLength(Math.ceil(examples.length / batch_size));
          expect(
            of(0)
              .flat()
              .sort((a, b) => a - b),
          ).toEqual(examples.map((e) => e.line));
          expect(of(0)).toEqual(of(0));
          if (!shuffle) expect(of(3).flat()).toEqual(examples.map((e) => e.line));
        },
      ),
    );
    const many = Array.from({ length: 100 }, (_, i) => example(i + 1, 1 + (i % 9)));
    const order = (seed: number, epoch: number) =>
      batchesIn(many, { batch_size: 4, shuffle: true, seed, epoch })
        .flat()
        .map((e) => e.line)
        .join();
    expect(new Set([order(1, 0), order(1, 1), order(2, 0)]).size).toBe(3);
  });

  it('are padded on the right and keep end tokens if they are also the padding token', () => {
    const eos = 2;
    const { batch, length, input_ids, labels, attention_mask } = collate(
      [
        {
          kind: 'tokens',
          line: 1,
          input_ids: Int32Array.of(5, 6, eos),
          labels: Int32Array.of(-100, 6, eos),
        },
        {
          kind: 'tokens',
          line: 2,
          input_ids: Int32Array.of(7, eos),
          labels: Int32Array.of(7, eos),
        },
      ],
      eos,
    );
    expect([batch, length]).toEqual([2, 3]);
    expect([...input_ids]).toEqual([5, 6, 2, 7, 2, 2]);
    expect([...labels]).toEqual([-100, 6, 2, 7, 2, -100]);
    expect([...attention_mask]).toEqual([1, 1, 1, 1, 1, 0]);
  });
});

describe('the validation set', () => {
  it('is a random sample by seed, with at least one example and never all', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 2, max: 50 }),
        fc.double({ min: 0.001, max: 0.999, noNaN: true }),
        fc.nat(99),
        (n, share, seed) => {
          const items = Array.from({ length: n }, (_, i) => i);
          const { train, validation } = splitItems(items, share, seed);
          expect([...train, ...validation].sort((a, b) => a - b)).toEqual(items);
          expect(Math.min(train.length, validation.length)).toBeGreaterThan(0);
          expect(splitItems(items, share, seed)).toEqual({ train, validation });
        },
      ),
    );
  });
  it('is empty if the fraction is 0 or there is only one example', () => {
    expect(splitItems([1, 2, 3], 0, 1).validation).toEqual([]);
    expect(splitItems([1], 0.5, 1).validation).toEqual([]);
  });
});
