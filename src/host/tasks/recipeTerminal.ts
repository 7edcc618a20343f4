import { spawn, type ChildProcess } from 'node:child_process';
import path from 'node:path';
import * as vscode from 'vscode';
import { LoraError } from '../../shared/errors';
import { t } from '../text/l10n';
import type { RuntimeService } from '../runtime/runtimeService';

export interface RecipeTerminalParts {
  /** dist/cli.js */
  readonly cli: string;
  readonly runtime: RuntimeService;
  readonly recipe: string;
}

/** How long a training that was asked to stop may take to write its adapter. */
const GRACE_MS = 20_000;

/**
 * A terminal that trains a recipe: what the command line prints, and its exit code. Closed, it
 * stops the training, which keeps the adapter so far.
 */
export class RecipeTerminal implements vscode.Pseudoterminal {
  private readonly written = new vscode.EventEmitter<string>();
  private readonly ended = new vscode.EventEmitter<number>();
  private child: ChildProcess | undefined;
  private closed = false;

  readonly onDidWrite = this.written.event;
  readonly onDidClose = this.ended.event;

  constructor(private readonly parts: RecipeTerminalParts) {}

  open(): void {
    this.run().then(
      (code) => this.end(code),
      (error: unknown) => {
        this.write(`${LoraError.from(error, 'engine').describe()}\n`);
        this.end(1);
      },
    );
  }

  close(): void {
    this.closed = true;
    const { child } = this;
    if (child?.exitCode !== null) return;
    child.kill('SIGINT');
    const grace = setTimeout(() => child.kill('SIGKILL'), GRACE_MS);
    child.once('exit', () => clearTimeout(grace));
  }

  /** Ctrl+C stops it as in any terminal. */
  handleInput(data: string): void {
    if (data === '\u0003') this.child?.kill('SIGINT');
  }

  private async run(): Promise<number> {
    const { cli, runtime, recipe } = this.parts;
    const env = await runtime.ensure();
    if (!env || this.closed) return 1;
    const child = (this.child = spawn(process.execPath, [cli, 'train', recipe], {
      cwd: path.dirname(recipe),
      windowsHide: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env, ELECTRON_RUN_AS_NODE: '1' },
    }));
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
    this.written.fire(text.replace(/\r?\n/g, '\r\n'));
  }

  private end(code: number): void {
    this.ended.fire(code);
    this.written.dispose();
    this.ended.dispose();
  }
}
