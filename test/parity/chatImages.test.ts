import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import { dataToolsOf } from '../../src/data/dataset/dataTools';
import { openChatImages, type ChatImages } from '../../src/data/images/chatImages';
import type { Message } from '../../src/data/chat/chat';
import { promptImages, type PromptImages } from '../../src/data/examples/batchImages';
import { withImages } from '../../src/data/examples/rowImages';
import { answerPrompt } from '../../src/engine/model/answer';
import { loadModel, type LoadOptions } from '../../src/models/loadModel';
import type { Evaluation, LabelledInput, Model } from '../../src/models/model';
import type { TensorFlowOps } from '../../src/models/ops/tensorFlowOps';
import { loadVision } from '../../src/models/vision/loadVision';
import { WeightLoader } from '../../src/models/weightLoader';
import { Adapters } from '../../src/models/adapters';
import { atImages as at, chatBatch, withImageModel } from '../support/chatImages';
import {
  gap,
  largest,
  NO_ADAPTER,
  readFloats,
  readJson,
  tensorFlowOps,
  visible,
  withBase,
  type Floats,
} from '../support/models';
import { temp } from '../support/temp';

const FOLDER = 'qwen3-vl-images';

type Rows = readonly (readonly number[])[];

interface Expected {
  readonly base_loss: number;
  readonly adapter_loss: number;
  readonly embedding_loss: number;
  readonly files: readonly (readonly string[])[];
  readonly grids: readonly Rows[];
  readonly inputs: Readonly<Record<'input_ids' | 'attention_mask' | 'labels', Rows>>;
  readonly answers: readonly {
    readonly prompt_ids: readonly number[];
    readonly ids: readonly number[];
  }[];
}

let ops: TensorFlowOps;
let want: Floats;
let images: ChatImages;
const expected = readJson(FOLDER, 'expected.json') as Expected;

beforeAll(async () => {
  ops = await tensorFlowOps();
  want = await readFloats(FOLDER, 'expected.safetensors');
  images = (await withBase(at('base'), openChatImages))!;
});

const close = (have: Float32Array, values: Float32Array, tolerance: number, name?: string) => {
  expect(have.length, name).toBe(values.length);
  expect(gap(have, values), name).toBeLessThanOrEqual(tolerance * Math.max(1e-2, largest(values)));
};

/** Rows of a batch without what it is padded with. */
const rowsOf = (numbers: Int32Array, { batch: rows, length }: LabelledInput) =>
  Array.from({ length: rows }, (_, row) =>
    [...numbers.subarray(row * length, (row + 1) * length)].slice(
      0,
      expected.inputs.attention_mask[row]!.reduce((sum, n) => sum + n, 0),
    ),
  );

const unpadded = (rows: Rows) =>
  rows.map((row, i) => row.filter((_, t) => expected.inputs.attention_mask[i]![t] === 1));

type Part = Readonly<Record<'type' | 'text' | 'image', string>>;

/** A row whose parts are changed, and the images of them. */
function withParts(row: string, change: (image: string) => object) {
  const { messages } = JSON.parse(row) as { messages: { content: string | Part[] }[] };
  const images: string[] = [];
  const changed = messages.map((message) => ({
    ...message,
    content:
      typeof message.content === 'string'
        ? message.content
        : message.content.map((part) => {
            if (part.type !== 'image') return part;
            images.push(part.image);
            return change(part.image);
          }),
  }));
  return { messages: changed, images };
}

/** As TRL's datasets are. */
const asColumns = (row: string) => JSON.stringify(withParts(row, () => ({ type: 'image' })));

/** As OpenAI's requests are. */
const asLinks = (row: string) =>
  JSON.stringify({
    messages: withParts(row, (image) => {
      const data = readFileSync(at('chats', image)).toString('base64');
      return { type: 'image_url', image_url: { url: `data:image/png;base64,${data}` } };
    }).messages,
  });

