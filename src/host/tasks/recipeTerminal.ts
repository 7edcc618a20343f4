import * as vscode from 'vscode';
import { startProcess, type ChildProcess } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { visibleControls } from '../../shared/plainText';
import { hostEnvironment } from '../engine/hostEnvironment';
import { t } from '../text/l10n';
import type { RuntimeService } from '../runtime/runtimeService';

/** The recipe and the runtime of a run in a terminal. */
export interface RecipeTerminalOptions {
  /** Absolute path of dist/cli.js. */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly recipe: string;
}

/** How long a training run that was told to stop may take to save its adapter. */
const GRACE_MS = 20_000;

/**
 * A terminal that trains a recipe with the command line. Closing it stops the training, which saves
 * the adapter so far.
 */
export class RecipeTerminal implements vscode.Pseudoterminal {
  private readonly written = new vscode.EventEmitter<string>();
  private readonly ended = new vscode.EventEmitter<number>();
  private child: ChildProcess | undefined;
  private closed = false;

  /** For VS Code: the output. */
  readonly onDidWrite = this.written.event;
  /** For VS Code: the exit code. */
  readonly onDidClose = this.ended.event;

  constructor(private readonly options: RecipeTerminalOptions) {}

  /** For VS Code: starts the training. */
  open(): void {
    this.run().then(
      (code) => this.end(code),
      (error: unknown) => {
        this.write(`${LoraError.from(error, 'engine').describe()}\n`);
        this.end(1);
      },
    );
  }

  /** For VS Code: stops the training when the terminal is closed. */
  close(): void {
    this.closed = true;
    const { child } = this;
    if (child?.exitCode !== null) return;
    child.kill('SIGINT');
    const grace = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    child.once('exit', () => clearTimeout(grace));
  }

  /** For VS Code: Ctrl+C stops the training. */
  handleInput(data: string): void {
    if (data === '\u0003') this.child?.kill('SIGINT');
  }

  private async run(): Promise<number> {
    const { cli, runtime, recipe } = this.options;
    const env = await runtime.ensure();
    if (!env || this.closed) return 1;
    const child = startProcess(process.execPath, [cli, 'train', recipe], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...hostEnvironment(), ...env, ELECTRON_RUN_AS_NODE: '1' },
    });
    this.child = child;
    for (const stream of [child.stdout, child.stderr])
      stream.setEncoding('utf8').on('data', (text: string) => this.write(text));
    return new Promise((resolve, reject) => {
      child.once('error', (cause) =>
        reject(
          new LoraError('engine', t('The job cannot be started: {0}', cause.message), { cause }),
        ),
      );
      child.once('close', (code) => resolve(code ?? 1));
    });
  }

  private write(text: string): void {
    this.written.fire(visibleControls(text).replace(/\n/g, '\r\n'));
  }

  private end(code: number): void {
    this.ended.fire(code);
    this.written.dispose();
    this.ended.dispose();
  }
}
