import { appendFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, onTestFinished, test, vi } from 'vitest';
import type { MetricLine } from '../../../../src/shared/metrics/lines';
import type { ConnectRun, RunFollower } from '../../../../src/host/dashboard/follower';
import { RunFolder, statusFromFolder } from '../../../../src/host/dashboard/runFolder';
import { RunSource } from '../../../../src/host/dashboard/runSource';
import type {
  EngineNotificationName,
  EngineNotifications,
  EngineStatus,
} from '../../../../src/shared/engineProtocol';
import type { RunRecord } from '../../../../src/shared/run';
import type { HostMessage } from '../../../../src/shared/pages/dashboard/protocol';
import { evalLine, stepLine } from '../../../support/metricLines';
import { runRecord } from '../../../support/runs';

let runDir: string;
let source: RunSource | undefined;
let sent: HostMessage[];
beforeEach(async () => {
  runDir = await mkdtemp(path.join(tmpdir(), 'lora-run-'));
  sent = [];
});
afterEach(async () => {
  source?.stop();
  await rm(runDir, { recursive: true, force: true });
});

const noEngine: ConnectRun = () => Promise.reject(new Error('no engine'));
const write = (name: string, value: unknown) =>
  writeFile(path.join(runDir, name), JSON.stringify(value));
const writeRun = (values: Partial<RunRecord> = {}) =>
  write('run.json', runRecord({ created: new Date().toISOString(), ...values }));
const writeEngine = (pid = process.pid) =>
  write('engine.json', {
    pid,
    started: new Date().toISOString(),
    pipe: path.join(runDir, 'engine.json'),
    heartbeat: new Date().toISOString(),
  });
const append = (...lines: readonly MetricLine[]) =>
  appendFile(
    path.join(runDir, 'metrics.jsonl'),
    lines.map((line) => `${JSON.stringify(line)}\n`).join(''),
  );
const record = (message: HostMessage) => Promise.resolve(sent.push(message));
const of = <K extends HostMessage['kind']>(kind: K) =>
  sent.filter((message): message is Extract<HostMessage, { kind: K }> => message.kind === kind);

/** Waits for what a poll or the engine brings; the limit only ends a test that fails. */
const eventually = (check: () => void) => vi.waitFor(check, { timeout: 100_000 });

/** The time until the next look at the folder is then up to the test. */
function useFakeTimers(): void {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  onTestFinished(() => void vi.useRealTimers());
}

/** Waits, while no timer runs, until the folder has been read. */
async function afterReading(isRead: () => boolean): Promise<void> {
  while (!isRead()) await new Promise(setImmediate);
}

async function startSource(connect: ConnectRun = noEngine): Promise<RunSource> {
  source = new RunSource(runDir, connect, record);
  await source.start();
  return source;
}

/** The connection to an engine, whose notifications the test sends. */
class FakeConnection implements RunFollower {
  readonly requests: string[] = [];
  disposed = false;
  status: EngineStatus = {
    state: 'running',
    step: 1,
    total_steps: 10,
    seconds_left: 7,
    error: null,
  };
  private readonly listeners = new Map<string, (value: never) => void>();

  request(name: string): Promise<EngineStatus> {
    this.requests.push(name);
    return Promise.resolve(this.status);
  }

  on<N extends EngineNotificationName>(
    name: N,
    listener: (params: EngineNotifications[N]) => void,
  ) {
    this.listeners.set(name, listener);
    return { dispose: () => this.listeners.delete(name) };
  }

  onClose(listener: () => void) {
    this.listeners.set('close', listener);
    return { dispose: () => this.listeners.delete('close') };
  }

  notify<N extends EngineNotificationName>(name: N, value: EngineNotifications[N]): void {
    this.listeners.get(name)?.(value as never);
  }

  close(): void {
    (this.listeners.get('close') as (() => void) | undefined)?.();
  }

  dispose(): void {
    this.disposed = true;
  }
}

test('the first message is a snapshot of the whole run folder', async () => {
  await writeRun({ state: 'completed' });
  await append(evalLine(0, 3), stepLine(1), stepLine(2, { loss: 1 }));
  await startSource();
  expect(sent).toHaveLength(1);
  const [snapshot] = of('snapshot');
  expect(Array.from(snapshot!.steps.loss)).toEqual([2, 1]);
  expect(snapshot!.lines).toEqual([evalLine(0, 3)]);
  expect([snapshot!.run?.name, snapshot!.status.state, snapshot!.link]).toEqual([
    'tiny',
    'completed',
    'ended',
  ]);
});