describe('chats with images as a training reads them', () => {
  it('have the ids, labels and positions of transformers', async () => {
    const input = await chatBatch();
    expect(rowsOf(input.input_ids, input)).toEqual(unpadded(expected.inputs.input_ids));
    expect(rowsOf(input.labels as Int32Array, input)).toEqual(unpadded(expected.inputs.labels));
    const positions = Int32Array.from(want.get('position_ids')!);
    const [rows, length] = [input.batch, expected.inputs.labels[0]!.length];
    const axis = (i: number) =>
      unpadded(
        Array.from({ length: rows }, (_, row) => [
          ...positions.subarray((i * rows + row) * length, (i * rows + row + 1) * length),
        ]),
      );
    expect(rowsOf(input.position_ids!, input)).toEqual(axis(0));
    expect(rowsOf(input.spatial_ids!.heights, input)).toEqual(axis(1));
    expect(rowsOf(input.spatial_ids!.widths, input)).toEqual(axis(2));
  });

  it('are the same batch where images are columns, or within the rows', async () => {
    const folder = temp();
    cpSync(at('chats'), folder, { recursive: true });
    const rows = readFileSync(at('chats', 'rows.jsonl'), 'utf8').trim().split('\n');
    const own = await chatBatch();
    const samplesOf = (input: LabelledInput) =>
      Promise.all((input.placed_images ?? []).map(({ patches }) => patches()));
    const samples = await samplesOf(own);
    for (const change of [asColumns, asLinks]) {
      const dataset = path.join(folder, `${change.name}.jsonl`);
      writeFileSync(dataset, rows.map((row) => `${change(row)}\n`).join(''));
      const input = await chatBatch(undefined, dataset);
      for (const key of ['input_ids', 'labels', 'position_ids', 'attention_mask'] as const)
        expect(input[key]).toEqual(own[key]);
      expect(await samplesOf(input)).toEqual(samples);
    }
  });

  it('have the grids and samples of the image processor', async () => {
    const parts: number[] = [];
    for (const [row, names] of expected.files.entries())
      for (const [i, name] of names.entries()) {
        const grid = images.gridOf(at('chats', name));
        expect([1, grid.height, grid.width]).toEqual(expected.grids[row]![i]);
        parts.push(...(await images.samples(at('chats', name), grid)));
      }
    const samples = want.get('pixel_values')!;
    expect(gap(Float32Array.from(parts), samples)).toBeLessThanOrEqual(3e-7);
    expect(parts.length).toBe(samples.length);
  });
});

describe('the tower for images', () => {
  it('has the vectors of transformers, of each level', async () => {
    const before = ops.live();
    const input = await chatBatch();
    await withBase(at('base'), async (base) => {
      const context = { ops, adapters: new Adapters(NO_ADAPTER, []) };
      const loader = new WeightLoader(context, base, {
        bf16: false,
        quantized: false,
        full: false,
      });
      const tower = await loadVision(loader, base.spec.vision!);
      const { vectors, deepstack } = await tower.vectorsOf(input.placed_images!);
      close(vectors, want.get('image_embeds')!, 2e-6);
      expect(deepstack).toHaveLength(2);
      for (const [i, own] of deepstack.entries()) close(own, want.get(`deepstack.${i}`)!, 2e-6);
      loader.dispose();
    });
    expect(ops.live()).toBe(before);
  });
});

/** Loads the model with one of the fixture's adapters and its vision encoder. */
const withModel = (
  name: string | null,
  use: (model: Model) => Promise<void>,
  options: Partial<LoadOptions> = {},
) => withImageModel(name === null ? null : at(name), use, { ops, ...options });

const expectLoss = ({ loss_sum, labelled }: Evaluation, loss: number) =>
  expect(Math.abs(loss_sum / labelled - loss)).toBeLessThanOrEqual(1e-5 * loss);

/** Loss and gradients of an adapter; all tensors are freed. */
async function expectTrained(name: string, loss: number, prefix: string): Promise<void> {
  const before = ops.live();
  const input = await chatBatch();
  await withModel(name, async (model) => {
    const loaded = ops.live();
    expectLoss(await model.evaluate(input), loss);
    const trained = await model.accumulate(input, 0);
    expectLoss(trained, loss);
    const gradients = await model.gradients(trained.labelled);
    const named = [...want].filter(([key]) => key.startsWith(prefix));
    expect(gradients.size).toBe(named.length);
    for (const [key, data] of named) {
      const own = key.slice(key.indexOf('base_model')).replace('.model.language_model.', '.model.');
      close(gradients.get(own)!.data, data, 1e-4, own);
    }
    await model.step(trained.labelled, STEP);
    expect(ops.live()).toBe(loaded);
  });
  expect(ops.live()).toBe(before);
}

const STEP = { learning_rate: 1e-3, weight_decay: 0.01, max_grad_norm: 1 };

