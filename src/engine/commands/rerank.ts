import { dataToolsOf } from '../../data/dataset/dataTools';
import { fileErrorReason } from '../../common/fileStatus';
import { MAX_BYTES, readTextFile } from '../../common/regularFile';
import type { BaseModel } from '../../formats/baseModel';
import { LoraError } from '../../shared/errors';
import { withModel, type LoadedModel } from '../model/openModel';
import { rateDocuments, readDocuments, type DocumentQuestion } from '../model/rateDocuments';
import { defineCommand, form } from './command';
import { adaptersOption, baseOption, partialOption } from './commonOptions';
import { printResult } from './context';
import { list, optional, required, withDefault } from './options';
import { anyText, positiveWholeNumber } from './optionValues';

/** lora rerank. */
export const rerankCommand = defineCommand({
  name: 'rerank',
  summary: 'Ranks documents by their relevance to a query.',
  endedBySignals: true,
  forms: [
    form({
      options: {
        base: baseOption,
        adapter: adaptersOption,
        partial: partialOption,
        query: required(anyText, 'TEXT', 'what is looked for'),
        document: list(anyText, 'TEXT', 'document to rate; repeat it for several'),
        documents: optional(anyText, 'FILE', 'text file with a document on each line'),
        'max-length': withDefault(
          '512',
          positiveWholeNumber,
          'N',
          'longest query with a document, in tokens',
        ),
      },
      run: async ({ options }, context) => {
        const { base, adapter: adapters, partial, query, document, documents } = options;
        const texts = [...document, ...(documents === null ? [] : await readLines(documents))];
        if (texts.length === 0)
          throw new LoraError('usage', 'There is no document.', {
            fix: 'Give one with --document, or a file of them with --documents.',
          });
        const scores = await withModel({ base, adapters }, context, { partial }, (loaded) =>
          rate(loaded, { query, texts, max_length: options['max-length'] }),
        );
        const ranked = texts
          .map((text, index) => ({ index, score: scores[index]!, document: text }))
          .sort((a, b) => b.score - a.score);
        printResult(context, { query, documents: ranked }, () =>
          ranked.map((own) => `${own.score.toFixed(4).padStart(9)}  ${own.document}`).join('\n'),
        );
        return 0;
      },
    }),
  ],
});

/** The lines of a file that are not blank. @throws LoraError('dataset') */
async function readLines(file: string): Promise<string[]> {
  const text = await readTextFile(file, { maxBytes: MAX_BYTES.writtenByPeople }).catch(
    (error: unknown) => {
      throw new LoraError('dataset', `The documents cannot be read: ${fileErrorReason(error)}`, {
        place: { file },
        cause: error,
      });
    },
  );
  return text.split(/\r?\n/).filter((line) => line.trim() !== '');
}

/** The outputs of a model for each text. @throws LoraError('base') unless it has just one */
async function rate(
  { base, model, labels }: LoadedModel,
  question: DocumentQuestion,
): Promise<number[]> {
  if (labels?.names.length !== 1) throw noReranker(base);
  const tools = await dataToolsOf(base);
  return rateDocuments(model, tools, readDocuments(tools, question, base.path));
}

const noReranker = (base: BaseModel): LoraError =>
  new LoraError('base', 'The model has no head with one output, which rates documents.', {
    place: { file: base.path },
    fix: 'Add an adapter that was trained for the task reranker (--adapter).',
  });
