import { readFile } from 'node:fs/promises';
import type { BatchPiece } from '../../shared/metrics/lines';
import { linesOf } from '../../data/examples/example';
import type { LabelSet } from '../../data/tasks/labelSet';
import { prepareData, type PreparedData } from '../../data/dataset/prepare';
import { parseRecipe } from '../../shared/recipeFile';
import { dataToolsOf } from '../model/dataTools';
import { openForTraining } from '../training/open';
import { batchPieces } from '../tasks/batchPieces';
import { described } from './describe';
import type { Report } from './report';

const SHOWN = 3;

/**
 * What a run of the recipe would learn: how many tokens or labels, and of the first examples which.
 */
export async function inspectRecipe(file: string): Promise<Report> {
  const recipe = parseRecipe(await readFile(file, 'utf8'), file);
  const { base, read } = await openForTraining(recipe);
  try {
    const tools = await dataToolsOf(base);
    const { train, statistics, warnings, labels } = prepareData(
      read,
      { ...recipe, training: { ...recipe.training, packing: false } },
      tools,
    );
    const examples = train.slice(0, SHOWN).map((example) => ({
      line: linesOf(example)[0],
      pieces: batchPieces(example, recipe.task, tools.tokenizer, labels),
    }));
    const marked = (piece: BatchPiece) =>
      piece.labelled && recipe.task === 'causal_lm' ? `«${piece.text}»` : piece.text;
    const words = [
      countWords(statistics, recipe.task, labels),
      ...warnings.map(described),
      ...(recipe.task === 'causal_lm' ? ['What is learnt stands in «».'] : []),
      ...examples.map(({ line, pieces }) => `line ${line}: ${pieces.map(marked).join('')}`),
    ].join('\n');
    return {
      facts: {
        type: 'recipe',
        task: recipe.task,
        base: recipe.base,
        dataset: recipe.dataset,
        statistics,
        warnings,
        ...(labels && { labels }),
        examples,
      },
      words,
    };
  } finally {
    await base.close();
  }
}

function countWords(
  { train, validation }: PreparedData['statistics'],
  task: string,
  labels: LabelSet | null,
): string {
  const start = `${train.examples} examples to learn from, ${validation.examples} held out`;
  const longest = `the longest row has ${train.longest}${train.truncated > 0 ? `, ${train.truncated} are cut` : ''}`;
  if (task === 'causal_lm')
    return `${start}; ${train.labelled_tokens} of ${train.tokens} tokens are learnt, ${longest}.`;
  const what = labels
    ? ` ${labels.problem_type === 'regression' ? 'Numbers' : 'Labels'}: ${labels.names.join(', ')}.`
    : '';
  return `${start}; ${train.tokens} tokens, ${longest}.${what}`;
}
