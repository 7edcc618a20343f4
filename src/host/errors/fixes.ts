import path from 'node:path';
import { withoutOptions, type LoraError, type Place } from '../../shared/errors';
import { COMMANDS } from '../commands/commandTable';
import { SETTINGS } from '../manifest/ids';
import { t } from '../text/l10n';

/** The action of a button in an error notification. */
export type Fix =
  | { readonly kind: 'openPlace'; readonly place: Place }
  | { readonly kind: 'command'; readonly command: string; readonly argument?: string }
  | { readonly kind: 'showLog' };

/** A button in an error notification. */
export interface FixButton {
  readonly title: string;
  readonly fix: Fix;
}

/** The button of unexpected errors, to report them. */
export const REPORT_ISSUE = (): FixButton => ({
  title: t('Report Issue'),
  fix: { kind: 'command', command: COMMANDS.reportIssue.id },
});

/**
 * The buttons that help with an error, the most useful first and the log last. `more`: those that
 * only the caller knows.
 */
export function fixesFor(error: LoraError, more: readonly FixButton[] = []): FixButton[] {
  const buttons: FixButton[] = [];
  const place = firstPlace(error);
  if (place)
    buttons.push({ title: t('Open {0}', shortPlace(place)), fix: { kind: 'openPlace', place } });
  if (error.problems.length > 1)
    buttons.push({
      title: t('Show Problems'),
      fix: { kind: 'command', command: 'workbench.actions.view.problems' },
    });
  if (error.area === 'runtime') {
    buttons.push({
      title: t('Install Runtime'),
      fix: { kind: 'command', command: COMMANDS.installRuntime.id },
    });
    buttons.push({
      title: t('Change Setting'),
      fix: {
        kind: 'command',
        command: 'workbench.action.openSettings',
        argument: SETTINGS.runtimePath,
      },
    });
  }
  return [...buttons, ...more, { title: t('Show Log'), fix: { kind: 'showLog' } }];
}

/** The first place that a text editor can show; none in a file of weights. */
function firstPlace(error: LoraError): Place | undefined {
  const place =
    error.place?.line !== undefined
      ? error.place
      : (error.problems.find((p) => p.place)?.place ?? error.place);
  return place && place.tensor === undefined && isText(place.file) ? place : undefined;
}

const isText = (file: string) => /\.(jsonl?|log|md|txt|jinja)$/i.test(file);

/** A place by its file's name: train.jsonl:12. */
export function shortPlace(place: Place): string {
  const name = path.basename(place.file);
  return place.line === undefined ? name : `${name}:${place.line}`;
}

/** An error in one paragraph, for a notification; the log has all of it. */
export function summarize(error: LoraError): string {
  const [first] = error.problems;
  const more = error.problems.length - 1;
  const where =
    error.place && !error.message.includes(error.place.file) ? `${shortPlace(error.place)}: ` : '';
  return [
    `${where}${error.message}`,
    first && `${first.place ? `${shortPlace(first.place)}: ` : ''}${first.message}`,
    more > 0 && t('And {0} more.', more),
    error.fix && withoutOptions(error.fix),
  ]
    .filter(Boolean)
    .join(' ');
}
