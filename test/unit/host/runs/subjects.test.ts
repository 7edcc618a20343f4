import { describe, expect, it } from 'vitest';
import type { RunSummary } from '../../../../src/host/runs/run';
import { subjectOf } from '../../../../src/host/runs/subjects';

const run = {
  dir: '/w/.lora/runs/r',
  state: 'completed',
  adapter: '/w/.lora/runs/r/adapter',
  model: null,
  recipePath: '/w/lora.json',
} as RunSummary;

describe('what a command is about while a dashboard is active', () => {
  it('is the run, its adapter or its recipe, as the command wants', () => {
    expect(subjectOf('run', run)).toBe(run.dir);
    expect(subjectOf('adapter', run)).toBe(run.adapter);
    expect(subjectOf('recipe file', run)).toBe('/w/lora.json');
  });

  it('is nothing where the run does not fit', () => {
    expect(subjectOf('model', run)).toBeUndefined();
    expect(subjectOf('running', run)).toBeUndefined();
    expect(subjectOf('recipe file', { ...run, recipePath: null })).toBeUndefined();
    expect(subjectOf(undefined, run)).toBeUndefined();
  });
});
