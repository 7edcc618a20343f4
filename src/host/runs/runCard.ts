import path from 'node:path';
import { readTail } from '../../common/regularFile';
import { parseMetrics } from '../../shared/metrics/parse';
import { RUN_FILES, type RunRecord } from '../../shared/run';
import { t } from '../text/l10n';
import { changedFiles } from '../git/changes';
import { repeatCommand } from '../git/repeatCommand';
import { recipeDifference } from './recipeDifference';
import type { RunSummary } from './run';
import { sparkline } from '../../shared/sparkline';

/** What the tooltip of a run adds to the details of its row. */
export interface RunCard {
  /** The training loss as a sparkline; null before the second step. */
  readonly curve: string | null;
  readonly facts: readonly (readonly [label: string, value: string])[];
  /** The previous run, and what has changed in the recipe since. */
  readonly changes: { readonly since: string; readonly lines: readonly string[] } | null;
  readonly note: string;
}

/** The curve is drawn from this much of the end of metrics.jsonl. */
const CURVE_BYTES = 2 ** 21;
const MAX_CHANGES = 8;

/** Reads the card of a run. `before`: the previous run of the same base or recipe. */
export async function readRunCard(
  run: RunSummary,
  record: RunRecord | undefined,
  before: { readonly name: string; readonly record: RunRecord } | null,
): Promise<RunCard> {
  const losses = await readLosses(run.dir);
  const changed = await changedFiles(run.dir);
  const changes =
    record && before
      ? recipeDifference(before.record.recipe, record.recipe).map(
          ({ key, before: was, after }) => `${key}: ${textOf(was)} → ${textOf(after)}`,
        )
      : [];
  const facts: [string, string | null | undefined][] = [
    [t('Git commit'), record?.git_commit?.slice(0, 10)],
    [t('Uncommitted'), changed === null ? null : t('{0} {0|file|files}', changed)],
    [t('Device'), record?.versions.device],
    [t('Runtime'), record?.versions.runtime],
    [t('System'), record?.versions.system],
    [t('Node'), record?.versions.node],
    [t('Repeat with'), record && repeatCommand(run.dir)],
  ];
  return {
    curve: losses.length > 1 ? sparkline(losses) : null,
    facts: facts.filter((fact): fact is [string, string] => typeof fact[1] === 'string'),
    changes:
      before && record
        ? {
            since: before.name,
            lines: changes.length > MAX_CHANGES ? [...changes.slice(0, MAX_CHANGES), '…'] : changes,
          }
        : null,
    note: run.notes.note,
  };
}

function textOf(value: unknown): string {
  if (value === undefined) return '–';
  return typeof value === 'string' ? value : JSON.stringify(value);
}

async function readLosses(dir: string): Promise<number[]> {
  const tail = await readTail(path.join(dir, RUN_FILES.metrics), {
    maxBytes: CURVE_BYTES,
    links: 'refused',
  }).catch(() => null);
  if (!tail) return [];
  return parseMetrics(tail.text).flatMap((line) => (line.kind === 'step' ? [line.loss] : []));
}
