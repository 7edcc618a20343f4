// A virus scanner reads a gigabyte before libtensorflow is loaded.
import { EventEmitter } from 'node:events';
import path from 'node:path';
import { PassThrough } from 'node:stream';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { installFrom } from '../../../src/runtime/installRuntime';
import { probe, type ProbeResult } from '../../../src/runtime/probe';
import type { Source } from '../../../src/runtime/sources';
import { makePlace, write } from '../../support/runtimePlace';

const started = vi.hoisted(() => ({ minutes: 0 }));
vi.mock('../../../src/common/startProcess', async (original) => ({
  ...(await original<object>()),
  startProcess: (_: string, __: readonly string[], { timeout }: { readonly timeout: number }) =>
    slowProgram(started.minutes * 60_000, timeout),
}));

beforeEach(() => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] });
});
afterEach(() => {
  vi.useRealTimers();
});

const PROBED: ProbeResult = { tensorflow_version: '2.18.1', device: 'cpu', bf16: 'slow' };

/** A program that answers after a while, and is killed at its limit, as by Node. */
function slowProgram(answersAfter: number, timeout: number) {
  const [stdout, stderr] = [new PassThrough(), new PassThrough()];
  const child = Object.assign(new EventEmitter(), { pid: 1, stdout, stderr });
  setTimeout(() => child.emit('close', null, 'SIGKILL'), timeout);
  setTimeout(() => {
    stdout.once('end', () => child.emit('close', 0, null));
    stdout.end(`${JSON.stringify(PROBED)}\n`);
  }, answersAfter);
  return child;
}

it('the check waits for it for many minutes', async () => {
  started.minutes = 10;
  const probed = probe('/b.node', '/dist');
  await vi.advanceTimersByTimeAsync(10 * 60_000);
  expect(await probed).toEqual(PROBED);
});

it('but not for ever', async () => {
  started.minutes = 24 * 60;
  const probed = probe('/b.node', '/dist').catch((error: unknown) => error);
  await vi.advanceTimersByTimeAsync(60 * 60_000);
  expect(String(await probed)).toMatch(/does not work: .*SIGKILL/);
});

it('and the installation says so meanwhile', async () => {
  const place = makePlace();
  const source: Source = {
    name: 'setting',
    id: 'slow',
    fill: (folder) => {
      for (const name of Object.values(place.pin.libraries))
        write(path.join(folder, name), 'library');
      return Promise.resolve('It is a test.');
    },
  };
  const [asked, answer] = [deferred<undefined>(), deferred<ProbeResult>()];
  const shown: string[] = [];
  const installed = installFrom({
    source,
    pin: place.pin,
    runtime: place.runtime,
    options: { ...place.options(), onProgress: ({ message }) => shown.push(message) },
    machine: {
      ...place.machine,
      probe: () => {
        asked.resolve(undefined);
        return answer.promise;
      },
    },
  });
  await asked.promise;
  await vi.advanceTimersByTimeAsync(130_000);
  expect(shown.at(-1)).toMatch(/virus scanner .*130 s so far/);
  answer.resolve(PROBED);
  expect((await installed)?.kind).toBe('tensorflow');
  const count = shown.length;
  await vi.advanceTimersByTimeAsync(60_000);
  expect(shown).toHaveLength(count);
});

function deferred<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let settle: (value: T) => void = () => undefined;
  const promise = new Promise<T>((resolve) => (settle = resolve));
  return { promise, resolve: (value) => settle(value) };
}
