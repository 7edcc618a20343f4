import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { defaultRuntimeHome, findRuntime, wasmRuntime } from '../../src/runtime/findRuntime';
import { preloadLibrary } from '../../src/runtime/loadTfjs';

const dist = path.resolve(import.meta.dirname, '../../dist');

/** Kilobytes of the library's file in memory, once the program `code` has run. */
function residentAfter(binding: string, code: string): number {
  const program = `
    process.env.TF_CPP_MIN_LOG_LEVEL = '2';
    process.env.LORA_TFJS_BINDING = ${JSON.stringify(binding)};
    ${code};
    const smaps = require('node:fs').readFileSync('/proc/self/smaps', 'utf8');
    const parts = smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).filter((part) => /libtensorflow_cc/.test(part));
    console.log(parts.reduce((sum, part) => sum + Number(/^Rss:\\s+(\\d+)/m.exec(part)[1]), 0));`;
  return Number(execFileSync(process.execPath, ['-e', program], { encoding: 'utf8' }));
}

describe.runIf(process.platform === 'linux')('loading libtensorflow', () => {
  it('gives back the pages that only loading it reads', async () => {
    const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
    if (runtime?.kind !== 'tensorflow') throw new Error('The tests need libtensorflow.');
    const { binding } = runtime;
    const library = path.join(path.dirname(binding), 'libtensorflow_cc.so.2');
    const open = `try { process.dlopen({ exports: {} }, ${JSON.stringify(library)}, 0x1001) } catch {}`;
    const load = `require(${JSON.stringify(path.join(dist, 'tfjs-node.js'))})`;
    const [alone, bound] = [residentAfter(binding, open), residentAfter(binding, load)];
    expect(alone).toBeGreaterThan(100_000);
    expect(bound).toBeLessThan(alone / 2);
  });

  it('is begun by another thread, and stays loaded', async () => {
    const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
    if (runtime?.kind !== 'tensorflow') throw new Error('The tests need libtensorflow.');
    const mapped = () => /libtensorflow_cc/.test(readFileSync('/proc/self/maps', 'utf8'));
    expect(mapped()).toBe(false);
    await preloadLibrary(wasmRuntime('a test'));
    await preloadLibrary({ ...runtime, binding: path.join(dist, 'missing', 'binding.node') });
    expect(mapped()).toBe(false);
    await preloadLibrary(runtime);
    expect(mapped()).toBe(true);
  });
});
