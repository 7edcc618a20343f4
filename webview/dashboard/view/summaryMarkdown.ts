import { markdownTable } from '../../shared/markdown';
import type { Model } from '../model/model';
import type { Context } from '../section';
import { factsOf } from './recipe';
import { KEY_NUMBER_IDS } from '../../../src/shared/metrics/table';
import { KeyNumbers } from '../model/keyNumbers';

/** What the page says of a run in numbers, to be pasted elsewhere. */
export function summaryMarkdown(model: Model, context: Context): string {
  const { t } = context;
  const numbers = new KeyNumbers(context);
  const figures = KEY_NUMBER_IDS.map((id) => {
    const { value, note } = numbers.of(id, model);
    return [t(`tile.${id}`), note === '' ? value : `${value} (${note})`];
  });
  const facts = model.run ? factsOf(model.run, context) : [];
  return `${model.run ? `## ${model.run.name}\n\n` : ''}${markdownTable([t('markdown.what'), t('markdown.value')], [[t('markdown.state'), t(`state.${model.status.state}`)], ...figures, ...facts])}`;
}
