import { readFileSync } from 'node:fs';
import { beforeAll, expect, it } from 'vitest';
import { dataToolsOf } from '../../src/data/dataset/dataTools';
import { rowImagesOf } from '../../src/data/dataset/prepare';
import type { Message } from '../../src/data/chat/chat';
import { BatchScheduler } from '../../src/engine/serve/batchScheduler';
import { messagesOf } from '../../src/engine/serve/http/messages';
import { chatTokens, stopIds } from '../../src/engine/model/answer';
import type { Tokenizer } from '../../src/data/tokenizer/tokenizer';
import type { RowImages } from '../../src/data/examples/rowImages';
import { adapterBaseOf } from '../../src/formats/peft/againstBase';
import { readPeftAdapter } from '../../src/formats/peft/read';
import { loadModel } from '../../src/models/loadModel';
import type { Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { atImages, withImageModel } from '../support/chatImages';
import { readJson, tensorFlowOps, withBase } from '../support/models';

interface Expected {
  readonly answers: readonly {
    readonly prompt_ids: readonly number[];
    readonly ids: readonly number[];
  }[];
}

let ops: TensorFlowOps;
let tokenizer: Tokenizer;
let images: RowImages;
const expected = readJson('qwen3-vl-images', 'expected.json') as Expected;
beforeAll(async () => {
  ops = await tensorFlowOps();
  const tools = await withBase(atImages('base'), dataToolsOf);
  tokenizer = tools.tokenizer!;
  images = rowImagesOf('', tools);
});

/** The messages of a row but the last, with images as OpenAI's clients send them. */
const rows = readFileSync(atImages('chats', 'rows.jsonl'), 'utf8').trim().split('\n');
const requestOf = (row: number) => {
  const { messages } = JSON.parse(rows[row]!) as { messages: Message[] };
  return messages.slice(0, -1).map(({ role, content = '' }) => ({
    role,
    content:
      typeof content === 'string'
        ? content
        : content.map((part) => (part.type === 'image' ? linkOf(part.image) : part)),
  }));
};

const linkOf = (file: string) => {
  const data = readFileSync(atImages('chats', file)).toString('base64');
  return { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } };
};

const LIMITS = { sequences: 4, waiting: 8, kept_bytes: 1 << 24 };

const schedulerFor = (model: Model) =>
  new BatchScheduler({ mixed: () => Promise.resolve({ model }) }, LIMITS);

async function answer(scheduler: BatchScheduler, messages: unknown, max_new_tokens = 12) {
  const ids: number[] = [];
  const prompt = chatTokens(tokenizer, { messages: messagesOf(messages) }, images);
  const end = await scheduler.generate({
    ...prompt,
    mix: [],
    stop_ids: stopIds(tokenizer),
    max_new_tokens,
    sampling: { temperature: 0, seed: 0 },
    constraint: null,
    top_logprobs: null,
    signal: new AbortController().signal,
    onToken: (id) => {
      ids.push(id);
      return true;
    },
  });
  return { ids, prompt_ids: prompt.input_ids, cached: end.cached_tokens };
}

it('answers chats with images as PEFT does, several at once and beside a text', async () => {
  const before = ops.live();
  await withImageModel(
    atImages('adapter'),
    async (model) => {
      const alone = schedulerFor(model);
      const text = await answer(alone, requestOf(2));
      await alone.close();
      const scheduler = schedulerFor(model);
      const all = await Promise.all([0, 1, 2, 1].map((row) => answer(scheduler, requestOf(row))));
      for (const [i, row] of [0, 1, null, 1].entries()) {
        const { ids, prompt_ids } = all[i]!;
        if (row === null) expect(ids).toEqual(text.ids);
        else expect({ ids, prompt_ids }).toEqual(expected.answers[row]);
      }
      await scheduler.close();
    },
    { ops },
  );
  expect(ops.live()).toBe(before);
});

it('keeps nothing of a prompt whose images may be others', async () => {
  await withImageModel(
    atImages('adapter'),
    async (model) => {
      const scheduler = schedulerFor(model);
      for (const row of [0, 0]) {
        const { ids, cached } = await answer(scheduler, requestOf(row));
        expect({ ids, cached }).toEqual({ ids: expected.answers[0]!.ids, cached: 0 });
      }
      const one = await answer(scheduler, requestOf(2));
      const two = await answer(scheduler, requestOf(2));
      expect([one.cached, two.cached > 0]).toEqual([0, true]);
      expect(two.ids).toEqual(one.ids);
      await scheduler.close();
    },
    { ops },
  );
});

it('loads the tower for the first image that it reads', async () => {
  await withBase(atImages('base'), async (base) => {
    const { adapter } = await readPeftAdapter(atImages('adapter'), adapterBaseOf(base));
    const model = await loadModel(base, adapter, { ops });
    const scheduler = schedulerFor(model);
    await answer(scheduler, requestOf(2));
    const text = ops.live();
    const { ids } = await answer(scheduler, requestOf(0));
    expect(ids).toEqual(expected.answers[0]!.ids);
    expect(ops.live()).toBeGreaterThan(text);
    await scheduler.close();
    model.dispose();
  });
});
