import { describe, expect, it } from 'vitest';
import { paddingId } from '../../../../src/data/examples/batch';
import { encodeRow } from '../../../../src/data/examples/encodeRow';
import type { TextRow } from '../../../../src/data/rows/row';
import { promptIds } from '../../../../src/engine/model/answer';
import { smallTokenizer, smallTokenizerFiles } from '../../../support/datasets';
import { tokenizeRows, tokenizeTaskRows } from '../../../support/scannedRows';

const ADDED = smallTokenizerFiles().tokenizer['added_tokens'] as readonly { content: string }[];
const beyond = smallTokenizer({
  chat_template: null,
  tokenizer: { added_tokens: [...ADDED, { ...ADDED[0]!, id: 384, content: '<|new|>' }] },
  config: { pad_token: '<|new|>' },
});
const text = (line: number, value: string): TextRow => ({ kind: 'text', line, text: value });

describe("a token beyond the embedding's rows", () => {
  const fault = /^The token "<\|new\|>" \(id 384\) is beyond the 384 rows of the model's embedding/;

  it('is an error by line, in texts and in labelled texts', () => {
    const { problems, examples } = tokenizeRows('f', [text(1, 'ab'), text(2, 'a<|new|>b')], {
      tokenizer: beyond,
      max_length: 64,
      labels: 'assistant',
      vocab_size: 384,
    });
    expect(examples).toHaveLength(1);
    expect(problems).toMatchObject([
      { severity: 'error', place: { line: 2 }, message: expect.stringMatching(fault) as unknown },
    ]);
    const labelled = tokenizeTaskRows(
      'f',
      [{ kind: 'labelled', line: 3, text: 'a<|new|>', text_pair: null, label: 'x' }],
      {
        tokenizer: beyond,
        max_length: 64,
        vocab_size: 384,
        labels: { problem_type: 'single_label_classification', names: ['x'] },
        has_types: false,
        image_length: 1,
      },
    );
    expect(labelled.problems).toMatchObject([
      { place: { line: 3 }, message: expect.stringMatching(fault) as unknown },
    ]);
  });

  it('is not padded with', () => {
    expect(beyond.pad_token_id).toBe(384);
    expect(paddingId(beyond, 384)).toBe(beyond.eos_token_id);
    expect(paddingId(beyond, 385)).toBe(384);
    expect(paddingId(null)).toBe(0);
  });
});

describe('a text that begins with the tokens that its tokenizer adds', () => {
  const framed = smallTokenizer({
    chat_template: null,
    tokenizer: {
      post_processor: {
        type: 'TemplateProcessing',
        single: [
          { SpecialToken: { id: '<|bos|>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
        ],
        pair: [
          { SpecialToken: { id: '<|bos|>', type_id: 0 } },
          { Sequence: { id: 'A', type_id: 0 } },
          { Sequence: { id: 'B', type_id: 1 } },
        ],
        special_tokens: { '<|bos|>': { id: '<|bos|>', ids: [1], tokens: ['<|bos|>'] } },
      },
    },
  });

  it('has them once, in rows and prompts, and the row says so', () => {
    expect(framed.encode('<|bos|>ab').slice(0, 2)).toEqual([1, 1]);
    const plain = encodeRow(text(1, 'ab'), framed);
    const begun = encodeRow(text(1, '<|bos|>ab'), framed);
    expect(plain.ids[0]).toBe(1);
    expect(begun.ids).toEqual([...promptIds(framed, '<|bos|>ab', false), framed.eos_token_id]);
    expect(begun.ids.filter((id) => id === 1)).toEqual([1]);
    expect(plain.findings).toEqual([]);
    expect(begun.findings).toEqual([
      'The text begins with "<|bos|>" already: the tokenizer does not add it again.',
    ]);
    const completion = { kind: 'completion', line: 1, completion: ' c' } as const;
    const once = encodeRow({ ...completion, prompt: '<|bos|>ab' }, framed);
    expect(once.ids.filter((id) => id === 1)).toEqual([1]);
    expect(framed.decode(once.ids.slice(once.labelled[0]!.start))).toBe(' c<|eos|>');
  });

  it('is refused as a prompt where it holds half of a surrogate pair', () => {
    expect(() => promptIds(framed, 'a\ud800', false)).toThrow(/half of a surrogate pair/);
  });
});
