import { KEY_NUMBER_IDS } from '../../../src/shared/metrics/table';
import { markdownHeading, markdownTable } from '../../shared/markdown';
import type { KeyNumbers } from '../model/keyNumbers';
import { runFacts } from '../model/runFacts';
import type { DashboardPage, DashboardState } from '../state';

/** The numbers and facts of a run as Markdown, to be pasted elsewhere. */
export function summaryMarkdown(
  page: DashboardPage,
  numbers: KeyNumbers,
  state: DashboardState,
): string {
  const { t } = page;
  const { run, status } = state;
  const figures = KEY_NUMBER_IDS.map((id) => {
    const { value, note } = numbers.of(id, state);
    return [t(`tile.${id}`), note === '' ? value : `${value} (${note})`];
  });
  const facts = run ? runFacts(page, run) : [];
  const rows = [[t('markdown.state'), t(`state.${status.state}`)], ...figures, ...facts];
  const heading = run ? markdownHeading(run.name) : '';
  return `${heading}${markdownTable([t('markdown.what'), t('markdown.value')], rows)}`;
}
