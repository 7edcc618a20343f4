import { PassThrough, Duplex } from 'node:stream';
import {
  createMessageConnection,
  StreamMessageReader,
  StreamMessageWriter,
} from 'vscode-jsonrpc/node';
import { describe, expect, it, vi } from 'vitest';
import { NotReached, RemotePipe } from '../../../../src/engine/remote/remotePipe';
import { LoraError } from '../../../../src/shared/errors';

const handle = { job: '20260101-000000-0001', values: {} };
const listener = {
  onStatus: () => undefined,
  onProgress: () => undefined,
  onLog: () => undefined,
  onMetric: () => undefined,
};

/** The end of a pipe at which an engine answers requests with their names. */
function engine(): Duplex {
  const [here, there] = [new PassThrough(), new PassThrough()];
  const connection = createMessageConnection(
    new StreamMessageReader(here),
    new StreamMessageWriter(there),
  );
  connection.onRequest((name) => name);
  connection.listen();
  return Duplex.from({ readable: there, writable: here });
}

/** `answers`: what each attempt to connect gives, the last one from then on. */
function pipeTo(answers: readonly (() => Duplex | null)[]) {
  let attempts = 0;
  const connect = () =>
    Promise.resolve().then(() => answers[Math.min(attempts++, answers.length - 1)]!());
  const pipe = new RemotePipe({ name: 'box', connect }, handle, listener);
  return { pipe, attempts: () => attempts };
}

const unreachable = () => {
  throw new LoraError('target', 'box does not answer.');
};

describe('a request to the engine on a target', () => {
  it('waits until the engine has opened its pipe, though it was refused a moment ago', async () => {
    const { pipe, attempts } = pipeTo([() => null, () => null, engine]);
    await pipe.connect();
    await pipe.connect();
    expect(attempts()).toBe(1);
    expect(await pipe.request('stop', undefined)).toBe('stop');
    expect(attempts()).toBe(3);
    pipe.dispose();
  });

  it('shares one attempt with those who ask meanwhile', async () => {
    const { pipe, attempts } = pipeTo([engine]);
    const asked = (['pause', 'resume', 'stop'] as const).map((name) =>
      pipe.request(name, undefined),
    );
    expect(await Promise.all(asked)).toEqual(['pause', 'resume', 'stop']);
    expect(attempts()).toBe(1);
    pipe.dispose();
  });

  it('is refused at once where the target cannot be reached', async () => {
    const { pipe, attempts } = pipeTo([unreachable, engine]);
    await expect(pipe.request('stop', undefined)).rejects.toBeInstanceOf(NotReached);
    expect(attempts()).toBe(1);
    expect(await pipe.request('stop', undefined)).toBe('stop');
    pipe.dispose();
  });

  it('leaves no timer behind where the connection was cut within a message', async () => {
    const stream = new PassThrough();
    const { pipe } = pipeTo([() => stream]);
    vi.useFakeTimers();
    try {
      await pipe.connect();
      stream.write('Content-Length: 100\r\n\r\n{"jsonrpc"');
      await vi.advanceTimersByTimeAsync(1);
      pipe.dispose();
      expect(vi.getTimerCount()).toBe(0);
    } finally {
      vi.useRealTimers();
    }
  });

  it('ends with the pipe', async () => {
    const { pipe } = pipeTo([() => null]);
    const asked = pipe.request('stop', undefined);
    pipe.dispose();
    await expect(asked).rejects.toThrow('The engine on box cannot be reached now.');
  });
});
