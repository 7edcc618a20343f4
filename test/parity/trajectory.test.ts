import { readFileSync } from 'node:fs';
import path from 'node:path';
import { expect, it } from 'vitest';
import { loadCausalLM } from '../../src/models/causalLM';
import { FIXTURES, maxGap, openFixtureBase, rawOps, readFixtureAdapter, readSafetensors } from './llamaSupport';
import type { OptimizerSettings } from '../../src/models/types';

interface Trajectory { base: string; weight_decay: number; max_grad_norm: number; records: { loss: number; grad_norm: number; lr: number }[]; modules?: Record<string, { scaling: number }>; }
it('t', async () => {
  const folder = path.join(FIXTURES, 'llama/train');
  const t = JSON.parse(readFileSync(path.join(folder, 'trajectory.json'), 'utf8')) as Trajectory;
  console.log(Object.fromEntries(Object.entries(t).map(([k, v]) => [k, JSON.stringify(v).slice(0, 200)])));
  const b = readSafetensors(path.join(folder, 'batches.safetensors'));
  console.log([...b].map(([n, x]) => [n, x.shape, x.dtype]));
  void loadCausalLM; void maxGap; void openFixtureBase; void rawOps; void readFixtureAdapter; void expect; const q: OptimizerSettings | null = null; void q;
});
