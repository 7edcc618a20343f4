import * as vscode from 'vscode';
import { chooseAdapter, selectedAdapters } from '../adapters/chooseAdapter';
import { chooseBaseOf } from '../adapters/chooseModel';
import { COMMANDS } from '../commands/commandTable';
import { hostEnvironment } from '../engine/hostEnvironment';
import { CONTEXT_KEYS } from '../manifest/ids';
import type { Services } from '../services';
import { t } from '../text/l10n';
import { copyToClipboard, notify, showDone } from '../ui/messages';
import { withNotification, type ReportProgress } from '../ui/progress';
import { HttpServer, type HttpServerCommand, type ServerAddress } from './httpServer';

/** Start Server and Stop Server: adapters for other programs, as OpenAI's API. */
export function registerServer(services: Services): vscode.Disposable {
  const { commands } = services;
  const servers = new ServerOfWindow(services);
  return vscode.Disposable.from(
    servers,
    commands.add(COMMANDS.startServer, (argument, selection) => servers.start(argument, selection)),
    commands.add(COMMANDS.stopServer, () => servers.stop()),
  );
}

/** The server of this window: there is one at most. */
class ServerOfWindow {
  private running: HttpServer | null = null;

  constructor(private readonly services: Services) {}

  /** Replaces the server that runs. */
  async start(argument: unknown, selection: readonly unknown[]): Promise<void> {
    const { cli, runtime, store } = this.services;
    const selected = selectedAdapters(selection);
    const one =
      selected.length > 1
        ? selected[0]
        : await chooseAdapter(store, argument, t('Select an adapter to serve'));
    const base = one === undefined ? undefined : await chooseBaseOf(one);
    const own = base === undefined ? undefined : await runtime.ensure();
    if (one === undefined || base === undefined || !own) return;
    const env = { ...hostEnvironment(), ...own };
    this.stop();
    const adapters = selected.length > 1 ? selected : [one];
    const command = { node: process.execPath, cli, base, adapters, env };
    const address = await withNotification(t('Loading the model'), (report, token) =>
      this.load(command, report, token),
    );
    if (address) void this.offer(address);
  }

  stop(): void {
    this.running?.dispose();
    this.keep(null);
  }

  dispose(): void {
    this.running?.dispose();
  }

  /** Null: cancelled. */
  private async load(
    command: Omit<HttpServerCommand, 'onProgress'>,
    report: ReportProgress,
    token: vscode.CancellationToken,
  ): Promise<ServerAddress | null> {
    let [last, isReady] = [0, false];
    const onProgress = (fraction: number) => {
      report('', 100 * (fraction - last));
      last = fraction;
    };
    const server = new HttpServer({ ...command, onProgress });
    this.keep(server);
    token.onCancellationRequested(() => this.stop());
    void server.ended.then((error) => {
      if (this.running === server) this.keep(null);
      if (error && isReady) this.services.errors.report(error, 'engine');
    });
    const address = await server.ready.catch((error: unknown) => {
      if (token.isCancellationRequested) return null;
      throw error;
    });
    isReady = true;
    return address;
  }

  private keep(server: HttpServer | null): void {
    this.running = server;
    void vscode.commands.executeCommand('setContext', CONTEXT_KEYS.hasServer, server !== null);
  }

  private async offer({ url, models }: ServerAddress): Promise<void> {
    const [copy, stop] = [t('Copy Address'), t('Stop Server')];
    const message = t(
      '{0} is available at {1} through an OpenAI-compatible API.',
      models.join(', '),
      url,
    );
    const chosen = await notify('information', message, [copy, stop]);
    if (chosen === stop) this.stop();
    if (chosen !== copy) return;
    await copyToClipboard(url);
    showDone(t('Copied: {0}', url));
  }
}
