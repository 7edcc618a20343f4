import { randomBytes } from 'node:crypto';
import * as v from 'valibot';
import { dataToolsOf } from '../../../data/dataset/dataTools';
import { contextOf } from '../../../formats/architecture/positions';
import { yieldToEventLoop } from '../../../models/ops/ops';
import { isObject } from '../../../shared/values';
import { loneSurrogate } from '../../../shared/surrogates';
import { rateDocuments, readDocuments } from '../../model/rateDocuments';
import type { ServedModel } from '../servedModels';
import { badField } from './apiError';
import { refuseGone, type Encoding } from './embeddings';
import { knownFields } from './fields';
import { mixFor } from './modelUse';
import { parseBody } from './requests';
import { readFields } from './settings';

const MOST_DOCUMENTS = 2048;
/** Tokens of a query with a document, where the model has more positions. */
const MOST_TOKENS = 8192;

const Schema = v.object({
  model: v.string(),
  query: v.pipe(v.string(), v.nonEmpty()),
  top_n: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1))),
  return_documents: v.optional(v.boolean(), false),
});

/** The answer to a request of Cohere's or Jina's form. @throws ApiError, LoraError */
export async function rerank(
  encoding: Encoding,
  body: string,
  signal: AbortSignal,
): Promise<object> {
  const fields = knownFields(parseBody(body).plain, [...Object.keys(Schema.entries), 'documents']);
  const { model, query, top_n, return_documents } = readFields(Schema, fields);
  const texts = documentsOf(fields['documents']);
  if (loneSurrogate([query, ...texts]) !== undefined)
    throw badField('documents', 'or "query" contain half of a surrogate pair (\\ud800 to \\udfff)');
  const mix = mixFor(encoding, model, 'rating');
  const { scores, tokens } = await encoding.queue.run(async () =>
    rated(await encoding.models.mixed(mix), { query, texts }, signal),
  );
  const results = texts
    .map((text, index) => ({
      index,
      relevance_score: scores[index]!,
      ...(return_documents && { document: { text } }),
    }))
    .sort((a, b) => b.relevance_score - a.relevance_score);
  return {
    id: `rerank-${randomBytes(12).toString('hex')}`,
    object: 'list',
    model,
    results: results.slice(0, top_n),
    usage: { prompt_tokens: tokens, total_tokens: tokens },
  };
}

/** Texts, or objects with a text. */
function documentsOf(given: unknown): readonly string[] {
  if (!Array.isArray(given) || given.length === 0 || given.length > MOST_DOCUMENTS)
    throw badField('documents', `must be a list of 1 to ${MOST_DOCUMENTS} texts`);
  return given.map((own: unknown, i) => {
    if (typeof own === 'string') return own;
    const { text } = isObject(own) ? knownFields(own, ['text'], `documents.${i}.`) : {};
    if (typeof text === 'string') return text;
    throw badField(`documents.${i}`, 'must be a text, or {"text": …}');
  });
}

/** The scores of documents, none of which may be longer than what the model reads. */
async function rated(
  { model, base }: ServedModel,
  { query, texts }: { readonly query: string; readonly texts: readonly string[] },
  signal: AbortSignal,
): Promise<{ readonly scores: readonly number[]; readonly tokens: number }> {
  const tools = await dataToolsOf(base);
  const max_length = Math.min(MOST_TOKENS, contextOf(base.spec));
  const documents = readDocuments(tools, { query, texts, max_length }, base.path);
  const long = documents.findIndex(({ length }) => length > max_length);
  if (long >= 0)
    throw badField(
      `documents.${long}`,
      `has ${documents[long]!.length} tokens with the query, but the model reads ${max_length}`,
    );
  const scores = await rateDocuments(model, tools, documents, async () => {
    await yieldToEventLoop();
    refuseGone(signal);
  });
  return { scores, tokens: documents.reduce((sum, { length }) => sum + length, 0) };
}
