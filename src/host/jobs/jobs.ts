import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { ExtensionLog } from '../errors/extensionLog';
import { formatPercent } from '../text/format';
import { t } from '../text/l10n';
import { withNotification, type ReportProgress } from '../ui/progress';
import type { RuntimeService } from '../runtime/runtimeService';
import { runJob, type JobCommand } from './runJob';

/** What jobs need from the extension. */
export interface JobServices {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly log: ExtensionLog;
}

/**
 * Ensures that no program is started in an untrusted workspace, not even for a page that VS Code
 * restores.
 *
 * @throws LoraError('usage') when the workspace is not trusted.
 */
export function refuseUntrusted(): void {
  if (!vscode.workspace.isTrusted)
    throw new LoraError('usage', t('This workspace is not trusted, so no program is started.'), {
      fix: t('Trust the workspace if you know its authors.'),
    });
}

/** How a command is followed. */
interface FollowOptions extends Pick<JobCommand, 'onLine'> {
  readonly needsRuntime: boolean;
  /** Additional environment variables. */
  readonly more?: Readonly<Record<string, string>>;
}

/** Runs commands of the engine in processes of their own. */
export class Jobs {
  constructor(private readonly services: JobServices) {}

  /**
   * Runs a quick command that needs no runtime, without showing progress. `env`: more variables.
   *
   * @throws LoraError as `runJob` does; LoraError('usage') when the workspace is not trusted.
   */
  async ask<R>(
    args: readonly string[],
    signal = AbortSignal.timeout(60_000),
    env: Readonly<Record<string, string>> = {},
  ): Promise<R> {
    refuseUntrusted();
    const { cli, log } = this.services;
    return runJob<R>({
      node: process.execPath,
      cli,
      args,
      env,
      signal,
      onProgress: () => undefined,
      onWarning: (message) => log.warn(message),
    });
  }

  /**
   * Runs a command under a notification with progress and a Cancel button. `more`: additional
   * environment variables. Undefined: the user declined to install the runtime that it needs.
   *
   * @throws LoraError as `runJob` does; LoraError('usage') when the workspace is not trusted.
   */
  run<R>(
    title: string,
    args: readonly string[],
    needsRuntime: boolean,
    more: Readonly<Record<string, string>> = {},
  ): Promise<R | undefined> {
    return this.follow<R>(title, args, { needsRuntime, more });
  }

  /** As `run` does; `onLine` is told what else the command says. */
  async follow<R>(
    title: string,
    args: readonly string[],
    { needsRuntime, more = {}, onLine }: FollowOptions,
  ): Promise<R | undefined> {
    refuseUntrusted();
    const { cli, runtime, log } = this.services;
    const env = needsRuntime ? await runtime.ensure() : {};
    if (!env) return undefined;
    log.info(`${cli} ${args.join(' ')}`);
    return withNotification(title, async (show, token) => {
      const controller = new AbortController();
      const watch = token.onCancellationRequested(() => controller.abort());
      const report = progressReporter(show);
      try {
        return await runJob<R>({
          node: process.execPath,
          cli,
          args,
          env: { ...env, ...more },
          signal: controller.signal,
          onWarning: (message) => log.warn(message),
          onProgress: report,
          ...(onLine && { onLine }),
        });
      } finally {
        watch.dispose();
      }
    });
  }
}

/** Reports the progress of each phase from 0 to 100%. */
function progressReporter(show: ReportProgress): (phase: string, fraction: number) => void {
  let current = '';
  let done = 0;
  return (phase, fraction) => {
    if (phase !== current) {
      current = phase;
      // a phase that is complete at once must not move the bar back
      if (fraction < 1) done = 0;
    }
    show(
      `${phaseName(phase)} ${formatPercent(Math.floor(100 * fraction) / 100)}`,
      Math.max(0, 100 * (fraction - done)),
    );
    done = Math.max(done, fraction);
  };
}

function phaseName(phase: string): string {
  switch (phase) {
    case 'merging':
      return t('Merging');
    case 'unmerging':
      return t('Removing the update');
    case 'extracting':
      return t('Extracting');
    case 'checking inputs':
      return t('Computing fingerprints');
    case 'downloading':
      return t('Downloading');
    case 'loading':
      return t('Loading the model');
    case 'answering':
      return t('Answering');
    case 'judging':
      return t('Judging');
    case 'reading files':
      return t('Reading the files');
    case 'range test':
      return t('Testing learning rates');
    case 'tuning':
      return t('Tuning');
    case 'uploading':
      return t('Uploading');
    case 'comparing':
      return t('Comparing outputs');
    default:
      return phase;
  }
}
