import { ofSequences, ofSources, type Batch } from '../../data/examples/batch';
import { withBatchImages } from '../../data/examples/batchImages';
import type { TokensExample } from '../../data/examples/example';
import type { TokensImage } from '../../data/examples/rowImages';
import type { ChatImages } from '../../data/images/chatImages';
import { CHUNK_TOKENS } from '../../models/decoder';
import type { Decoder, LabelledInput, Model, Sequence } from '../../models/model';
import { yieldToEventLoop } from '../../models/ops/ops';
import { NO_LABEL } from '../../shared/task';

/** A text whose tokens from `from` on (at least 1) are measured. */
export interface MeasuredText {
  readonly ids: readonly number[];
  readonly from: number;
  /** What the encoder of an encoder-decoder reads. */
  readonly source?: readonly number[];
  /** Those whose vectors stand in place of tokens, and what reads them. */
  readonly images?: PlacedImages;
}

export interface PlacedImages {
  readonly placed: readonly TokensImage[];
  readonly reader: ChatImages;
}

const MOST_ROWS = 16;
const MOST_TOKENS = 2048;

/**
 * The sum of the log-probabilities of the measured tokens of each text, in nats. Texts of similar
 * length share a batch.
 */
export async function logProbabilitiesOf(
  model: Model,
  texts: readonly MeasuredText[],
  pad_id: number,
  onDone: (count: number) => void = () => undefined,
): Promise<Float64Array> {
  const sums = new Float64Array(texts.length);
  const lengths = texts.map(({ ids, source = [] }) => Math.max(ids.length, source.length));
  const order = [...texts.keys()].sort((a, b) => lengths[a]! - lengths[b]!);
  for (let start = 0; start < order.length;) {
    let end = start + 1;
    const fits = () =>
      end < order.length &&
      end - start < MOST_ROWS &&
      (end - start + 1) * lengths[order[end]!]! <= MOST_TOKENS;
    while (fits()) end++;
    const own = order.slice(start, end);
    const part = await model.logProbabilities(
      batchOf(
        own.map((i) => texts[i]!),
        pad_id,
      ),
    );
    own.forEach((i, at) => (sums[i] = part[at]!));
    onDone(end);
    start = end;
    await yieldToEventLoop();
  }
  return sums;
}

function batchOf(texts: readonly MeasuredText[], pad_id: number): LabelledInput {
  const sources = texts.flatMap(({ source }) => (source ? [Int32Array.from(source)] : []));
  const batch = withImagesOf(texts, ofSequences(texts.map(sequenceOf), pad_id, 0));
  return sources.length === 0 ? batch : { ...batch, source: ofSources(sources, pad_id, 0) };
}

function withImagesOf(texts: readonly MeasuredText[], batch: Batch): Batch {
  const reader = texts.find(({ images }) => images)?.images?.reader ?? null;
  const examples = texts.map((text): TokensExample => ({
    kind: 'tokens',
    line: 0,
    ...sequenceOf(text),
    ...(text.images && { images: text.images.placed }),
  }));
  return withBatchImages(batch, examples, reader);
}

const sequenceOf = ({ ids, from }: MeasuredText) => ({
  input_ids: Int32Array.from(ids),
  labels: Int32Array.from(ids, (id, i) => (i < from ? NO_LABEL : id)),
});

/** A step over the weights for each token takes about as long as reading so many tokens at once. */
const STEP_TOKENS = 16;

/**
 * Whether texts with the same beginning are measured sooner by reading it once: where they end soon
 * after it, as the choices of a question do.
 */
export function isSharedSooner(texts: readonly MeasuredText[]): boolean {
  const lengths = texts.map(({ ids }) => ids.length);
  const shared = sharedLength(texts);
  const steps = Math.max(...lengths) - shared - 1;
  return shared + STEP_TOKENS * steps < lengths.reduce((a, b) => a + b, 0);
}

/** Tokens at the beginning that all texts have, of which none is measured. */
function sharedLength(texts: readonly MeasuredText[]): number {
  const [first] = texts;
  let length = 0;
  const most = Math.min(...texts.map(({ from }) => from));
  while (length < most && texts.every(({ ids }) => ids[length] === first!.ids[length])) length++;
  return length;
}

/** As `logProbabilitiesOf`, of texts with the same beginning, which is read once. */
export async function logProbabilitiesAfter(
  decoder: Decoder,
  texts: readonly MeasuredText[],
): Promise<Float64Array> {
  const sums = new Float64Array(texts.length);
  const shared = sharedLength(texts);
  const prompt = decoder.open();
  const copies: Sequence[] = [];
  const add = (i: number, at: number, logits: Float32Array) => {
    const { ids, from } = texts[i]!;
    if (at >= from) sums[i] = sums[i]! + logProbability(logits, ids[at]!);
  };
  try {
    const first = await readPrompt(decoder, prompt, texts[0]!.ids.slice(0, shared));
    texts.forEach((_, i) => add(i, shared, first));
    const longer = [...texts.keys()].filter((i) => texts[i]!.ids.length > shared + 1);
    for (const i of longer) copies[i] = decoder.copy(prompt, shared);
    for (let at = shared + 1; ; at++) {
      const going = longer.filter((i) => texts[i]!.ids.length > at);
      if (going.length === 0) return sums;
      const logits = await decoder.step(
        going.map((i) => copies[i]!),
        going.map((i) => texts[i]!.ids[at - 1]!),
      );
      going.forEach((i, order) => add(i, at, logits[order]!.logits));
      await yieldToEventLoop();
    }
  } finally {
    for (const sequence of [prompt, ...copies.filter(Boolean)]) decoder.close(sequence);
  }
}

async function readPrompt(
  decoder: Decoder,
  sequence: Sequence,
  ids: readonly number[],
): Promise<Float32Array> {
  for (let start = 0; ; start += CHUNK_TOKENS) {
    const isLast = start + CHUNK_TOKENS >= ids.length;
    const chunk = Int32Array.from(ids.slice(start, start + CHUNK_TOKENS));
    const logits = await decoder.read(sequence, chunk, { isLast });
    if (logits instanceof Float32Array) return logits;
    await yieldToEventLoop();
  }
}

function logProbability(logits: Float32Array, id: number): number {
  let largest = -Infinity;
  for (const z of logits) if (z > largest) largest = z;
  let sum = 0;
  for (const z of logits) sum += Math.exp(z - largest);
  return logits[id]! - largest - Math.log(sum);
}
