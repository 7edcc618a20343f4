import { formatSize } from '../../common/formatSize';
import { availableMemory } from '../../common/system';
import { rowPositions } from '../../data/examples/rowImages';
import { createTokenizer } from '../../data/tokenizer/createTokenizer';
import { areFinite } from '../../formats/checkFinite';
import { openBase } from '../../formats/openBase';
import { imageLengthOf, positionsOf } from '../../formats/architecture/positions';
import { modelSize } from '../../formats/architecture/size';
import type { PatchEmbeddingSpec, Spec } from '../../formats/architecture/spec';
import type { BaseModel } from '../../formats/baseModel';
import type { Adapter } from '../../lora/adapter';
import { estimateLoaded } from '../../lora/memory';
import { loadModel } from '../../models/loadModel';
import type { Ops } from '../../models/ops/ops';
import type { ImagesInput, ModelInput } from '../../models/model';
import { LoraError } from '../../shared/errors';
import { createRandom } from '../../shared/random';
import { EMPTY_ADAPTER } from '../model/backend';
import { argmaxOfRow } from '../tasks/scores';
import type { Parity } from './certificate';

/** Different kinds of text: a question, code, numbers, other scripts. */
const PROMPTS = [
  'What is the capital of France, and why do people like it?',
  'def add(a, b):\n    return a + b\n',
  '3.14159 x 2 = 6.28318; 17 + 25 = 42',
  'Größe, naïve, Привет, 你好, こんにちは',
  'The quick brown fox jumps over the lazy dog.',
];

/** The number of random tokens that replace a prompt if the base has no tokenizer. */
const RANDOM_PROMPT_LENGTH = 12;

interface ParityOptions {
  readonly ops: () => Promise<Ops>;
  readonly warn: (message: string) => void;
  readonly onProgress: (fraction: number) => void;
}

/**
 * Compares base + adapters with the merged model on a few prompts; an image model on noise. Warns
 * and returns null if there is not enough memory.
 */
export async function measureParity(
  base: BaseModel,
  adapters: readonly Adapter[],
  mergedPath: string,
  { ops: createOps, warn, onProgress }: ParityOptions,
): Promise<Parity | null> {
  const needed = estimateLoaded(modelSize(base));
  if (needed > availableMemory()) {
    warn(`Parity was not measured: the model needs ${formatSize(needed)} of memory in f32.`);
    return null;
  }
  onProgress(0);
  const ops = await createOps();
  const inputs = [...(await parityInputs(base)), ...noiseInChat(base.spec, adapters)];
  const expected = await logitsOf(base, adapters, inputs, ops);
  const merged = await openBase(mergedPath, { task: base.spec.task });
  try {
    const actual = await logitsOf(merged, [], inputs, ops);
    onProgress(1);
    return compareLogits(expected, actual, inputs);
  } finally {
    await merged.close();
  }
}

async function parityInputs(base: BaseModel): Promise<ModelInput[]> {
  const { embedding } = base.spec;
  const random = createRandom(1, 'probe');
  if (embedding.kind === 'patches') {
    return [noiseImage(embedding, random)];
  }
  const positions = positionsOf(base.spec);
  const images = comparedImage(base.spec, random);
  return (await promptIds(base, random))
    .map((ids) => ids.slice(0, positions))
    .filter((ids) => ids.length > 0)
    .map((ids) => ({
      batch: 1,
      length: ids.length,
      input_ids: Int32Array.from(ids),
      attention_mask: new Int32Array(ids.length).fill(1),
      ...(images && { images }),
    }))
    .map((input) => asAnswer(input, base.spec));
}

/** A prompt that an encoder reads, and whose start its decoder continues. */
function asAnswer(input: ModelInput, { source }: Spec): ModelInput {
  if (!source) return input;
  const input_ids = Int32Array.of(source.start_id, ...input.input_ids.subarray(1));
  return { ...input, input_ids, source: input };
}

