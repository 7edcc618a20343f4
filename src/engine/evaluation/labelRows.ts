import { collate, paddingId } from '../../data/examples/batch';
import type { TokenExample } from '../../data/examples/example';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { ProblemCollector } from '../../data/dataset/problems';
import { taskTokenizer } from '../../data/tasks/tokenizeTaskRows';
import { yieldToEventLoop } from '../../models/ops/ops';
import type { LabelSet } from '../../data/tasks/labelSet';
import { LoraError } from '../../shared/errors';
import type { LoadedModel } from '../model/openModel';
import { labelText } from '../tasks/predict';
import { failedCell, type AnswerRows } from './cells';
import type { SuiteCase } from './suiteFile';

const ROWS_PER_BATCH = 8;

/** Classes of texts by a classifier. @throws LoraError where it does not choose one class */
export function labelRows(loaded: LoadedModel, signal: AbortSignal): AnswerRows {
  const { labels, model } = loaded;
  if (labels?.problem_type !== 'single_label_classification')
    throw new LoraError('dataset', 'Rows of the kind label need a model that chooses one class.');
  return async (cases, onCell) => {
    checkClasses(cases, labels.names);
    const examplesOf = await exampleReader(loaded, labels, cases[0]!.file);
    for (let at = 0; at < cases.length && !signal.aborted; at += ROWS_PER_BATCH) {
      const own = cases.slice(at, at + ROWS_PER_BATCH).map((item) => {
        const example = examplesOf(item);
        if (!example) onCell(item, failedCell('The text cannot be read.'));
        return { item, example };
      });
      const known = own.filter(({ example }) => example !== null);
      if (known.length === 0) continue;
      const pad_id = paddingId(null, loaded.base.spec.vocab_size);
      const outputs = await model.logits(
        collate(
          known.map(({ example }) => example!),
          pad_id,
        ),
      );
      const width = labels.names.length;
      known.forEach(({ item }, i) => {
        const row = outputs.subarray(i * width, (i + 1) * width);
        onCell(item, labelCell(item, labelText(row, labels, false)));
      });
      await yieldToEventLoop();
    }
  };
}

function checkClasses(cases: readonly SuiteCase[], names: readonly string[]): void {
  for (const { file, line, row } of cases)
    if (row.check.kind === 'label' && !names.includes(row.check.expected))
      throw new LoraError('dataset', `The model has no class "${row.check.expected}".`, {
        place: { file, line },
        fix: `Expect one of ${names.join(', ')}.`,
      });
}

async function exampleReader(
  { base }: LoadedModel,
  labels: LabelSet,
  file: string,
): Promise<(item: SuiteCase) => TokenExample | null> {
  const tools = await dataToolsOf(base);
  const tokenizer = taskTokenizer(new ProblemCollector(file), {
    tokenizer: tools.tokenizer,
    max_length: tools.max_positions,
    labels,
    has_types: tools.has_types,
    image_length: 1,
  });
  return ({ row: { text = '', text_pair = null, check }, line }) => {
    const label = check.kind === 'label' ? check.expected : '';
    const added = tokenizer.add({ kind: 'labelled', line, text, text_pair, label });
    return added ? (added.example as TokenExample) : null;
  };
}

const labelCell = ({ row: { check } }: SuiteCase, answer: string) => ({
  ...failedCell(''),
  error: null,
  answer,
  scores: { accuracy: check.kind === 'label' && check.expected === answer ? 1 : 0 },
});