test('without an engine, new lines are read from the folder within seconds, each once', async () => {
  await writeRun();
  await writeEngine();
  await append(stepLine(1));
  await startSource();
  expect(of('snapshot')[0]!.link).toBe('folder');
  await append(stepLine(2), stepLine(3));
  await eventually(() =>
    expect(of('append').flatMap((m) => m.lines.map((line) => line.step))).toEqual([2, 3]),
  );
  await append(stepLine(4));
  await eventually(() =>
    expect(of('append').flatMap((m) => m.lines.map((line) => line.step))).toEqual([2, 3, 4]),
  );
});

test('an untrusted workspace is reported until it is trusted, rather than an engine that does not respond', async () => {
  await writeRun({ state: 'running' });
  await writeEngine();
  let trusted = false;
  source = new RunSource(runDir, noEngine, record, () => trusted);
  await source.start();
  expect(of('snapshot')[0]!.link).toBe('untrusted');
  trusted = true;
  await eventually(() => expect(of('status').at(-1)?.link).toBe('folder'));
});

test('a changed record is sent', async () => {
  await writeRun();
  await writeEngine();
  await startSource();
  await writeRun({ state: 'completed', ended: new Date().toISOString() });
  await eventually(() => {
    expect(of('run').at(-1)?.run.state).toBe('completed');
    expect(of('status').at(-1)).toMatchObject({ status: { state: 'completed' }, link: 'ended' });
  });
});

test('an empty folder is a run that is preparing', async () => {
  await startSource();
  expect(of('snapshot')[0]).toMatchObject({
    run: null,
    status: { state: 'preparing', error: null },
  });
});

test('a responding engine is followed: status, progress, warnings, and lines before the next poll', async () => {
  await writeRun();
  await writeEngine();
  const connection = new FakeConnection();
  useFakeTimers();
  await startSource(() => Promise.resolve(connection));
  expect(of('snapshot')[0]).toMatchObject({ link: 'engine', status: { seconds_left: 7 } });
  connection.notify('progress', { phase: 'evaluating', fraction: 0.5 });
  connection.notify('log', { level: 'info', message: 'quiet' });
  connection.notify('log', { level: 'warn', message: 'loud' });
  connection.notify('status', { ...connection.status, state: 'paused' });
  vi.advanceTimersByTime(100);
  await afterReading(() => of('status').length > 0);
  expect(of('progress')[0]!.progress).toEqual({ phase: 'evaluating', fraction: 0.5 });
  expect(of('log').map((m) => m.message)).toEqual(['loud']);
  expect(of('status').at(-1)!.status.state).toBe('paused');
  await append(stepLine(1));
  connection.notify('metric', stepLine(1));
  vi.advanceTimersByTime(100);
  await afterReading(() => of('append').length === 1);
});

test('a window that is behind gets nothing more until it has the last message, then the newest', async () => {
  await writeRun();
  await writeEngine();
  const connection = new FakeConnection();
  let deliver = () => {};
  useFakeTimers();
  source = new RunSource(
    runDir,
    () => Promise.resolve(connection),
    async (message) => {
      sent.push(message);
      await new Promise<void>((resolve) => (deliver = resolve));
    },
  );
  await source.start();
  for (let step = 1; step <= 100; step++) {
    await append(stepLine(step));
    connection.notify('metric', stepLine(step));
    connection.notify('status', { ...connection.status, step });
    connection.notify('progress', { phase: 'training', fraction: step / 100 });
    vi.advanceTimersByTime(100);
    await new Promise(setImmediate);
  }
  expect(sent.map(({ kind }) => kind)).toEqual(['snapshot']);
  for (let i = 0; of('append').length === 0 || of('progress').length === 0; i++) {
    deliver();
    vi.advanceTimersByTime(100);
    await new Promise(setImmediate);
    expect(i).toBeLessThan(100_000);
  }
  expect(of('append')[0]!.lines.at(-1)).toEqual(stepLine(100));
  expect(of('progress')[0]!.progress).toEqual({ phase: 'training', fraction: 1 });
  expect(of('status')[0]!.status.step).toBe(100);
});

test('requests go to the engine, and fail with a message without one', async () => {
  await writeRun();
  await writeEngine();
  const connection = new FakeConnection();
  const live = await startSource(() => Promise.resolve(connection));
  connection.status = { ...connection.status, state: 'paused' };
  await live.request('pause');
  expect(connection.requests).toEqual(['status', 'pause']);
  expect(of('status').at(-1)!.status.state).toBe('paused');
  live.stop();
  await expect(live.request('pause')).rejects.toThrow('does not respond');
});

test('a run whose pipe breaks is followed through its folder, then over a new pipe', async () => {
  await writeRun();
  await writeEngine();
  const connections = [new FakeConnection(), new FakeConnection()];
  let connected = 0;
  await startSource(() => Promise.resolve(connections[connected++]!));
  connections[0]!.close();
  await eventually(() => expect(connected).toBe(2));
  await eventually(() => expect(of('status').at(-1)?.link ?? 'engine').toBe('engine'));
  expect(connections[0]!.disposed).toBe(true);
  connections[0]!.notify('status', { ...connections[0]!.status, state: 'failed' });
  expect(of('status').some((m) => m.status.state === 'failed')).toBe(false);
});

