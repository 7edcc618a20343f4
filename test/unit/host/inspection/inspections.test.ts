import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import { isProcessAlive } from '../../../../src/common/system';
import { Inspections, type InspectionLimits } from '../../../../src/host/inspection/inspections';
import { temp } from '../../../support/temp';

/** Does what the file of a question is called, or answers with its process id. */
const ACTIONS = `
const acts = {
  abort: () => process.abort(),
  exit: () => process.exit(3),
  hang: () => { for (;;); },
  fill: () => { for (const all = []; ; ) all.push({ own: [all.length] }); },
  flood: () => process.stdout.write('x'.repeat(50 * 2 ** 20)),
  babble: () => console.log('{}'),
  refuse: () => console.log(JSON.stringify({ kind: 'error', error: { area: 'dataset', message: 'No.' } })),
};
require('node:readline').createInterface({ input: process.stdin }).on('line', (line) => {
  const { asked: { file } } = JSON.parse(line);
  require('node:fs').appendFileSync(__dirname + '/received', file + ' ');
  const act = acts[file];
  if (act) act();
  else console.log(JSON.stringify({ kind: 'answer', answer: process.pid }));
});
`;

function open(limits: Partial<InspectionLimits> = {}, node = process.execPath) {
  const folder = temp();
  const script = path.join(folder, 'actions.cjs');
  writeFileSync(script, ACTIONS);
  const inspections = new Inspections({ node, script, env: () => process.env, limits });
  onTestFinished(() => inspections.dispose());
  const received = path.join(folder, 'received');
  const untilReceived = (file: string) =>
    vi.waitUntil(() => existsSync(received) && readFileSync(received, 'utf8').includes(file), {
      timeout: 60_000,
    });
  return { inspections, untilReceived };
}
/** The answer to a question: the id of the process that gave it. */
const ask = (inspections: Inspections, file: string, signal?: AbortSignal) =>
  inspections.ask('dataset', { file, siblings: [] }, signal) as Promise<unknown> as Promise<number>;
const untilEnded = (pid: number) => vi.waitUntil(() => !isProcessAlive(pid), { timeout: 60_000 });

describe('the process that inspects files', () => {
  it('answers one question after the other', async () => {
    const { inspections } = open();
    const [a, b] = await Promise.all([ask(inspections, 'a'), ask(inspections, 'b')]);
    expect(a).toBe(b);
    expect(a).not.toBe(process.pid);
  });

  it.each([
    ['abort', {}, /^The process that read this ended unexpectedly: SIGABRT\.$/],
    ['exit', {}, /^The process that read this ended unexpectedly: exit code 3\.$/],
    ['hang', { seconds: 5 }, /^Reading the file takes more than 5 seconds, so it was stopped\.$/],
    ['fill', { heap: 32 }, /^Reading the file takes too much memory, so it was stopped\.$/],
    ['flood', {}, /^The file contains more than can be shown\.$/],
    ['babble', {}, /ended unexpectedly: an answer that is not valid\.$/],
  ] as const)(
    'that does "%s" is one clear error, and the next one answers',
    async (act, limits, message) => {
      const { inspections } = open(limits);
      const before = await ask(inspections, 'before');
      const [failed, after] = await Promise.allSettled([
        ask(inspections, act),
        ask(inspections, 'after'),
      ]);
      expect(failed).toMatchObject({
        status: 'rejected',
        reason: {
          area: 'dataset',
          place: { file: act },
          message: expect.stringMatching(message) as string,
        },
      });
      expect(after).toMatchObject({ status: 'fulfilled' });
      await untilEnded(before);
      expect(after).not.toMatchObject({ value: before });
    },
  );

  it('that refuses a file goes on', async () => {
    const { inspections } = open();
    const before = await ask(inspections, 'before');
    await expect(ask(inspections, 'refuse')).rejects.toMatchObject({ message: 'No.' });
    expect(await ask(inspections, 'after')).toBe(before);
  });

  it('that cannot be started is an error', async () => {
    const { inspections } = open({}, path.join(import.meta.dirname, 'gone'));
    await expect(ask(inspections, 'a')).rejects.toMatchObject({
      message: expect.stringContaining('ENOENT') as string,
    });
  });

  it('is ended when the question is cancelled, also in the middle of it', async () => {
    const { inspections, untilReceived } = open();
    const pid = await ask(inspections, 'before');
    const controller = new AbortController();
    const asked = ask(inspections, 'hang', controller.signal);
    const waiting = ask(inspections, 'waiting', controller.signal);
    const refused = Promise.all(
      [asked, waiting].map((each) => expect(each).rejects.toMatchObject({ area: 'cancelled' })),
    );
    await untilReceived('hang');
    controller.abort();
    await refused;
    await untilEnded(pid);
    expect(await ask(inspections, 'after')).not.toBe(pid);
  });

  it('is ended when it is not needed', async () => {
    await untilEnded(await ask(open({ idle: 0.01 }).inspections, 'a'));
  });

  it('is ended with the window, whatever it is doing', async () => {
    const { inspections, untilReceived } = open();
    const pid = await ask(inspections, 'a');
    const refused = expect(ask(inspections, 'hang')).rejects.toMatchObject({ area: 'cancelled' });
    await untilReceived('hang');
    inspections.dispose();
    await refused;
    await untilEnded(pid);
    await expect(ask(inspections, 'a')).rejects.toMatchObject({ area: 'cancelled' });
  });
});
