import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { batchCount, batchesOf, collate, splitExamples } from '../../../src/data/batches';
import { labelPieces } from '../../../src/data/preview';
import { tokenizeRows } from '../../../src/data/tokenize';
import type { Example, Message, Row } from '../../../src/data/types';
import { smallTokenizer } from './support';

const tokenizer = smallTokenizer();
const chat = (line: number, ...turns: string[]): Row => ({
  kind: 'messages', line, messages: turns.map((content, i): Message => ({ role: i % 2 === 0 ? 'user' : 'assistant', content })),
});
const tokenize = (rows: readonly Row[], change: object = {}) => tokenizeRows('data.jsonl', rows, tokenizer, { max_length: 512, labels: 'assistant', ...change });
const learnt = (example: Example) => labelPieces(example, tokenizer).filter((piece) => piece.labelled).map((piece) => piece.text);

describe('labels', () => {
  it('are on the assistant\'s words and the end of its turn, in every turn', () => {
    const { examples } = tokenize([chat(1, 'hello there', 'hi you', 'and now?', 'bye')]);
    expect(learnt(examples[0]!)).toEqual(['hi you<|im_end|>', 'bye<|im_end|>']);
  });

  it('are on everything where all is to be learnt', () => {
    const { examples } = tokenize([chat(1, 'hello', 'hi')], { labels: 'all' });
    expect([...examples[0]!.labels]).toEqual([...examples[0]!.input_ids]);
  });

  it('are on the answer alone though the question holds the same words', () => {
    const { examples } = tokenize([chat(1, 'say yes', 'yes'), chat(2, 'yes', 'yes')]);
    expect(examples.map(learnt)).toEqual([['yes<|im_end|>'], ['yes<|im_end|>']]);
  });

  it('are on all of a text, and on its end', () => {
    const { examples } = tokenize([{ kind: 'text', line: 1, text: 'the old mill' }]);
    expect(learnt(examples[0]!)).toEqual(['the old mill<|eos|>']);
  });

  it('without a chat template are on the completion and the end', () => {
    const plain = smallTokenizer({ chat_template: null });
    const { examples } = tokenizeRows('f', [{ kind: 'completion', line: 1, prompt: 'a question', completion: ' an answer' }], plain, { max_length: 64, labels: 'assistant' });
    expect(labelPieces(examples[0]!, plain).filter((p) => p.labelled).map((p) => p.text).join('')).toBe(' an answer<|eos|>');
  });

  it('a chat without a template is a fault that says what to do', () => {
    const { problems } = tokenizeRows('f', [chat(3, 'a', 'b')], smallTokenizer({ chat_template: null }), { max_length: 64, labels: 'assistant' });
    expect(problems).toMatchObject([{ severity: 'error', place: { file: 'f', line: 3 } }]);
  });
});

describe('long rows', () => {
  it('are cut at their end', () => {
    const whole = tokenize([chat(1, 'hello', 'a long answer that goes on and on')]).examples[0]!;
    const { examples, lengths } = tokenize([chat(1, 'hello', 'a long answer that goes on and on')], { max_length: whole.input_ids.length - 4 });
    expect([...examples[0]!.input_ids]).toEqual([...whole.input_ids.subarray(0, -4)]);
    expect(lengths).toEqual([whole.input_ids.length]);
  });

  it('in which no label is left are all named, with their lengths', () => {
    const { examples, problems } = tokenize([chat(1, 'x '.repeat(200), 'y'), chat(2, 'a', 'b'), chat(3, 'z '.repeat(200), 'y')], { max_length: 64 });
    expect(examples).toHaveLength(1);
    expect(problems.filter((p) => p.severity === 'error').map((p) => p.place?.line)).toEqual([1, 3]);
    expect(problems[0]!.message).toMatch(/64/);
  });

  it('ids beyond the vocabulary are a fault', () => {
    const { problems } = tokenize([{ kind: 'tokenized', line: 9, input_ids: [1, 384], labels: [1, 384], attention_mask: [1, 1] }]);
    expect(problems).toMatchObject([{ severity: 'error', place: { line: 9 } }]);
  });
});

const example = (line: number, length: number): Example => ({ line, input_ids: new Int32Array(length).fill(line), labels: new Int32Array(length).fill(line) });
const sizesOf = fc.array(fc.integer({ min: 1, max: 30 }), { minLength: 1, maxLength: 60 });

describe('batches', () => {
  it('cover every example once an epoch, the same for the same seed, others in the next epoch', () => {
    fc.assert(fc.property(sizesOf, fc.integer({ min: 1, max: 7 }), fc.boolean(), fc.nat(1000), (sizes, batch_size, shuffle, seed) => {
      const examples = sizes.map((n, i) => example(i + 1, n));
      const of = (epoch: number) => batchesOf(examples, { batch_size, shuffle, seed, epoch }).map((batch) => batch.map((e) => e.line));
      expect(of(0)).toHaveLength(batchCount(examples.length, batch_size));
      expect(of(0).flat().sort((a, b) => a - b)).toEqual(examples.map((e) => e.line));
      expect(of(0)).toEqual(of(0));
      if (!shuffle) expect(of(3).flat()).toEqual(examples.map((e) => e.line));
    }));
    const many = Array.from({ length: 100 }, (_, i) => example(i + 1, 1 + (i % 9)));
    const order = (seed: number, epoch: number) => batchesOf(many, { batch_size: 4, shuffle: true, seed, epoch }).flat().map((e) => e.line).join();
    expect(new Set([order(1, 0), order(1, 1), order(2, 0)]).size).toBe(3);
  });

  it('are padded on the right, and a pad that is the end token hides no real one', () => {
    const eos = 2;
    const { batch, length, input_ids, labels, attention_mask } = collate([
      { line: 1, input_ids: Int32Array.of(5, 6, eos), labels: Int32Array.of(-100, 6, eos) }, { line: 2, input_ids: Int32Array.of(7, eos), labels: Int32Array.of(7, eos) },
    ], eos);
    expect([batch, length]).toEqual([2, 3]);
    expect([...input_ids]).toEqual([5, 6, 2, 7, 2, 2]);
    expect([...labels]).toEqual([-100, 6, 2, 7, 2, -100]);
    expect([...attention_mask]).toEqual([1, 1, 1, 1, 1, 0]);
  });
});

describe('the validation set', () => {
  it('is drawn by the seed, at least one and never all', () => {
    fc.assert(fc.property(fc.integer({ min: 2, max: 50 }), fc.double({ min: 0.001, max: 0.999, noNaN: true }), fc.nat(99), (n, share, seed) => {
      const items = Array.from({ length: n }, (_, i) => i);
      const { train, validation } = splitExamples(items, share, seed);
      expect([...train, ...validation].sort((a, b) => a - b)).toEqual(items);
      expect(Math.min(train.length, validation.length)).toBeGreaterThan(0);
      expect(splitExamples(items, share, seed)).toEqual({ train, validation });
    }));
  });
  it('is empty where nothing is to be held back, or nothing can be', () => {
    expect(splitExamples([1, 2, 3], 0, 1).validation).toEqual([]);
    expect(splitExamples([1], 0.5, 1).validation).toEqual([]);
  });
});
