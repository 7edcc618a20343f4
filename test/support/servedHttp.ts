import { spawn, type ChildProcessByStdio } from 'node:child_process';
import path from 'node:path';
import type { Readable } from 'node:stream';
import OpenAI from 'openai';
import { messageSplitter } from '../../src/common/lineSplitter';
import { dist } from './tfjs';

interface ReadyEvent {
  readonly kind: 'ready';
  readonly url: string;
  readonly models: readonly string[];
}

/** A running `lora serve --http`, on a free port. */
export class ServedHttp {
  readonly exit: Promise<number | null>;
  /** Resolves when the models are loaded. */
  readonly ready: Promise<ReadyEvent>;
  private readonly child: ChildProcessByStdio<null, Readable, Readable>;

  constructor(args: readonly string[], env: Record<string, string> = {}) {
    const own = ['serve', '--http', '--port', '0', '--base-dtype', 'float32', ...args, '--json'];
    this.child = spawn(process.execPath, [path.join(dist, 'cli.js'), ...own], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    let stderr = '';
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    this.exit = new Promise((resolve) => this.child.on('close', resolve));
    this.ready = new Promise((resolve, reject) => {
      const lines = messageSplitter((line) => {
        const event = JSON.parse(line) as { readonly kind: string };
        if (event.kind === 'ready') resolve(event as ReadyEvent);
      });
      this.child.stdout.on('data', (chunk: Buffer) => lines.push(chunk));
      void this.exit.then(() => reject(new Error(stderr)));
    });
    this.ready.catch(() => undefined);
  }

  /** A client that does not try again. */
  async client(apiKey = 'none'): Promise<OpenAI> {
    const { url } = await this.ready;
    return new OpenAI({ baseURL: url, apiKey, maxRetries: 0 });
  }

  /** Sends a signal, and waits for the end. */
  end(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | null> {
    this.child.kill(signal);
    return this.exit;
  }

  get pid(): number {
    return this.child.pid!;
  }
}
