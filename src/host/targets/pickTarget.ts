import { availableParallelism, totalmem } from 'node:os';
import { LoraError } from '../../shared/errors';
import { COMMANDS } from '../commands/commandTable';
import * as vscode from 'vscode';
import type { Services } from '../services';
import { formatBytes } from '../text/format';
import { formatNumber, t } from '../text/l10n';
import { pick, separator, type PickItem } from '../ui/picker';
import { mayUse } from './consent';
import { placeOf, type KnownTarget } from './mergeTargets';
import { kindName } from './remoteText';
import { reportSummary } from './targetReport';
import type { TargetList } from './targetStore';

/** Where a run is trained. */
export type Where =
  { readonly kind: 'here' } | { readonly kind: 'target'; readonly target: KnownTarget };

type Choice = Where | { readonly kind: 'add' };

/** What the question says, and whether this machine is a choice. */
export interface WhereQuestion {
  readonly title: string;
  readonly placeholder: string;
  readonly withHere: boolean;
}

type PickServices = Pick<Services, 'targets' | 'targetJobs' | 'errors'>;

/**
 * Asks where to train, or for a target. Each target is asked what it has while the list is shown;
 * one of the workspace only after the user has agreed to it. Undefined: cancelled.
 */
export async function pickWhere(
  services: PickServices,
  question: WhereQuestion,
): Promise<Where | undefined> {
  const { targets, targetJobs, errors } = services;
  const list = await targets.list();
  for (const problem of list.problems) errors.report(problem, 'target');
  const states = new Map<string, string>();
  const picked = await pick<Choice>({
    title: question.title,
    placeholder: question.placeholder,
    first: true,
    isDefault: () => false,
    fill: async (show) => {
      const redraw = () => show(choices(list, states, question.withHere));
      redraw();
      await Promise.all(
        list.targets
          .filter((target) => !targets.mustAsk(target))
          .map(async ({ entry: { name } }) => {
            states.set(name, await targetJobs.check(name).then(reportSummary, faultOf));
            redraw();
          }),
      );
    },
  });
  if (picked.kind !== 'picked') return undefined;
  const { value } = picked;
  if (value.kind === 'here') return value;
  if (value.kind === 'target') return (await mayUse(targets, value.target)) ? value : undefined;
  await vscode.commands.executeCommand(COMMANDS.editTargets.id);
  return undefined;
}

const faultOf = (error: unknown): string => LoraError.from(error, 'target').message;

function choices(
  { targets, leftOut }: TargetList,
  states: ReadonlyMap<string, string>,
  withHere: boolean,
): PickItem<Choice>[] {
  const own = targets.filter(({ origin }) => origin.kind !== 'workspace');
  const brought = targets.filter(({ origin }) => origin.kind === 'workspace');
  const row = (target: KnownTarget) => targetRow(target, states);
  return [
    ...(withHere ? [hereRow()] : []),
    ...(own.length > 0 ? [separator(t('Your targets')), ...own.map(row)] : []),
    ...(brought.length > 0 || leftOut.length > 0
      ? [separator(t('From this workspace')), ...brought.map(row), ...leftOut.map(leftOutRow)]
      : []),
    separator(''),
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
