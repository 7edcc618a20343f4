import { createTokenizer } from '../../data/tokenizer/createTokenizer';
import { openBase } from '../../formats/openBase';
import { positionsOf } from '../../formats/architecture/positions';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { loadModel } from '../../models/loadModel';
import type { Ops } from '../../models/ops/ops';
import type { ModelInput } from '../../models/model';
import { createRandom } from '../../shared/random';
import { EMPTY_ADAPTER } from '../model/backend';
import type { Parity } from './certificate';

/** Several kinds of text: a question, code, numbers, other scripts. */
const PROMPTS = [
  'What is the capital of France, and why do people like it?',
  'def add(a, b):\n    return a + b\n',
  '3.14159 x 2 = 6.28318; 17 + 25 = 42',
  'Größe, naïve, Привет, 你好, こんにちは',
  'The quick brown fox jumps over the lazy dog.',
];

/**
 * Compares base + adapters with the merged model on a few prompts (of an image model, on noise).
 */
export async function parityOf(
  base: BaseModel,
  adapters: readonly Adapter[],
  scale: number,
  mergedPath: string,
  ops: Ops,
): Promise<Parity> {
  const inputs = await probesOf(base);
  const scaled = adapters.map((adapter) => ({
    ...adapter,
    modules: adapter.modules.map((m) => ({ ...m, scaling: m.scaling * scale })),
  }));
  const want = await logitsOf(base, scaled, inputs, ops);
  const merged = await openBase(mergedPath, { task: base.spec.task });
  try {
    const have = await logitsOf(merged, [], inputs, ops);
    return compared(want, have, inputs);
  } finally {
    await merged.close();
  }
}

async function probesOf(base: BaseModel): Promise<ModelInput[]> {
  const { embedding, vocab_size } = base.spec;
  if (embedding.kind === 'patches') {
    const [height, width] = embedding.image_size;
    const length =
      Math.floor(height / embedding.patch_size[0]) * Math.floor(width / embedding.patch_size[1]) +
      1;
    const random = createRandom(1, 'probe');
    return [
      {
        batch: 1,
        length,
        input_ids: new Int32Array(0),
        attention_mask: new Int32Array(length).fill(1),
        pixel_values: Float32Array.from(
          { length: embedding.channels * height * width },
          () => 2 * random() - 1,
        ),
      },
    ];
  }
  const tokenizer = await base.readTokenizer().then(
    (files) => createTokenizer(files),
    () => null,
  );
  const random = createRandom(1, 'probe');
  const ids = tokenizer
    ? PROMPTS.map((prompt) => tokenizer.encode(prompt))
    : PROMPTS.map(() => Array.from({ length: 12 }, () => Math.floor(random() * vocab_size)));
  return ids
    .map((own) => own.slice(0, positionsOf(base.spec)))
    .filter((own) => own.length > 0)
    .map((own) => ({
      batch: 1,
      length: own.length,
      input_ids: Int32Array.from(own),
      attention_mask: new Int32Array(own.length).fill(1),
    }));
}

async function logitsOf(
  base: BaseModel,
  adapters: readonly Adapter[],
  inputs: readonly ModelInput[],
  ops: Ops,
): Promise<Float32Array[]> {
  const model = await loadModel(base, adapters.at(-1) ?? EMPTY_ADAPTER, {
    ops,
    below: adapters.slice(0, -1),
  });
  try {
    const all: Float32Array[] = [];
    for (const input of inputs) all.push(await model.logits(input));
    return all;
  } finally {
    model.dispose();
  }
}

function compared(
  want: readonly Float32Array[],
  have: readonly Float32Array[],
  inputs: readonly ModelInput[],
): Parity {
  let [largest_gap, largest_logit, same, positions] = [0, 0, 0, 0];
  for (const [n, own] of want.entries()) {
    const other = have[n]!;
    const rows =
      own.length % inputs[n]!.length === 0 && own.length / inputs[n]!.length > 1
        ? inputs[n]!.length
        : 1;
    const width = own.length / rows;
    for (let i = 0; i < own.length; i++) {
      largest_gap = Math.max(largest_gap, Math.abs(own[i]! - other[i]!));
      largest_logit = Math.max(largest_logit, Math.abs(own[i]!));
    }
    for (let row = 0; row < rows; row++) {
      positions++;
      if (top(own, row, width) === top(other, row, width)) same++;
    }
  }
  return { prompts: want.length, largest_gap, largest_logit, top1_agreement: same / positions };
}

function top(logits: Float32Array, row: number, width: number): number {
  let best = row * width;
  for (let i = best; i < (row + 1) * width; i++) if (logits[i]! > logits[best]!) best = i;
  return best - row * width;
}
