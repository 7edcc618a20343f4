import { t } from '../text/l10n';
import { Tooltip } from '../ui/tooltip';
import type { RunSummary } from './run';
import type { RunCard } from './runCard';
import { treeRowOf } from './treeRow';

/** The tooltip of a run in the Runs view. */
export function runTooltip(run: RunSummary, { curve, facts, changes, note }: RunCard): Tooltip {
  const tooltip = new Tooltip();
  if (note !== '') tooltip.paragraph(note);
  if (curve !== null) tooltip.table([`${curve} ${t('loss')}`]);
  tooltip.facts([...treeRowOf(run, Date.now()).details, ...facts]);
  if (changes) {
    tooltip
      .rule()
      .paragraph(
        changes.lines.length === 0
          ? t('Same recipe as {0}.', changes.since)
          : t('Changes since {0}:', changes.since),
      )
      .list(changes.lines);
  }
  return tooltip;
}
