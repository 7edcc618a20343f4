import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import type { ExtensionLog } from '../errors/extensionLog';
import { t } from '../text/l10n';
import type { RuntimeService } from '../runtime/runtimeService';
import { runJob } from './runJob';

export interface JobParts {
  /** dist/cli.js */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly log: ExtensionLog;
}

/**
 * In a workspace that is not trusted no program is started, also not for a page that VS Code brings
 * back. Errors: LoraError('usage').
 */
export function refuseUntrusted(): void {
  if (!vscode.workspace.isTrusted)
    throw new LoraError('usage', t('This workspace is not trusted, so no program is started.'), {
      fix: t('Trust the workspace if you know its authors.'),
    });
}

/** Runs jobs of the engine under a notification with progress and a way to cancel. */
export class Jobs {
  constructor(private readonly parts: JobParts) {}

  /** A question that is answered at once and needs no runtime. Errors: LoraError. */
  async ask<R>(args: readonly string[], signal = AbortSignal.timeout(60_000)): Promise<R> {
    refuseUntrusted();
    const { cli, log } = this.parts;
    return runJob<R>({
      node: process.execPath,
      cli,
      args,
      env: {},
      signal,
      onProgress: () => undefined,
      onWarning: (message) => log.warn(message),
    });
  }

  /**
   * Undefined: the user did not want the runtime that it needs. Errors: LoraError; 'cancelled' is
   * none to be told.
   */
  async run<R>(
    title: string,
    args: readonly string[],
    needsRuntime: boolean,
    more: Readonly<Record<string, string>> = {},
  ): Promise<R | undefined> {
    refuseUntrusted();
    const { cli, runtime, log } = this.parts;
    const env = needsRuntime ? await runtime.ensure() : {};
    if (!env) return undefined;
    log.info(`${cli} ${args.join(' ')}`);
    return vscode.window.withProgress(
      { location: vscode.ProgressLocation.Notification, title, cancellable: true },
      async (progress, token) => {
        const controller = new AbortController();
        const watch = token.onCancellationRequested(() => controller.abort());
        let [phase, done] = ['', 0];
        try {
          return await runJob<R>({
            node: process.execPath,
            cli,
            args,
            env: { ...env, ...more },
            signal: controller.signal,
            onWarning: (message) => log.warn(message),
            onProgress: (now, fraction) => {
              if (now !== phase) [phase, done] = [now, fraction < 1 ? 0 : done];
              progress.report({
                message: `${phaseName(now)} ${Math.floor(100 * fraction)} %`,
                increment: Math.max(0, 100 * (fraction - done)),
              });
              done = Math.max(done, fraction);
            },
          });
        } finally {
          watch.dispose();
        }
      },
    );
  }
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
    case 'comparing':
      return t('Comparing outputs');
    default:
      return phase;
  }
}
