import path from 'node:path';
import { Signal, type Disposable } from '../../common/signal';
import type { LiveRun } from '../runs/run';
import { connectEngine, type EngineClient } from './engineClient';

interface Link {
  readonly client: EngineClient;
  live: LiveRun;
}

/** One connection to each running engine, and the newest state that each has sent. */
export class EngineLinks implements Disposable {
  private readonly links = new Map<string, Link>();
  private readonly connecting = new Set<string>();
  private readonly changed = new Signal();
  private readonly closed = new Signal<string>();
  private readonly opened = new Signal<string>();
  private readonly trouble = new Signal<string>();
  private disposed = false;

  /** Fires when an engine has sent something new. */
  readonly onChange = this.changed.event;
  /** Fires with the run's folder when its engine was reached. */
  readonly onOpen = this.opened.event;
  /** Fires with the run's folder when the connection to its engine has ended. */
  readonly onClose = this.closed.event;
  /** Fires with each warning and error that an engine reports, for the log. */
  readonly onTrouble = this.trouble.event;

  /** The newest state that the engine of a run has sent; null without a connection. */
  live(dir: string): LiveRun | null {
    return this.links.get(dir)?.live ?? null;
  }

  /** The connection to the engine of a run, which stays owned by this object. */
  client(dir: string): EngineClient | undefined {
    return this.links.get(dir)?.client;
  }

  /** The folders of the runs whose engines are connected. */
  get dirs(): string[] {
    return [...this.links.keys()];
  }

  /**
   * Connects unless connected already. An engine that doesn't respond is ignored until the next
   * call.
   */
  async connect(dir: string): Promise<void> {
    if (this.links.has(dir) || this.connecting.has(dir)) return;
    this.connecting.add(dir);
    try {
      this.follow(dir, await connectEngine(dir));
    } catch {
      // no engine yet, or no longer
    } finally {
      this.connecting.delete(dir);
    }
  }

  private follow(dir: string, client: EngineClient): void {
    if (this.disposed) {
      client.dispose();
      return;
    }
    const link: Link = { client, live: { status: null, progress: null, step: null } };
    this.links.set(dir, link);
    const update = (change: Partial<LiveRun>) => {
      link.live = { ...link.live, ...change };
      this.changed.fire();
    };
    client.on('metric', (line) => line.kind === 'step' && update({ step: line }));
    client.on('status', (status) => update({ status }));
    client.on('progress', (progress) => update({ progress }));
    client.on(
      'log',
      ({ level, message }) =>
        level !== 'info' && this.trouble.fire(`${path.basename(dir)}: ${message}`),
    );
    client.onClose(() => {
      this.links.delete(dir);
      this.closed.fire(dir);
    });
    client.request('status', undefined).then(
      (status) => update({ status }),
      () => client.dispose(),
    );
    this.opened.fire(dir);
  }

  dispose(): void {
    this.disposed = true;
    for (const signal of [this.changed, this.opened, this.closed, this.trouble]) signal.dispose();
    for (const { client } of [...this.links.values()]) client.dispose();
  }
}
