import type { Disposable } from '../../common/signal';

/** How many of the newest messages `recent` returns at most. */
const RECENT_MESSAGES = 60;

/** What the log needs of a vscode.LogOutputChannel. */
interface LogChannel {
  info(message: string): void;
  warn(message: string): void;
  error(message: string | Error): void;
  show(): void;
  dispose(): void;
}

/** The extension's output channel, and its newest messages for issue reports. */
export class ExtensionLog implements Disposable {
  private readonly messages: string[] = [];

  constructor(private readonly channel: LogChannel) {}

  /** Logs what was done. */
  info(message: string): void {
    this.remember('info', message);
    this.channel.info(message);
  }

  /** Logs what went wrong without harm. */
  warn(message: string): void {
    this.remember('warning', message);
    this.channel.warn(message);
  }

  /** Logs an error; an Error with its stack. */
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
