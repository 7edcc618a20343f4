import { mkdirSync, mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { RunSupervisor } from '../../../../src/engine/training/supervisor';
import type { Runtime } from '../../../../src/runtime/runtime';
import type { EngineProgress } from '../../../../src/shared/engineProtocol';
import { recordOf } from '../../../support/runRecords';

/** Folder of a worker that reports a phase and then never listens again. */
function distWithDeafWorker(phase: EngineProgress['phase'] | null): string {
  const dist = mkdtempSync(path.join(tmpdir(), 'deaf-'));
  const progress = { kind: 'progress', progress: { phase, fraction: 0 } };
  const report = phase ? `parentPort.postMessage(${JSON.stringify(progress)});` : '';
  writeFileSync(
    path.join(dist, 'worker.js'),
    `const { parentPort } = require('node:worker_threads'); ${report} setTimeout(() => { for (;;); }, 50);`,
  );
  return dist;
}

it.each([null, 'reading data', 'loading model', 'saving'] as const)(
  'A stop ends a worker that does not listen within two seconds (%s)',
  async (phase) => {
    const dist = distWithDeafWorker(phase);
    const run_dir = path.join(dist, 'run');
    mkdirSync(run_dir);
    const controller = new AbortController();
    let stoppedAt = 0;
    setTimeout(() => {
      stoppedAt = performance.now();
      controller.abort();
    }, 300);
    const record = await RunSupervisor.run(
      {
        record: recordOf({ state: 'preparing', ended: null }),
        run_dir,
        runtime: { kind: 'wasm' } as unknown as Runtime,
        dist,
        resume_from: null,
      },
      controller.signal,
    );
    expect(record.state).toBe('stopped');
    expect(performance.now() - stoppedAt).toBeLessThan(2_500);
  },
);
