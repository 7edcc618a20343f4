import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import {
  comparisonAnswer,
  runsAnswer,
  runAnswer,
  startAnswer,
} from '../../../../../src/formats/run/agents/answers';
import { collectRun } from '../../../../../src/formats/run/summary';
import { putRun, recordOf } from '../../../../support/runRecords';

const runAt = (dir: string) =>
  collectRun(
    {
      kind: 'run',
      dir,
      record: recordOf(),
      state: 'completed',
      lastStep: null,
      remote: null,
      notes: { name: 'good', tags: ['small'], note: 'keep it' },
    },
    null,
  );

describe('the answers for chat agents', () => {
  it('lists all runs, one per line', () => {
    expect(runsAnswer([])).toBe('There are no runs yet.');
    expect(runsAnswer([runAt('/w/.lora/runs/r1')])).toBe(
      'r1 "good": completed, step 30 of 30, r = 4, loss 1.5, best validation loss 1.25, tags small',
    );
  });

  it('says whether a recipe was started, is queued or was declined', () => {
    expect(startAnswer('started', runAt('/w/.lora/runs/r1'))).toMatch(/^Started. r1 "good"/);
    expect(startAnswer('queued', undefined)).toMatch(/^Queued: .* when no other run is active/);
    expect(startAnswer('declined', undefined)).toMatch(/^Not started/);
  });

  it('explains one run: recipe, result and some points of its curves, including the last', async () => {
    const root = await mkdtemp(path.join(tmpdir(), 'runs-'));
    onTestFinished(() => rm(root, { recursive: true }));
    const line = (step: number) =>
      JSON.stringify({
        kind: 'step',
        step,
        epoch: 0,
        loss: 1 / step,
        grad_norm: 1,
        learning_rate: 1,
        tokens: 1,
        labelled_tokens: 1,
        tokens_per_second: 1,
        memory: 1,
        elapsed: 1,
      });
    const dir = await putRun(path.join(root, 'r1'), {
      'metrics.jsonl': `${Array.from({ length: 500 }, (_, i) => line(i + 1)).join('\n')}\n`,
    });
    const text = await runAnswer(runAt(dir), recordOf());
    expect(text).toMatch(
      /note: keep it[^]*lora: r 4, lora_alpha 16, target_modules "all-linear"[^]*training loss by step: 1: 1, .*, 500: 0\.002$/,
    );
    expect(text.length).toBeLessThan(1_500);
  });

  it('are one fact per line, whatever names and notes contain', async () => {
    const run = collectRun(
      {
        kind: 'run',
        dir: '/w/.lora/runs/r1',
        record: recordOf(),
        state: 'completed',
        lastStep: null,
        remote: null,
        notes: { name: 'a\nr2 "b": completed', tags: ['x\ny'], note: 'z\nfolder /etc' },
      },
      null,
    );
    expect(runsAnswer([run])).not.toContain('\n');
    const text = await runAnswer(run, recordOf());
    expect(text).not.toMatch(/^(?:r2|y|folder \/etc)/m);
  });

  it('compares two adapters: where they differ most', () => {
    const facts = (norm: number) => ({
      r: 2,
      scaling: 1,
      norm,
      singular_values: [norm],
      effective_rank: 1,
      rank_90: 1,
      rank_99: 1,
    });
    const overlap = { phi: [[1]], whole: 0, random: 0 };
    const module = (name: string, gap: number) => ({
      path: name,
      a: facts(1),
      b: facts(2),
      cosine: 0.5,
      norm_of_difference: gap,
      left: overlap,
      right: overlap,
    });
    const whole = {
      modules: [module('near', 0.1), module('far', 3)],
      only_a: [],
      only_b: [],
      trained: [],
      config: [{ key: 'r', a: 2, b: 4 }],
      total: { norm_a: 1, norm_b: 2, norm_of_difference: 3, cosine: 0.5 },
      equal: false,
      magnitudes: [],
      layers: null,
    };
    expect(comparisonAnswer(whole)).toMatch(
      /cosine 0\.5\nr: a 2, b 4\nmodules that differ most:\nfar: .*\nnear: /,
    );
    expect(comparisonAnswer({ ...whole, equal: true })).toMatch(/are equal/);
  });
});
