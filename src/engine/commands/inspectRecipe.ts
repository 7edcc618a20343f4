import { readFile } from 'node:fs/promises';
import { linesOf } from '../../data/examples';
import type { LabelSet } from '../../data/labels';
import { prepareData, type PreparedData } from '../../data/prepare';
import { labelPieces } from '../../data/preview';
import type { Example, Tokenizer } from '../../data/types';
import { parseRecipe } from '../../shared/recipeFile';
import { dataToolsOf } from '../dataTools';
import { openForTraining } from '../openForTraining';
import { described } from '../words';
import type { Report } from './report';

const SHOWN = 3;

/** What a run of the recipe would learn: how many tokens or labels, and of the first examples which. */
export async function inspectRecipe(file: string): Promise<Report> {
  const recipe = parseRecipe(await readFile(file, 'utf8'), file);
  const { base, read } = await openForTraining(recipe);
  try {
    const tools = await dataToolsOf(base);
    const { train, statistics, warnings, labels } = prepareData(read, { ...recipe, training: { ...recipe.training, packing: false } }, tools);
    const examples = train.slice(0, SHOWN).map((example) => ({ line: linesOf(example)[0], ...shownOf(example, recipe.task, tools.tokenizer, labels) }));
    const words = [
      countWords(statistics, recipe.task, labels), ...warnings.map(described), ...(recipe.task === 'causal_lm' ? ['What is learnt stands in «».'] : []),
      ...examples.map(({ line, words }) => `line ${line}: ${words}`),
    ].join('\n');
    return { facts: { type: 'recipe', task: recipe.task, base: recipe.base, dataset: recipe.dataset, statistics, warnings, ...(labels && { labels }), examples: examples.map(({ line, pieces }) => ({ line, ...(pieces && { pieces }) })) }, words };
  } finally {
    await base.close();
  }
}

function countWords({ train, validation }: PreparedData['statistics'], task: string, labels: LabelSet | null): string {
  const start = `${train.examples} examples to learn from, ${validation.examples} held out`;
  const longest = `the longest row has ${train.longest}${train.truncated > 0 ? `, ${train.truncated} are cut` : ''}`;
  if (task === 'causal_lm') return `${start}; ${train.labelled_tokens} of ${train.tokens} tokens are learnt, ${longest}.`;
  const what = labels ? ` ${labels.problem_type === 'regression' ? 'Numbers' : 'Labels'}: ${labels.names.join(', ')}.` : '';
  return `${start}; ${train.tokens} tokens, ${longest}.${what}`;
}

function shownOf(example: Example, task: string, tokenizer: Tokenizer | null, labels: LabelSet | null): { readonly words: string; readonly pieces?: readonly unknown[] } {
  switch (example.kind) {
    case 'tokens': {
      if (task === 'causal_lm') {
        const pieces = labelPieces(example, tokenizer!);
        return { pieces, words: pieces.map(({ text, labelled }) => (labelled ? `«${text}»` : text)).join('') };
      }
      return { words: [...example.input_ids].map((id, i) => `${tokenizer!.decode([id])}${example.labels[i] === -100 ? '' : `[${labels!.names[example.labels[i]!]!}]`}`).join(' ') };
    }
    case 'text': return { words: `${tokenizer!.decode([...example.input_ids])} → ${targetWords([...example.target], labels!)}` };
    case 'pair': return { words: `${tokenizer!.decode([...example.anchor])} ↔ ${tokenizer!.decode([...example.positive])}` };
    case 'image': return { words: `${example.file} → ${targetWords([...example.target], labels!)}` };
    case 'packed': return { words: '' };
  }
}

function targetWords(target: readonly number[], { problem_type, names }: LabelSet): string {
  if (problem_type === 'regression') return target.join(', ');
  return (problem_type === 'single_label_classification' ? [names[target[0]!]!] : names.filter((_, i) => target[i] === 1)).join(', ') || '–';
}
