import { existsSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it, vi } from 'vitest';
import { runJob, type JobCommand } from '../../src/host/jobs/runJob';
import { makeLargeBase } from '../support/largeBase';
import { dist } from '../support/tfjs';
import { fixtures, tempFolder } from '../support/commandLine';

vi.mock('vscode', () => ({ workspace: {} })); // no folder is open

const job = (args: readonly string[], own: Partial<JobCommand> = {}) =>
  runJob<Record<string, unknown>>({
    node: process.execPath,
    cli: path.join(dist, 'cli.js'),
    args,
    env: {},
    signal: new AbortController().signal,
    onProgress: () => undefined,
    onWarning: () => undefined,
    ...own,
  });

describe('a job of the extension host', () => {
  it('reports its progress and warnings, and resolves with its result', async () => {
    const [phases, warnings]: [string[], string[]] = [[], []];
    const output = path.join(tempFolder(), 'merged');
    const result = await job(
      [
        'merge',
        '--base',
        path.join(fixtures, 'llama/base'),
        '--adapter',
        path.join(fixtures, 'llama/pair/adapter_a'),
        '--output',
        output,
        '--scale',
        '0.5',
      ],
      {
        onProgress: (phase, fraction) => phases.push(`${phase} ${fraction}`),
        onWarning: (message) => warnings.push(message),
      },
    );
    expect(result).toMatchObject({ kind: 'result', output });
    expect(phases).toEqual(
      expect.arrayContaining(['merging 1', 'checking inputs 1', 'comparing 1']),
    );
    expect(warnings).toEqual([expect.stringMatching(/made for fixtures\/llama-tiny/)]);
  });

  it('rejects with the error of the engine: area, file and fix', async () => {
    await expect(job(['compare', fixtures, fixtures])).rejects.toMatchObject({
      area: 'adapter',
      place: { file: fixtures },
      fix: expect.any(String) as string,
    });
    await expect(job(['nonsense'])).rejects.toMatchObject({ area: 'usage' });
    await expect(job([], { node: path.join(tempFolder(), 'gone') })).rejects.toMatchObject({
      area: 'engine',
    });
  });

  it.each([
    ['SIGKILL', /^The system ended the process \(SIGKILL\), most often because memory ran out/],
    ['SIGTERM', /^The process was ended by the signal SIGTERM\.$/],
  ])('says that %s has ended it', async (signal, message) => {
    const cli = path.join(tempFolder(), 'cli.cjs');
    writeFileSync(cli, `process.kill(process.pid, '${signal}'); setInterval(() => {}, 1000);`);
    await expect(job([], { cli })).rejects.toMatchObject({
      area: 'engine',
      message: expect.stringMatching(message) as string,
    });
  });

  it('says that it ran out of memory', async () => {
    const cli = path.join(tempFolder(), 'cli.cjs');
    writeFileSync(cli, 'const kept = []; for (;;) kept.push(new Array(1e6).fill(0.5));');
    const env = { NODE_OPTIONS: '--max-old-space-size=32' };
    await expect(job([], { cli, env })).rejects.toMatchObject({
      message: expect.stringMatching(/^The process ran out of memory\./) as string,
    });
  });

  it('leaves nothing after it was cancelled', async () => {
    const { base, adapter } = await makeLargeBase(tempFolder(), 400e6);
    const output = path.join(tempFolder(), 'merged');
    const controller = new AbortController();
    const running = job(
      ['merge', '--base', base, '--adapter', adapter, '--output', output, '--no-parity'],
      { signal: controller.signal, onProgress: () => controller.abort() },
    );
    await expect(running).rejects.toMatchObject({ area: 'cancelled' });
    expect(existsSync(output)).toBe(false);
    expect(readdirSync(path.dirname(output))).toEqual([]);
    await expect(
      job(['compare', adapter, adapter], { signal: AbortSignal.abort() }),
    ).rejects.toMatchObject({ area: 'cancelled' });
  });

  it('is killed when it does not end, and leaves nothing then either', async () => {
    const cli = path.join(tempFolder(), 'cli.cjs');
    const output = path.join(tempFolder(), 'merged');
    writeFileSync(
      cli,
      `process.on('SIGINT', () => undefined);
      require('node:fs').mkdirSync(\`\${process.argv[3]}.\${process.pid}.tmp\`);
      console.log('{"kind": "progress", "phase": "merging", "fraction": 0}');
      setInterval(() => undefined, 1000);`,
    );
    const controller = new AbortController();
    let seen: string[] = [];
    const running = job(['--output', output], {
      cli,
      signal: controller.signal,
      onProgress: () => {
        seen = readdirSync(path.dirname(output));
        controller.abort();
      },
    });
    await expect(running).rejects.toMatchObject({ area: 'cancelled' });
    expect(seen).toEqual([expect.stringMatching(/^merged\.\d+\.tmp$/)]);
    expect(readdirSync(path.dirname(output))).toEqual([]);
  });
});
