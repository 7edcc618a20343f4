import { spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { messageSplitter } from '../../src/common/lineSplitter';
import type { AnswerSettings, ServeEvent } from '../../src/shared/serveProtocol';
import { dist } from './tfjs';

/** What is asked where a test says nothing else. */
export const settings: AnswerSettings = {
  prompt: 'the old mill',
  system: '',
  chat: false,
  temperature: 0,
  seed: 0,
  max_new_tokens: 8,
  row: null,
  tools: null,
  images: [],
};

/** A running `lora serve`, and what it has said. */
export class Served {
  readonly events: ServeEvent[] = [];
  readonly exit: Promise<number | null>;
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private heard: () => void = () => undefined;
  private ids = 0;

  constructor(...args: readonly string[]) {
    this.child = spawn(
      process.execPath,
      [path.join(dist, 'cli.js'), 'serve', '--base-dtype', 'float32', ...args, '--json'],
      { stdio: ['pipe', 'pipe', 'pipe'] },
    );
    const lines = messageSplitter((line) => {
      this.events.push(JSON.parse(line) as ServeEvent);
      this.heard();
    });
    this.child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
    this.exit = new Promise((resolve) => this.child.on('close', resolve));
  }

  /** Sends a signal; gives the one that ended the process, or null if it exited. */
  endedBy(signal: NodeJS.Signals): Promise<NodeJS.Signals | null> {
    const ended = new Promise<NodeJS.Signals | null>((resolve) => {
      this.child.on('close', (_, by) => resolve(by));
    });
    this.child.kill(signal);
    return ended;
  }

  send(request: object): void {
    this.child.stdin.write(`${JSON.stringify(request)}\n`);
  }

  async until<T>(look: () => T | undefined): Promise<T> {
    for (let seen = look(); ; seen = look()) {
      if (seen !== undefined) return seen;
      await new Promise<void>((resolve) => {
        this.heard = resolve;
      });
    }
  }

  async ask(
    adapter: number | null,
    scale = 1,
    change: Partial<AnswerSettings> = {},
    further: object = {},
  ): Promise<string> {
    const id = String(this.ids++);
    this.send({
      kind: 'answer',
      id,
      settings: { ...settings, ...change },
      adapter,
      scale,
      ...further,
    });
    const end = await this.until(() =>
      this.events.find(
        (event) => (event.kind === 'done' || event.kind === 'error') && event.id === id,
      ),
    );
    if (end.kind === 'error') throw new Error(end.error.message);
    return this.textOf(id);
  }

  textOf(id: string): string {
    return this.events
      .map((event) => (event.kind === 'text' && event.id === id ? event.text : ''))
      .join('');
  }

  end(): Promise<number | null> {
    this.child.stdin.end();
    return this.exit;
  }
}
