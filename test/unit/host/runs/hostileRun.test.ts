import { execFileSync } from 'node:child_process';
import { mkdirSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readEngineRecord } from '../../../../src/formats/run/engineRecord';
import { LineTail } from '../../../../src/host/dashboard/lineTail';
import { RunFolder } from '../../../../src/host/dashboard/runFolder';
import { readLastStep } from '../../../../src/formats/run/lastStep';
import { readRun } from '../../../../src/host/runs/readRun';
import { NO_NOTES, readNotes } from '../../../../src/host/runs/runNotes';
import { RunStore } from '../../../../src/host/runs/runStore';
import { RUN_FILES } from '../../../../src/shared/run';
import { temp } from '../../../support/temp';
import { programPath } from '../../../../scripts/programs.mjs';

const FILES = [RUN_FILES.record, RUN_FILES.engine, RUN_FILES.metrics, 'notes.json'];

/** What a stranger can put at the place of a file. */
const ATTACKS: readonly (readonly [string, (file: string) => void])[] = [
  ['a link to /dev/zero', (file) => symlinkSync('/dev/zero', file)],
  ['a named pipe', (file) => void execFileSync(programPath('mkfifo'), [file])],
  [
    'a link to a named pipe',
    (file) => {
      execFileSync(programPath('mkfifo'), [`${file}.pipe`]);
      symlinkSync(`${file}.pipe`, file);
    },
  ],
  [
    'a file of a terabyte',
    (file) => {
      writeFileSync(file, '');
      truncateSync(file, 2 ** 40);
    },
  ],
  ['a link to a file elsewhere', (file) => symlinkSync('/etc/passwd', file)],
  ['a folder', (file) => mkdirSync(file)],
];

function hostileRun(attack: (file: string) => void, root = temp(), id = 'run'): string {
  const dir = path.join(root, id);
  mkdirSync(dir, { recursive: true });
  for (const name of FILES) attack(path.join(dir, name));
  return dir;
}

describe.skipIf(process.platform === 'win32')('a run folder of a stranger', () => {
  it.each(ATTACKS)('with %s as each file is listed as broken', async (_, attack) => {
    const dir = hostileRun(attack);
    const run = await readRun(dir, Date.now());
    expect(run).toMatchObject({ kind: 'broken', dir });
    expect(run.kind === 'broken' && run.problem).toMatch(/^run\.json cannot be read: it is /);
    expect(await readEngineRecord(dir)).toBeNull();
    expect(await readNotes(dir)).toEqual(NO_NOTES);
    expect(await readLastStep(dir)).toBeNull();
  });

  it.each(ATTACKS)('with %s as each file has no curve and no record', async (_, attack) => {
    const dir = hostileRun(attack);
    const { run, error } = await new RunFolder(dir).read();
    expect(run).toBeNull();
    expect(error?.message).toMatch(/^run\.json cannot be read: it is /);
  });

  it('has no lines where metrics.jsonl is a link or a named pipe', async () => {
    for (const [, attack] of ATTACKS.slice(0, 3)) {
      const lines: string[] = [];
      const file = path.join(hostileRun(attack), RUN_FILES.metrics);
      await new LineTail(file).read(
        (more) => lines.push(...more),
        () => undefined,
      );
      expect(lines).toEqual([]);
    }
  });

  it('keeps no other run from being read, however many there are', async () => {
    const root = path.join(temp(), '.lora', 'runs');
    for (let i = 0; i < 12; i++) hostileRun(ATTACKS[i % ATTACKS.length]![1], root, `run-${i}`);
    const store = new RunStore({ roots: () => [root], mayConnect: () => false });
    await store.refresh();
    expect(store.runs.map((run) => run.state)).toEqual(Array(12).fill('broken'));
    store.dispose();
  });

  it.each(['.lora', '.lora/runs'])('is not looked for where %s is a link', async (linked) => {
    const [project, elsewhere] = [temp(), temp()];
    const target = path.join(elsewhere, linked);
    hostileRun(() => undefined, path.join(elsewhere, '.lora', 'runs'));
    mkdirSync(path.dirname(path.join(project, linked)), { recursive: true });
    symlinkSync(target, path.join(project, linked));
    const root = path.join(project, '.lora', 'runs');
    const store = new RunStore({ roots: () => [root], mayConnect: () => false });
    await store.refresh();
    expect(store.runs).toEqual([]);
    store.dispose();
  });
});
