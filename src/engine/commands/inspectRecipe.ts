import { readFile } from 'node:fs/promises';
import { prepareData } from '../../data/prepare';
import { labelPieces } from '../../data/preview';
import { createTokenizer } from '../../data/tokenizer';
import { openBase } from '../../formats/base';
import { parseRecipe } from '../../shared/recipeFile';
import { described } from '../words';
import type { Report } from './report';

const SHOWN = 3;

/** What a run of the recipe would learn: how many tokens, and of the first examples which. */
export async function inspectRecipe(file: string): Promise<Report> {
  const recipe = parseRecipe(await readFile(file, 'utf8'), file);
  const base = await openBase(recipe.base, { task: 'causal_lm' });
  try {
    const tokenizer = createTokenizer(await base.readTokenizer());
    const { train, statistics, warnings } = await prepareData(recipe, tokenizer, { vocab_size: base.spec.vocab_size });
    const examples = train.slice(0, SHOWN).map((example) => ({ line: example.line, pieces: labelPieces(example, tokenizer) }));
    const { train: t, validation: v } = statistics;
    const words = [
      `${t.examples} examples to learn from, ${v.examples} held out; ${t.labelled_tokens} of ${t.tokens} tokens are learnt, the longest row has ${t.longest}${t.truncated > 0 ? `, ${t.truncated} are cut` : ''}.`,
      ...warnings.map(described), 'What is learnt stands in «».', ...examples.map(({ line, pieces }) => `line ${line}: ${pieces.map(({ text, labelled }) => (labelled ? `«${text}»` : text)).join('')}`),
    ].join('\n');
    return { facts: { type: 'recipe', base: recipe.base, dataset: recipe.dataset, statistics, warnings, examples }, words };
  } finally {
    await base.close();
  }
}
