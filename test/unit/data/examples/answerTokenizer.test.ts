import { describe, expect, it } from 'vitest';
import { ProblemCollector } from '../../../../src/data/dataset/problems';
import { answerTokenizer } from '../../../../src/data/examples/answerTokenizer';
import { collate } from '../../../../src/data/examples/batch';
import type { AnswerExample } from '../../../../src/data/examples/example';
import { sampleAnswer } from '../../../../src/data/examples/sampleRows';
import type { TextRow } from '../../../../src/data/rows/row';
import { smallTokenizer, smallTokenizerFiles } from '../../../support/datasets';

const START = 7;
const plain = smallTokenizer({ chat_template: null });
const END = plain.eos_token_id!;
/** As T5's: each text ends with the end-of-sequence token. */
const ending = smallTokenizer({
  chat_template: null,
  tokenizer: {
    ...smallTokenizerFiles().tokenizer,
    post_processor: {
      type: 'TemplateProcessing',
      single: [
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<|eos|>', type_id: 0 } },
      ],
      pair: [
        { Sequence: { id: 'A', type_id: 0 } },
        { SpecialToken: { id: '<|eos|>', type_id: 0 } },
        { Sequence: { id: 'B', type_id: 0 } },
        { SpecialToken: { id: '<|eos|>', type_id: 0 } },
      ],
      special_tokens: { '<|eos|>': { id: '<|eos|>', ids: [END], tokens: ['<|eos|>'] } },
    },
  },
});

const rowOf = (prompt: string, completion: string): TextRow => ({
  kind: 'completion',
  line: 3,
  prompt,
  completion,
});

function tokenized(row: TextRow, change: object = {}) {
  const problems = new ProblemCollector('f');
  const settings = { tokenizer: plain, max_length: 64, start_id: START, ...change };
  const result = answerTokenizer(problems, settings).add(row);
  const example = result?.example as AnswerExample | undefined;
  return { result, example, messages: problems.problems().map(({ message }) => message) };
}

describe('a prompt and a completion', () => {
  it('become what the encoder reads, and what the decoder writes behind its start token', () => {
    const answer = [...plain.encode('hi you'), END];
    const { example, result, messages } = tokenized(rowOf('the old mill', 'hi you'));
    expect(example).toEqual({
      kind: 'answer',
      line: 3,
      source: Int32Array.from(plain.encode('the old mill')),
      input_ids: Int32Array.of(START, ...answer),
      labels: Int32Array.of(-100, ...answer),
    });
    expect(messages).toEqual([]);
    expect(sampleAnswer(result!)).toMatchObject({
      prompt_ids: plain.encode('the old mill'),
      answer_ids: answer,
    });
  });

  it('end with one end token each where the tokenizer adds it', () => {
    const { example } = tokenized(rowOf('the old mill', 'hi'), { tokenizer: ending });
    expect([...example!.source]).toEqual([...plain.encode('the old mill'), END]);
    expect([...example!.input_ids]).toEqual([START, ...plain.encode('hi'), END]);
  });

  it('are cut to max_length each; the prompt keeps its end token', () => {
    const row = rowOf('the old mill by the river', 'the old mill by the river');
    const ids = plain.encode('the old mill by the river');
    const { example, result } = tokenized(row, { tokenizer: ending, max_length: 4 });
    expect([...example!.source]).toEqual([...ids.slice(0, 3), END]);
    expect([...example!.input_ids]).toEqual([START, ...ids.slice(0, 3)]);
    expect(result!.length).toBe(2 * ids.length + 3);
  });

  it('keep the weight of the row', () =>
    expect(tokenized({ ...rowOf('a', 'b'), weight: 2 }).example).toMatchObject({ weight: 2 }));

  it.each([
    [rowOf('', 'hi'), {}, /The prompt has no tokens/],
    [rowOf('the', 'hi'), { max_length: 1 }, /No label is left: max_length is 1/],
    [rowOf('the', 'hi'), { vocab_size: 4 }, /embedding|vocabulary/],
    [{ kind: 'text', line: 3, text: 'a' }, {}, /learns from a prompt and a completion/],
  ] as const)('are refused: %j %j', (row, change, message) => {
    const { result, messages } = tokenized(row, change);
    expect(result).toBeNull();
    expect(messages).toEqual([expect.stringMatching(message)]);
  });

  it('make a batch whose sources are padded apart', () => {
    const rows = [rowOf('the old mill by the river', 'hi'), rowOf('the', 'the old mill')];
    const examples = rows.map((row) => tokenized(row).example!);
    const batch = collate(examples, 0);
    expect(batch.batch).toBe(2);
    expect(batch.source!.batch).toBe(2);
    const [first, second] = examples as [AnswerExample, AnswerExample];
    const { length } = batch.source!;
    expect(length).toBeGreaterThanOrEqual(first.source.length);
    const row = (of: Int32Array, i: number, width: number) => [
      ...of.subarray(i * width, (i + 1) * width),
    ];
    expect(row(batch.source!.attention_mask, 1, length)).toEqual(
      Array.from({ length }, (_, i) => Number(i < second.source.length)),
    );
    expect(row(batch.input_ids, 1, batch.length).slice(0, second.input_ids.length)).toEqual([
      ...second.input_ids,
    ]);
    expect(row(batch.labels as Int32Array, 0, batch.length).slice(first.labels.length)).toEqual(
      new Array(batch.length - first.labels.length).fill(-100),
    );
  });
});
