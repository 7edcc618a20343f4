import { availableParallelism, totalmem } from 'node:os';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import type { PickItem } from '../ui/picker';
import { placeOf, type KnownTarget } from './mergeTargets';
import { kindName } from './remoteText';
import { heading } from './sendRows';
import type { TargetList } from './targetStore';

/** Where a run is trained. */
export type Where =
  { readonly kind: 'here' } | { readonly kind: 'target'; readonly target: KnownTarget };

/** A row that can be chosen. */
export type Choice = Where | { readonly kind: 'add' };

/**
 * The rows of the question where to train: targets of every kind. `states`: what was found of each
 * target, by its name.
 */
export function choices(
  { targets, leftOut }: TargetList,
  states: ReadonlyMap<string, string>,
  withHere: boolean,
): PickItem<Choice>[] {
  const own = targets.filter(({ origin }) => origin.kind !== 'workspace');
  const brought = targets.filter(({ origin }) => origin.kind === 'workspace');
  const row = (target: KnownTarget) => targetRow(target, states);
  return [
    ...(withHere ? [hereRow()] : []),
    ...(own.length > 0 ? [heading(t('Your targets')), ...own.map(row)] : []),
    ...(brought.length > 0 || leftOut.length > 0
      ? [heading(t('From this workspace')), ...brought.map(row), ...leftOut.map(leftOutRow)]
      : []),
    heading(''),
    { icon: 'add', label: t('Add Target…'), value: { kind: 'add' } },
  ];
}

const hereRow = (): PickItem<Choice> => ({
  icon: 'device-desktop',
  label: t('This Machine'),
  description: `${t('{0} {0|core|cores}', formatNumber(availableParallelism()))}, ${formatBytes(totalmem())}`,
  value: { kind: 'here' },
});

function targetRow(target: KnownTarget, states: ReadonlyMap<string, string>): PickItem<Choice> {
  const { entry, origin } = target;
  const unasked =
    origin.kind === 'workspace' ? t('you are asked before it is used') : t('connecting…');
  return {
    icon: 'remote',
    label: entry.name,
    description: `${kindName(entry.kind)} · ${placeOf(entry)}`,
    detail: states.get(entry.name) ?? unasked,
    value: { kind: 'target', target },
  };
}

const leftOutRow = ({ entry, why }: TargetList['leftOut'][number]): PickItem<never> => ({
  icon: 'circle-slash',
  label: entry.name,
  description: `${kindName(entry.kind)} · ${placeOf(entry)}`,
  detail:
    why === 'name taken'
      ? t('left out: the name is taken')
      : t('left out: a workspace must not name an ssh configuration'),
  value: null,
});
