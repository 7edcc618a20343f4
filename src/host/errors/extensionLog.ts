import type * as vscode from 'vscode';

/** How many of the newest messages `recent` returns at most. */
const RECENT_MESSAGES = 60;

/** The extension's output channel, and its newest messages for issue reports. */
export class ExtensionLog implements vscode.Disposable {
  private readonly messages: string[] = [];

  constructor(
    private readonly channel: Pick<
      vscode.LogOutputChannel,
      'info' | 'warn' | 'error' | 'show' | 'dispose'
    >,
  ) {}

  info(message: string): void {
    this.remember('info', message);
    this.channel.info(message);
  }

  warn(message: string): void {
    this.remember('warning', message);
    this.channel.warn(message);
  }

  /** An Error is logged with its stack. */
  error(message: string | Error): void {
    this.remember('error', message instanceof Error ? (message.stack ?? message.message) : message);
    this.channel.error(message);
  }

  /** Opens the channel in the Output view. */
  show(): void {
    this.channel.show();
  }

  /** The newest messages, oldest first, each with its time and level. */
  recent(): readonly string[] {
    return this.messages;
  }

  dispose(): void {
    this.channel.dispose();
  }

  private remember(level: string, message: string): void {
    this.messages.push(`${new Date().toISOString()} [${level}] ${message}`);
    if (this.messages.length > RECENT_MESSAGES) this.messages.shift();
  }
}
