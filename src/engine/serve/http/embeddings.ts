import * as v from 'valibot';
import { contextOf } from '../../../formats/architecture/positions';
import type { Spec } from '../../../formats/architecture/spec';
import type { Model, ModelInput } from '../../../models/model';
import { yieldToEventLoop } from '../../../models/ops/ops';
import type { Tokenizer } from '../../../data/tokenizer/tokenizer';
import { promptIds } from '../../model/answer';
import type { ServedModels } from '../servedModels';
import { ApiError, badField } from './apiError';
import { knownFields } from './fields';
import { mixFor, type NamedModels } from './modelUse';
import type { RequestQueue } from './requestQueue';
import { isTokenIds, parseBody } from './requests';
import { readFields } from './settings';

/** What answers requests that need one pass, such as those for embeddings. */
export interface Encoding extends NamedModels {
  readonly models: Pick<ServedModels, 'checkMix' | 'purposeOf' | 'mixed'>;
  readonly queue: RequestQueue;
}

/** Texts of one request, as OpenAI has it. */
const MOST_INPUTS = 2048;
/** Tokens of one pass, the padding included. */
const PASS_TOKENS = 4096;

const Schema = v.object({
  model: v.string(),
  encoding_format: v.optional(v.picklist(['float', 'base64']), 'float'),
  dimensions: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
});

/** The answer to a request for embeddings. @throws ApiError, LoraError */
export async function embed(
  encoding: Encoding,
  body: string,
  signal: AbortSignal,
): Promise<object> {
  const fields = knownFields(parseBody(body).plain, [...Object.keys(Schema.entries), 'input']);
  const { model: name, encoding_format, dimensions } = readFields(Schema, fields);
  const inputs = inputsOf(fields['input']);
  const mix = mixFor(encoding, name, 'embedding');
  const { vectors, tokens, width } = await encoding.queue.run(async () => {
    const { model, tokenizer, base } = await encoding.models.mixed(mix);
    const { hidden_size } = base.spec;
    if (dimensions !== undefined && dimensions > hidden_size)
      throw badField('dimensions', `must be at most ${hidden_size}`);
    const texts = inputs.map((own) => idsOf(own, { tokenizer, spec: base.spec }));
    return {
      vectors: await vectorsOf(model, texts, signal),
      tokens: texts.reduce((sum, { length }) => sum + length, 0),
      width: hidden_size,
    };
  });
  return {
    object: 'list',
    model: name,
    data: vectors.map((own, index) => ({
      object: 'embedding',
      index,
      embedding: encoded(shortened(own, dimensions ?? width), encoding_format),
    })),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

type Input = string | readonly number[];

/** @throws ApiError where the client waits no more */
export function refuseGone(signal: AbortSignal): void {
  if (signal.aborted) throw new ApiError(499, 'The client is gone.');
}

/** A text, its tokens, or a list of either. */
function inputsOf(given: unknown): readonly Input[] {
  const list =
    Array.isArray(given) && typeof given[0] !== 'number' ? (given as unknown[]) : [given];
  if (list.length === 0 || list.length > MOST_INPUTS)
    throw badField('input', `must be a text, or up to ${MOST_INPUTS} of them`);
  return list.map((own) => {
    if (typeof own === 'string' && own !== '') return own;
    if (isTokenIds(own) && own.length > 0) return own;
    throw badField('input', 'must hold texts, none of them empty, or lists of token ids');
  });
}

function idsOf(
  input: Input,
  { tokenizer, spec }: { readonly tokenizer: Tokenizer; readonly spec: Spec },
): readonly number[] {
  const ids = typeof input === 'string' ? promptIds(tokenizer, input, false) : input;
  const outside = ids.find((id) => id >= spec.vocab_size);
  if (outside !== undefined)
    throw badField('input', `has the token id ${outside}, which the model lacks`);
  if (ids.length === 0) throw badField('input', 'has a text without tokens');
  const most = contextOf(spec);
  if (ids.length > most)
    throw badField(
      'input',
      `has a text of ${ids.length} tokens, but the model has positions for ${most}`,
    );
  return ids;
}

/** Embeddings of texts, those of similar length in one pass. */
async function vectorsOf(
  model: Model,
  texts: readonly (readonly number[])[],
  signal: AbortSignal,
): Promise<readonly Float32Array[]> {
  const order = [...texts.keys()].sort((a, b) => texts[a]!.length - texts[b]!.length);
  const vectors = new Array<Float32Array>(texts.length);
  while (order.length > 0) {
    refuseGone(signal);
    const longest = texts[order.at(-1)!]!.length;
    const rows = order.splice(-Math.max(1, Math.floor(PASS_TOKENS / longest)));
    const outputs = await model.logits(paddedInput(rows.map((row) => texts[row]!)));
    const width = outputs.length / rows.length;
    rows.forEach((row, i) => (vectors[row] = outputs.slice(i * width, (i + 1) * width)));
    await yieldToEventLoop();
  }
  return vectors;
}

/** Texts as one batch, padded on the right. */
function paddedInput(texts: readonly (readonly number[])[]): ModelInput {
  const length = Math.max(...texts.map((ids) => ids.length));
  const input_ids = new Int32Array(texts.length * length);
  const attention_mask = new Int32Array(texts.length * length);
  texts.forEach((ids, row) => {
    input_ids.set(ids, row * length);
    attention_mask.fill(1, row * length, row * length + ids.length);
  });
  return { batch: texts.length, length, input_ids, attention_mask };
}

/** The first numbers of a vector, at length 1, as Matryoshka models are used. */
function shortened(vector: Float32Array, dimensions: number): Float32Array {
  if (dimensions === vector.length) return vector;
  const first = vector.subarray(0, dimensions);
  const norm = Math.hypot(...first);
  return first.map((x) => x / Math.max(norm, 1e-12));
}

const encoded = (vector: Float32Array, format: 'float' | 'base64'): number[] | string =>
  format === 'float'
    ? [...vector]
    : Buffer.from(vector.buffer, vector.byteOffset, vector.byteLength).toString('base64');
