import { build } from 'esbuild';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { createInterface } from 'node:readline';
import { describe, expect, it, onTestFinished } from 'vitest';
import { findRuntime } from '../../../src/runtime/findRuntime';
import { installRuntime } from '../../../src/runtime/installRuntime';
import { LIBRARIES, makePlace, type Place } from '../../support/runtimePlace';

const find = (place: Place) => findRuntime(place.runtime, place.machine);

/** Resolves with the process id of pip when half of the wheel is downloaded. */
function halfWay(place: Place): Promise<number> {
  const { log } = place;
  return new Promise((resolve) => {
    log.push = (...lines: string[]) => {
      for (const line of lines) if (line.startsWith('half ')) resolve(Number(line.slice(5)));
      return Array.prototype.push.apply(log, lines);
    };
  });
}

async function startChild(place: Place) {
  const outfile = path.join(place.root, 'installChild.cjs');
  await build({
    entryPoints: [path.resolve('test/support/installChild.ts')],
    bundle: true,
    platform: 'node',
    format: 'cjs',
    outfile,
    logLevel: 'warning',
  });
  return () => {
    const child = spawn(
      process.execPath,
      [outfile, JSON.stringify({ runtime: place.runtime, pin: place.pin, env: place.env })],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    onTestFinished(() => void child.kill('SIGKILL'));
    return child;
  };
}

describe('an interrupted installation', () => {
  it('stops pip and leaves no files if cancelled during the download', async () => {
    const place = makePlace();
    place.python({ pip: 'hang' });
    const controller = new AbortController();
    const half = halfWay(place);
    const installing = installRuntime(
      place.runtime,
      place.options(controller.signal),
      place.machine,
    );
    const pip = await half;
    controller.abort();
    await expect(installing).rejects.toMatchObject({ area: 'cancelled' });
    expect(() => process.kill(pip, 0)).toThrow('ESRCH');
    expect(await find(place)).toBeNull();
    expect(place.inHome()).toEqual([]);
  });

  it('does nothing if cancelled before it starts', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    await expect(
      installRuntime(place.runtime, place.options(AbortSignal.abort()), place.machine),
    ).rejects.toMatchObject({ area: 'cancelled' });
    expect(place.inHome()).toEqual([]);
  });

  it('leaves no files if cancelled while libtensorflow is verified', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const controller = new AbortController();
    const machine = {
      ...place.machine,
      probe: (...args: Parameters<typeof place.machine.probe>) => (
        controller.abort(),
        place.machine.probe(...args)
      ),
    };
    await expect(
      installRuntime(place.runtime, place.options(controller.signal), machine),
    ).rejects.toMatchObject({ area: 'cancelled' });
    expect(place.inHome()).toEqual([]);
  });

  it('is not used after a kill, and cleaned up by the next installation', async () => {
    const place = makePlace();
    place.python({ pip: 'hang' });
    const child = (await startChild(place))();
    for await (const line of createInterface({ input: child.stdout }))
      if (line.startsWith('half ')) break;
    child.kill('SIGKILL');
    await once(child, 'exit');
    expect(place.inHome()).toEqual([expect.stringMatching(/^\.install-/)]);
    expect(await find(place)).toBeNull();

    place.python({ pip: 'wheel' });
    expect(await installRuntime(place.runtime, place.options(), place.machine)).toMatchObject({
      source: 'wheel',
    });
    expect(place.inHome()).toEqual(['tensorflow-2.18.1-linux-x64']);
  });

  it('does not disturb an installation in another process', async () => {
    const place = makePlace();
    place.python({ pip: 'hang' });
    const child = (await startChild(place))();
    for await (const line of createInterface({ input: child.stdout }))
      if (line.startsWith('half ')) break;
    const [theirs] = place.inHome();
    place.python({ pip: 'wheel' });
    await installRuntime(place.runtime, place.options(), place.machine);
    expect(place.inHome()).toEqual([theirs, 'tensorflow-2.18.1-linux-x64']);
  });
});

describe('concurrent installations', () => {
  it('all succeed with the same complete runtime', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const start = await startChild(place);
    const outputs = await Promise.all(
      [1, 2, 3, 4].map(async () => {
        const child = start();
        const lines: string[] = [];
        for await (const line of createInterface({ input: child.stdout })) lines.push(line);
        return lines.at(-1);
      }),
    );
    const runtime = await find(place);
    expect(runtime?.kind).toBe('tensorflow');
    for (const output of outputs) expect(JSON.parse(output ?? 'null')).toEqual(runtime);
    expect(place.inHome()).toEqual(['tensorflow-2.18.1-linux-x64']);
  });

  it('keep a complete runtime that may be in use', async () => {
    const place = makePlace();
    place.python({ pip: 'wheel' });
    const manifest = () =>
      readFileSync(
        path.join(place.runtime.home, 'tensorflow-2.18.1-linux-x64', 'runtime.json'),
        'utf8',
      );
    await installRuntime(place.runtime, place.options(), place.machine);
    const first = manifest();
    await installRuntime(place.runtime, place.options(), place.machine);
    expect(manifest()).toBe(first);
    expect(JSON.parse(first)).toMatchObject({ files: LIBRARIES.map((name) => ({ name })) });
  });
});