/** Noise among tokens, where an adapter changes the vision encoder. */
function noiseInChat({ vision, vocab_size }: Spec, adapters: readonly Adapter[]): ModelInput[] {
  const isWithin = (name: string) => vision && name.startsWith(`${vision.path}.`);
  const isChanged = adapters.some(
    ({ modules, trained }) =>
      modules.some((m) => isWithin(m.path)) || trained.some(({ name }) => isWithin(name)),
  );
  if (!vision || !isChanged) return [];
  const random = createRandom(1, 'probe');
  const side = NOISE_TOKENS * vision.merge;
  const placed = { at: 1, tokens: NOISE_TOKENS ** 2, grid: { height: side, width: side } };
  const length = placed.tokens + 2;
  const { times, heights, widths } = rowPositions(length, [placed]);
  const samples = new Float32Array(side ** 2 * vision.patches.in_features).map(
    () => 2 * random() - 1,
  );
  const word = () => Math.floor(random() * Math.min(vocab_size, vision.image_token));
  return [
    {
      batch: 1,
      length,
      input_ids: new Int32Array(length).fill(vision.image_token, 1, -1).map((id) => id || word()),
      attention_mask: new Int32Array(length).fill(1),
      position_ids: times,
      spatial_ids: { heights, widths },
      placed_images: [
        {
          at: 1,
          grid: placed.grid,
          key: () => Promise.resolve('noise'),
          patches: () => Promise.resolve(samples),
        },
      ],
    },
  ];
}

/** The side of the noise among tokens. */
const NOISE_TOKENS = 4;

/** An image that a model for images and texts compares each text with. */
function comparedImage({ head }: Spec, random: () => number): ImagesInput | null {
  if (head.kind !== 'contrastive' || head.images.embedding.kind !== 'patches') return null;
  const { batch, length, pixel_values } = noiseImage(head.images.embedding, random);
  return { batch, length, pixel_values };
}

/** The prompts' tokens; random ones if the base has no tokenizer. */
async function promptIds(base: BaseModel, random: () => number): Promise<readonly number[][]> {
  const tokenizer = await base.readTokenizer().then(createTokenizer, () => null);
  if (tokenizer) {
    return PROMPTS.map((prompt) => tokenizer.encode(prompt));
  }
  const randomId = () => Math.floor(random() * base.spec.vocab_size);
  return PROMPTS.map(() => Array.from({ length: RANDOM_PROMPT_LENGTH }, randomId));
}

function noiseImage(embedding: PatchEmbeddingSpec, random: () => number): ModelInput & ImagesInput {
  const { channels, image_size } = embedding;
  const [height, width] = image_size;
  const length = imageLengthOf(embedding);
  return {
    batch: 1,
    length,
    input_ids: new Int32Array(0),
    attention_mask: new Int32Array(length).fill(1),
    pixel_values: Float32Array.from({ length: channels * height * width }, () => 2 * random() - 1),
  };
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
    const logits: Float32Array[] = [];
    for (const input of inputs) {
      if (input.placed_images) await model.loadImages();
      logits.push(await model.logits(input));
    }
    return logits;
  } finally {
    model.dispose();
  }
}

/** How far the logits of a merged model are from those of base + adapters. @throws LoraError */
export function compareLogits(
  expected: readonly Float32Array[],
  actual: readonly Float32Array[],
  inputs: readonly Pick<ModelInput, 'length'>[],
): Parity {
  checkLogits(expected, 'base with its adapters');
  checkLogits(actual, 'merged model');
  let largest_gap = 0;
  let largest_logit = 0;
  let agreeing = 0;
  let positions = 0;
  for (const [n, want] of expected.entries()) {
    const have = actual[n]!;
    for (let i = 0; i < want.length; i++) {
      largest_gap = Math.max(largest_gap, Math.abs(want[i]! - have[i]!));
      largest_logit = Math.max(largest_logit, Math.abs(want[i]!));
    }
    const rows = rowsIn(want, inputs[n]!.length);
    const width = want.length / rows;
    for (let row = 0; row < rows; row++) {
      positions++;
      if (argmaxOfRow(want, row, width) === argmaxOfRow(have, row, width)) {
        agreeing++;
      }
    }
  }
  const top1_agreement = agreeing / positions;
  return { prompts: expected.length, largest_gap, largest_logit, top1_agreement };
}

/** @throws LoraError('adapter') when one is not finite. */
function checkLogits(logits: readonly Float32Array[], model: string): void {
  if (logits.every(areFinite)) {
    return;
  }
  throw new LoraError('adapter', `The ${model} computes logits that are not finite.`, {
    fix: 'Check the adapter and its scale, and that the base itself generates text.',
  });
}

/** One row of logits per token, or a single row for the whole input. */
function rowsIn(logits: Float32Array, tokens: number): number {
  const isPerToken = logits.length % tokens === 0 && logits.length / tokens > 1;
  return isPerToken ? tokens : 1;
}
