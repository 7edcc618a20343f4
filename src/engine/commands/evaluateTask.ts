import * as v from 'valibot';
import { prepareData } from '../../data/dataset/prepare';
import { dataToolsOf } from '../../data/dataset/dataTools';
import type { DatasetSource } from '../../shared/datasetSources';
import { LoraError } from '../../shared/errors';
import { RecipeSchema } from '../../shared/recipe';
import { taskOfKeys, type Task } from '../../shared/task';
import { countOf } from '../../shared/values';
import { isReranker } from '../model/labels';
import type { LoadedModel } from '../model/openModel';
import { warnOfProblems } from '../report';
import { evaluateExamples } from '../tasks/evaluate';
import { scorerOf, type Scorer } from '../tasks/scores';
import { printResult, type CommandContext } from './context';
import type { EvaluateSettings } from './evaluateText';
import {
  describeSources,
  describeValues,
  firstRowKeys,
  readSource,
  settingOf,
  sourceFacts,
  together,
  type EvaluatedSource,
} from './evaluatedSources';

const PAIRS_PER_BATCH = 16;

/** What evaluating a source depends on. */
interface Evaluation {
  readonly task: Task;
  readonly max_length: number;
  /** Gets the outputs for all sources. */
  readonly total: Scorer;
  readonly warn: (message: string) => void;
}

/** Loss and scores of a model that is no language model. @throws LoraError */
export async function evaluateTask(
  loaded: LoadedModel,
  { sources, exact, calls, max_length }: EvaluateSettings,
  context: CommandContext,
): Promise<void> {
  for (const [option, isGiven] of [
    ['--exact', exact],
    ['--calls', calls],
  ] as const)
    if (isGiven)
      throw new LoraError('usage', `${option} is for language models.`, {
        fix: `Leave out ${option}.`,
      });
  const { labels } = loaded;
  const isRanked = await ratesDocuments(labels, sources[0]!);
  const task = isRanked ? 'reranker' : loaded.base.spec.task;
  const total = scorerOf(task, labels);
  const parts: EvaluatedSource[] = [];
  for (const source of sources) {
    const { warn } = context;
    parts.push(await evaluateSource(loaded, source, { task, max_length, total, warn }));
  }
  const { examples, labelled, loss } = together(parts);
  const scores = total.scores(loss);
  const names = labels && !isRanked ? { labels: labels.names } : {};
  const facts = { examples, labelled, loss, ...scores, ...names, ...sourceFacts(parts) };
  printResult(context, facts, () =>
    [
      [`loss ${loss.toFixed(4)} on ${countOf(examples, 'row')}`, ...describeValues(scores)].join(
        ', ',
      ),
      ...describeSources(parts),
    ].join('\n'),
  );
}

/** Whether a model with one output is evaluated by how it puts documents in order. */
async function ratesDocuments(
  labels: LoadedModel['labels'],
  source: DatasetSource,
): Promise<boolean> {
  if (isReranker(labels)) return true;
  return labels?.names.length === 1 && taskOfKeys(await firstRowKeys(source)) === 'reranker';
}

async function evaluateSource(
  { base, model, labels }: LoadedModel,
  source: DatasetSource,
  { task, max_length, total, warn }: Evaluation,
): Promise<EvaluatedSource> {
  const recipe = v.parse(RecipeSchema, {
    base: base.path,
    dataset: settingOf(source),
    task,
    validation_split: 0,
    training: { max_length },
  });
  const read = await readSource(recipe, labels?.names ?? null);
  const data = await prepareData({ ...read, labels }, recipe, await dataToolsOf(base));
  try {
    warnOfProblems(data.warnings, warn);
    const result = await evaluateExamples(model, data.train, {
      task,
      labels,
      collate: data.collate,
      pairs_per_batch: PAIRS_PER_BATCH,
      total,
    });
    return { source, examples: data.train.length, ...result };
  } finally {
    data.close();
  }
}
