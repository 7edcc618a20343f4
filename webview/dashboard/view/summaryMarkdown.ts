import { markdownTable } from '../../shared/markdown';
import type { Model } from '../model/model';
import type { Context } from '../section';
import { factsOf } from './recipe';
import { keyNumbers, TILE_IDS } from './tiles';

/** What the page says of a run in numbers, to be pasted elsewhere. */
export function summaryMarkdown(model: Model, context: Context): string {
  const { t } = context;
  const numbers = keyNumbers(context);
  const figures = TILE_IDS.map((id) => [
    t(`tile.${id}`),
    [numbers[id](model)]
      .map(({ value, sub }) => (sub === '' ? value : `${value} (${sub})`))
      .join(''),
  ]);
  const facts = model.run ? factsOf(model.run, context) : [];
  return `${model.run ? `## ${model.run.name}\n\n` : ''}${markdownTable([t('markdown.what'), t('markdown.value')], [[t('markdown.state'), t(`state.${model.status.state}`)], ...figures, ...facts])}`;
}