test('nothing is read or sent while stopped, and the next start sends everything', async () => {
  await writeRun();
  await writeEngine();
  const connection = new FakeConnection();
  useFakeTimers();
  const live = await startSource(() => Promise.resolve(connection));
  expect(vi.getTimerCount()).toBe(1);
  live.stop();
  expect(connection.disposed).toBe(true);
  await append(stepLine(1));
  connection.notify('metric', stepLine(1));
  expect(vi.getTimerCount()).toBe(0);
  expect(sent.map((m) => m.kind)).toEqual(['snapshot']);
  await live.start();
  expect(Array.from(of('snapshot')[1]!.steps.step)).toEqual([1]);
});

test('a long run is sent as an outline, then, once wanted, with all its steps', async () => {
  await writeRun({ state: 'completed' });
  const steps = Array.from({ length: 20_000 }, (_, i) => stepLine(i + 1));
  await append(evalLine(0, 3), ...steps);
  source = new RunSource(runDir, noEngine, record);
  source.prepare();
  await source.outline();
  expect(sent).toHaveLength(1);
  const [outline] = of('snapshot');
  expect(outline).toMatchObject({ outline: true, lines: [evalLine(0, 3)], link: 'ended' });
  expect(outline!.steps.step.length).toBeLessThan(5000);
  expect(outline!.steps.step.at(-1)).toBe(20_000);
  expect((await source.metrics()).length).toBe(20_000);
  await source.start();
  expect(of('snapshot')[1]).toMatchObject({ outline: false, lines: [evalLine(0, 3)] });
  expect(of('snapshot')[1]!.steps.step).toHaveLength(20_000);
});

test('a short run is sent as a whole where an outline is asked for', async () => {
  await writeRun();
  await append(stepLine(1));
  source = new RunSource(runDir, noEngine, record);
  await source.outline();
  expect(of('snapshot').map(({ outline, steps }) => [outline, steps.step.length])).toEqual([
    [false, 1],
  ]);
});

test('rewritten metrics are sent as a new snapshot', async () => {
  await writeRun();
  await writeEngine();
  await append(stepLine(1), stepLine(2));
  await startSource();
  await writeFile(
    path.join(runDir, 'metrics.jsonl'),
    `${JSON.stringify(stepLine(1, { loss: 9 }))}\n`,
  );
  await eventually(() => expect(Array.from(of('snapshot').at(-1)!.steps.loss)).toEqual([9]));
});

test('invalid and unknown lines are ignored', async () => {
  await writeRun();
  await writeFile(
    path.join(runDir, 'metrics.jsonl'),
    `{"kind":"step"\n{"kind":"novelty","step":1}\n${JSON.stringify(stepLine(1))}\n{"kind":"st`,
  );
  await startSource();
  expect(Array.from(of('snapshot')[0]!.steps.step)).toEqual([1]);
});

test('a run whose engine has ended is interrupted; a new one is preparing', async () => {
  await writeRun({ state: 'running' });
  await writeEngine(2 ** 22 + 1);
  const now = Date.now();
  expect(statusFromFolder(await new RunFolder(runDir).read(), 4, now)).toMatchObject({
    state: 'interrupted',
    step: 4,
  });
  await rm(path.join(runDir, 'engine.json'));
  await writeRun({ state: 'preparing' });
  const folder = await new RunFolder(runDir).read();
  expect(statusFromFolder(folder, 0, now).state).toBe('preparing');
  expect(statusFromFolder(folder, 0, now + 60_000).state).toBe('interrupted');
});

test('a live process with an old heartbeat is not the engine', async () => {
  await writeRun({ state: 'running' });
  await write('engine.json', {
    pid: process.pid,
    started: '',
    pipe: '/none',
    heartbeat: new Date(Date.now() - 3_600_000).toISOString(),
  });
  expect(statusFromFolder(await new RunFolder(runDir).read(), 0, Date.now()).state).toBe(
    'interrupted',
  );
});

test('an unreadable record is an error that names its file, a missing one only after a while', async () => {
  await writeFile(path.join(runDir, 'run.json'), '{"half":');
  const broken = await new RunFolder(runDir).read();
  expect(statusFromFolder(broken, 0, 0)).toMatchObject({
    state: 'failed',
    error: { area: 'run', place: { file: path.join(runDir, 'run.json') } },
  });
  await rm(path.join(runDir, 'run.json'));
  await mkdir(path.join(runDir, 'checkpoints'));
  let now = 0;
  const folder = new RunFolder(runDir, () => now);
  expect((await folder.read()).error).toBeNull();
  now = 60_000;
  expect((await folder.read()).error?.message).toContain('has no run.json');
});
