import { beforeAll, describe, expect, it } from 'vitest';
import { collate } from '../../src/data/examples/batch';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { tokenizeRows } from '../support/scannedRows';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer';
import type { Message } from '../../src/data/chat/chat';
import { openBase } from '../../src/formats/openBase';
import { smollm2Path } from '../support/realModels';
import { readJson } from '../support/datasets';

interface Expected {
  readonly texts: readonly { readonly text: string; readonly ids: readonly number[] }[];
  readonly chats: readonly {
    readonly messages: readonly Message[];
    readonly add_generation_prompt: boolean;
    readonly text: string;
    readonly ids: readonly number[];
  }[];
}

interface Trajectory {
  readonly order: readonly (readonly number[])[];
  readonly examples: readonly (readonly Message[])[];
  readonly batches: Readonly<
    Record<'input_ids' | 'labels' | 'attention_mask', readonly (readonly (readonly number[])[])[]>
  >;
}

const expected = readJson('test/fixtures/real/smollm2/expected.json') as Expected;
const trajectory = readJson('test/fixtures/real/smollm2/train/trajectory.json') as Trajectory;

describe("the tokenizer of SmolLM2's GGUF file", () => {
  let tokenizer: Tokenizer;
  beforeAll(async () => {
    const base = await openBase(await smollm2Path());
    tokenizer = createTokenizer(await base.readTokenizer());
    await base.close();
  });

  it.each(expected.texts)('encodes $text like the reference', ({ text, ids }) => {
    expect(tokenizer.encode(text)).toEqual(ids);
    expect(tokenizer.decode(ids)).toBe(text);
  });

  it.each(expected.chats)(
    'renders and encodes chat $# like the reference',
    ({ messages, add_generation_prompt, text, ids }) => {
      expect(tokenizer.applyChatTemplate(messages, add_generation_prompt)).toBe(text);
      expect(tokenizer.encode(text, false)).toEqual(ids);
    },
  );

  it("builds the reference's training batches, with labels on answers and end tokens only", () => {
    const rows = trajectory.examples.map((messages, i) => ({
      kind: 'messages' as const,
      line: i + 1,
      messages,
    }));
    const { examples, problems } = tokenizeRows('examples', rows, {
      tokenizer,
      max_length: 512,
      labels: 'assistant',
    });
    expect(problems).toEqual([]);
    for (const [step, order] of trajectory.order.entries()) {
      const batch = collate(
        order.map((i) => examples[i]!),
        tokenizer.pad_token_id!,
      );
      for (const name of ['input_ids', 'labels', 'attention_mask'] as const) {
        const padding = { input_ids: tokenizer.pad_token_id, labels: -100, attention_mask: 0 }[
          name
        ];
        for (const [row, want] of trajectory.batches[name][step]!.entries()) {
          expect([...batch[name].subarray(row * batch.length, (row + 1) * batch.length)]).toEqual(
            want.slice(0, batch.length),
          );
          expect(new Set(want.slice(batch.length))).toEqual(
            want.length > batch.length ? new Set([padding]) : new Set(),
          );
        }
      }
    }
  });
});
