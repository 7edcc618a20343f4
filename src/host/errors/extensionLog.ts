import type { Disposable } from '../../common/signal';
import { indentedLines } from '../../shared/plainText';

/** How many of the newest messages `recent` returns at most. */
const RECENT_MESSAGES = 60;

/** What the log needs of a vscode.LogOutputChannel. */
export interface LogChannel {
  info(message: string): void;
  warn(message: string): void;
  error(message: string): void;
  show(): void;
  dispose(): void;
}

/** The extension's output channel, and its newest messages for issue reports. */
export class ExtensionLog implements Disposable {
  private readonly messages: string[] = [];

  constructor(private readonly channel: LogChannel) {}

  /** Logs what was done. */
  info(message: string): void {
    this.channel.info(this.remember('info', message));
  }

  /** Logs what went wrong without harm. */
  warn(message: string): void {
    this.channel.warn(this.remember('warning', message));
  }

  /** Logs an error. */
  error(message: string): void {
    this.channel.error(this.remember('error', message));
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

  /** Returns the message as it is shown: no line of it can be taken for another entry. */
  private remember(level: string, message: string): string {
    const shown = indentedLines(message, '    ');
    this.messages.push(`${new Date().toISOString()} [${level}] ${shown}`);
    if (this.messages.length > RECENT_MESSAGES) this.messages.shift();
    return shown;
  }
}
