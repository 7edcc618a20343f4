import { tmpdir } from 'node:os';
import { isLayersModelPath } from '../../formats/layersModel/file';
import { openLayersSources } from '../layersModel/train';
import { linesOf } from '../../data/examples/example';
import type { LabelSet } from '../../data/tasks/labelSet';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import type { BatchPiece } from '../../shared/metrics/lines';
import { parseRecipe } from '../../shared/recipeFile';
import type { Recipe } from '../../shared/recipe';
import { writesText, type Task } from '../../shared/task';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';
import { dataToolsOf } from '../../data/dataset/dataTools';
import { openForTraining } from '../training/open';
import { planWeights } from '../training/prepare';
import { readRecipeText } from '../training/readRecipe';
import { batchPieces } from '../tasks/batchPieces';
import { sourceRecord } from '../training/dataFacts';
import { describeExcluded, describeProblem, describeSkipped, describeSources } from '../report';
import { readPart, tokenizePart } from '../training/readProgress';
import { countOf } from '../../shared/values';

/** The kind of thing that lora inspect found at a path. */
export interface Report {
  /** For programs. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** For people. */
  readonly lines: readonly string[];
}

/** The report on the rows. */
type ReportedData = Pick<
  PreparedData,
  'train' | 'statistics' | 'sources' | 'warnings' | 'labels' | 'skipped' | 'excluded'
>;

const EXAMPLES_SHOWN = 3;

/**
 * The training data of a recipe: counts of tokens or labels, and which tokens of the first examples
 * have a loss.
 */
export async function inspectRecipe(
  file: string,
  onProgress: (fraction: number) => void,
  info: (text: string) => void,
): Promise<Report> {
  const recipe = parseRecipe(await readRecipeText(file), file);
  if (isLayersModelPath(recipe.base)) return inspectLayersRecipe(recipe, onProgress);
  const { base, read } = await openForTraining(recipe, { onProgress: readPart(onProgress), info });
  try {
    const tools = await dataToolsOf(base, recipe);
    const hints: string[] = [];
    await planWeights(recipe, base, { info: () => undefined, warn: (text) => hints.push(text) });
    const data = await prepareData(
      read,
      { ...recipe, training: { ...recipe.training, packing: false } },
      { ...tools, onProgress: tokenizePart(onProgress) },
    );
    try {
      return reportOf(recipe, data, tools.tokenizer, hints);
    } finally {
      data.close();
    }
  } finally {
    await base.close();
  }
}

async function inspectLayersRecipe(
  recipe: Recipe,
  onProgress: (fraction: number) => void,
): Promise<Report> {
  const { data } = await openLayersSources(recipe, tmpdir(), { onData: onProgress });
  try {
    return reportOf(recipe, data, null, []);
  } finally {
    data.close();
  }
}

function reportOf(
  recipe: Recipe,
  { train, statistics, sources, warnings, labels, skipped, excluded }: ReportedData,
  tokenizer: Tokenizer | null,
  hints: readonly string[],
): Report {
  const { task } = recipe;
  const shown = Array.from({ length: Math.min(train.length, EXAMPLES_SHOWN) }, (_, i) => i);
  const examples = shown.map((index) => {
    const example = train.at(index);
    return {
      line: linesOf(example)[0],
      pieces: batchPieces(example, task, tokenizer, labels),
    };
  });
  return {
    facts: {
      type: 'recipe',
      task,
      base: recipe.base,
      dataset: recipe.dataset,
      statistics,
      sources: sources.map(sourceRecord),
      warnings,
      excluded_rows: excluded.reduce((sum, { rows }) => sum + rows, 0),
      skipped_rows: skipped.rows,
      hints,
      ...(labels && { labels }),
      examples,
    },
    lines: [
      describeStatistics(statistics, task, labels),
      ...describeSources(sources.map(sourceRecord)),
      ...hints,
      ...describeExcluded(excluded),
      ...describeSkipped(skipped),
      ...warnings.map(describeProblem),
      ...(writesText(task) ? ['Tokens with a loss are between « and ».'] : []),
      ...examples.map(({ line, pieces }) => `line ${line}: ${markedText(pieces, task)}`),
    ],
  };
}

const markedText = (pieces: readonly BatchPiece[], task: Task): string =>
  pieces.map(({ text, labelled }) => (labelled && writesText(task) ? `«${text}»` : text)).join('');

function describeStatistics(
  { train, validation }: PreparedData['statistics'],
  task: Task,
  labels: LabelSet | null,
): string {
  const examples = `${countOf(train.examples, 'training example')}, ${validation.examples} for validation`;
  const truncated = train.truncated > 0 ? `, ${train.truncated} truncated` : '';
  if (task === 'features') return `${examples}.${describeLabels(labels)}`;
  const longest = `longest row ${countOf(train.longest, 'token')}${truncated}`;
  if (writesText(task)) {
    return `${examples}; ${train.labelled_tokens} of ${countOf(train.tokens, 'token')} ${train.labelled_tokens === 1 ? 'has' : 'have'} a loss, ${longest}.`;
  }
  return `${examples}; ${countOf(train.tokens, 'token')}, ${longest}.${describeLabels(labels)}`;
}

function describeLabels(labels: LabelSet | null): string {
  if (!labels) {
    return '';
  }
  const kind = labels.problem_type === 'regression' ? 'Numbers' : 'Labels';
  return ` ${kind}: ${labels.names.join(', ')}.`;
}