describe('a model with images', () => {
  it("has the base's loss", () =>
    withModel(null, async (model) =>
      expectLoss(await model.evaluate(await chatBatch()), expected.base_loss),
    ));

  it("has PEFT's logits", () =>
    withModel('adapter', async (model) => {
      const input = await chatBatch();
      const logits = visible(await model.logits(input), input);
      const { input_ids, attention_mask } = expected.inputs;
      const mask = Int32Array.from(attention_mask.flat());
      const padded = { ...input, length: input_ids[0]!.length, attention_mask: mask };
      const right = visible(want.get('adapter.logits')!, padded);
      expect(logits.length).toBe(right.length);
      expect(gap(logits, right)).toBeLessThanOrEqual(5e-5 * Math.max(1, largest(right)));
    }));

  it("has PEFT's loss and gradients", () =>
    expectTrained('adapter', expected.adapter_loss, 'grad.'));

  it('has no gradient of the vectors that images stand in for', () =>
    expectTrained('embedding', expected.embedding_loss, 'embedding.grad.'));

  it('has the same gradients with layers that are recomputed', async () => {
    const input = await chatBatch();
    const flat: number[][] = [];
    for (const recomputed_layers of [0, 3])
      await withModel(
        'adapter',
        async (model) => {
          const { labelled } = await model.accumulate(input, 0);
          const gradients = await model.gradients(labelled);
          flat.push([...gradients.values()].flatMap(({ data }) => [...data]));
        },
        { recomputed_layers },
      );
    const [first, second] = flat.map((numbers) => Float32Array.from(numbers));
    expect(gap(first!, second!)).toBeLessThanOrEqual(1e-8);
  });

  it('refuses images before its tower is loaded, and leaves no tensor behind', async () => {
    const input = await chatBatch();
    await withBase(at('base'), async (base) => {
      const model = await loadModel(base, NO_ADAPTER, { ops });
      const loaded = ops.live();
      await expect(model.evaluate(input)).rejects.toThrow('vision encoder');
      expect(ops.live()).toBe(loaded);
      model.dispose();
    });
  });
});

describe('answers to chats with images', () => {
  const [first, second] = readFileSync(at('chats', 'rows.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => (JSON.parse(line) as { messages: Message[] }).messages);

  it("are PEFT's, token by token", () =>
    withModel('adapter', async (model) => {
      const tools = await withBase(at('base'), dataToolsOf);
      for (const [i, messages] of [first!, second!].entries()) {
        const { prompt_ids, ids } = expected.answers[i]!;
        const written: number[] = [];
        const generate: Model['generate'] = (asked, options) => {
          expect(asked).toEqual(prompt_ids);
          return model.generate(asked, {
            ...options,
            onToken: (id) => {
              written.push(id);
              return true;
            },
          });
        };
        await answerPrompt(
          Object.assign(Object.create(model) as Model, { generate }),
          tools.tokenizer!,
          { messages: messages.slice(0, -1) },
          {
            chat: true,
            max_new_tokens: ids.length,
            temperature: 0,
            seed: 0,
            images: { reader: images, folder: at('chats') },
          },
        );
        expect(written).toEqual(ids);
      }
    }));

  it('have the same logits when the prompt is read in parts', () =>
    withModel('adapter', async (model) => {
      const { prompt_ids } = expected.answers[1]!;
      const encoded = await promptOf(second!.slice(0, -1));
      expect(encoded.ids).toEqual(prompt_ids);
      const decoder = model.decoder();
      const logits: Float32Array[] = [];
      for (const size of [prompt_ids.length, 17]) {
        const sequence = decoder.open();
        for (let from = 0; from < prompt_ids.length; from += size) {
          const part = Int32Array.from(prompt_ids.slice(from, from + size));
          const isLast = from + size >= prompt_ids.length;
          const read = await decoder.read(sequence, part, { isLast, images: encoded.images });
          if (isLast) logits.push((read as Float32Array).slice());
        }
        const [next] = await decoder.step([sequence], [7]);
        logits.push(next!.logits.slice());
        decoder.close(sequence);
      }
      const [whole, after, inParts, afterParts] = logits;
      expect(gap(whole!, inParts!)).toBeLessThanOrEqual(2e-6);
      expect(gap(after!, afterParts!)).toBeLessThanOrEqual(2e-6);
      const all = await model.logits(inputOf([...prompt_ids, 7], encoded.images));
      const vocab = whole!.length;
      expect(gap(whole!, all.slice(-2 * vocab, -vocab))).toBeLessThanOrEqual(5e-6);
      expect(gap(after!, all.slice(-vocab))).toBeLessThanOrEqual(5e-6);
    }));
});

async function promptOf(messages: readonly Message[]) {
  const { tokenizer } = await withBase(at('base'), dataToolsOf);
  const text = tokenizer!.applyChatTemplate(messages, true);
  const plain = { ids: tokenizer!.encode(text, false), labelled: [], unlearnt: [], findings: [] };
  const encoded = withImages(plain, { messages }, { reader: images, folder: at('chats') });
  return {
    ids: encoded.ids,
    images: promptImages(encoded.ids.length, encoded.images!, images)!,
  };
}

/** A single row, whose last token follows the prompt. */
function inputOf(ids: readonly number[], { times, heights, widths, next, placed }: PromptImages) {
  const with1 = (own: Int32Array) => Int32Array.of(...own, next);
  return {
    batch: 1,
    length: ids.length,
    input_ids: Int32Array.from(ids),
    attention_mask: new Int32Array(ids.length).fill(1),
    position_ids: with1(times),
    spatial_ids: { heights: with1(heights), widths: with1(widths) },
    placed_images: placed,
  };
}
