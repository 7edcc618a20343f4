import type { RemoteStage } from '../../shared/remoteRun';
import type { RemoteLink } from '../../formats/run/remoteRecord';
import { formatBytes, formatMoment } from '../text/format';
import { t } from '../text/l10n';

// What is said of a run on a target. No text may suggest that a run has failed that continues
// there.

const KINDS: ReadonlyMap<string, string> = new Map([
  ['ssh', 'SSH'],
  ['ray', 'Ray'],
  ['slurm', 'Slurm'],
]);

/** The display name of a kind of target. */
export const kindName = (kind: string): string => KINDS.get(kind) ?? kind;

/** How far a run on a target is, besides its training; null where nothing is to be said. */
export function stageText(stage: RemoteStage | undefined): string | null {
  switch (stage?.kind) {
    case 'checking':
      return t('checking the target');
    case 'sending':
      return t('sending {0} of {1}', formatBytes(stage.sent), formatBytes(stage.total));
    case 'starting':
      return stage.step ?? t('starting there');
    case 'queued':
      return stage.reason === null ? t('queued') : t('queued: {0}', stage.reason);
    case 'fetching':
      return t('fetching {0} of {1}', formatBytes(stage.received), formatBytes(stage.total));
    case 'lost':
    case undefined:
      return null;
  }
}

/** "not connected since 14:02"; null while the run is connected, and when it has ended. */
export const linkText = (link: RemoteLink, now: number): string | null =>
  link.kind === 'connected' || link.kind === 'ended'
    ? null
    : t('not connected since {0}', formatMoment(link.since, now));

/** Why a run is not connected, and what happens meanwhile; null while it is connected. */
export function linkSentence(link: RemoteLink, target: string, now: number): string | null {
  switch (link.kind) {
    case 'connected':
    case 'ended':
      return null;
    case 'unreachable':
      return t(
        '{0} has not responded since {1}. {2} The run continues there, and the connection is retried.',
        target,
        formatMoment(link.since, now),
        link.reason === null ? '' : asSentence(link.reason),
      );
    case 'unattended':
      return t(
        'Not connected to {0} since {1}. The run continues there; the last known state is shown.',
        target,
        formatMoment(link.since, now),
      );
  }
}

const asSentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);
