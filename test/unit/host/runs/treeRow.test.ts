import { describe, expect, it } from 'vitest';
import { collectRun, type LiveRun, type RunSummary } from '../../../../src/host/runs/run';
import { NO_NOTES } from '../../../../src/host/runs/runNotes';
import { treeRowOf } from '../../../../src/host/runs/treeRow';
import { statusText } from '../../../../src/host/status/statusText';
import type { RunState } from '../../../../src/shared/run';
import { fullRecord, recordOf, remoteSummary } from '../../../support/runRecords';

const created = Date.parse(recordOf().created);
const run = (state: RunState, live: LiveRun | null = null, changes = {}): RunSummary =>
  collectRun(
    {
      kind: 'run',
      dir: '/w/.lora/runs/r1',
      record: recordOf({ state, ...changes }),
      state,
      lastStep: null,
      remote: null,
      notes: NO_NOTES,
    },
    live,
  );
const live = (step: number): LiveRun => ({
  status: { state: 'running', step, total_steps: 300, seconds_left: 90, error: null },
  progress: null,
  step: {
    kind: 'step',
    step,
    epoch: 0,
    loss: 2.5,
    grad_norm: 1,
    learning_rate: 1,
    tokens: 1,
    labelled_tokens: 1,
    tokens_per_second: 1,
    memory: 1,
    elapsed: 1,
  },
});

describe('a row of the Runs view', () => {
  it('shows rank, loss and age of a run that has ended', () => {
    const row = treeRowOf(run('completed'), created + 2 * 3_600_000);
    expect(row).toMatchObject({
      label: 'r4 · 1.250',
      description: '2 h ago · git',
      icon: 'pass',
      context: 'run completed adapter recipe',
      spoken: 'r4 · 1.250, Completed, validation 1.250, 2 h ago, git',
    });
  });

  it('is called what the user called it, followed by rank, loss and tags', () => {
    const named = { ...run('stopped'), notes: { name: 'night', tags: ['small'], note: '' } };
    expect(treeRowOf(named, created)).toMatchObject({
      label: 'night',
      description: 'stopped · r4 · 1.250 · #small · now',
    });
  });

  it('shows the score of the suites, in words beside the base', () => {
    const suiteScore = { score: 0.824, base: 0.47, verdict: 'better', rows: 34 } as const;
    const scored = (changes: object) =>
      treeRowOf({ ...run('completed'), suiteScore: { ...suiteScore, ...changes } }, created);
    const row = scored({});
    expect(row.description).toBe('suites 82% · now · git');
    expect(row.context).toContain('evaluated');
    expect(row.details).toContainEqual(['Suite score', '82%, base model 47%: better']);
    const alone = scored({ base: null, verdict: null });
    expect(alone.details).toContainEqual(['Suite score', '82% of 34 rows']);
    const none = scored({ score: null });
    expect(none.description).toBe('now · git');
    expect(none.details.map(([label]) => label)).not.toContain('Suite score');
  });

  it('differs in what stands still only when more than its numbers change', () => {
    const [a, b] = [12, 13].map((step) => treeRowOf(run('running', live(step)), created));
    expect(a!.fixed).toBe(b!.fixed);
    expect(a!.description).not.toBe(b!.description);
    const paused = { ...run('running', live(13)), state: 'paused' } as const;
    expect(treeRowOf(paused, created).fixed).not.toBe(b!.fixed);
  });

  it('names full fine-tuning, and offers its model', () => {
    const row = treeRowOf(run('completed', null, fullRecord()), created);
    expect(row).toMatchObject({
      label: 'full fine-tuning · 1.250',
      description: 'now · git',
      context: 'run completed model recipe',
    });
  });

  it("shows steps and the engine's newest loss while it trains", () => {
    expect(treeRowOf(run('running', live(12)), created).description).toBe(
      '12/300 · 2.500 · now · git',
    );
  });

  it('shows what the engine is doing before the first step', () => {
    const loading: LiveRun = {
      status: null,
      step: null,
      progress: { phase: 'loading model', fraction: null },
    };
    const fresh = run('preparing', loading, {
      result: { ...recordOf().result, steps: 0, last_loss: null, adapter: null },
    });
    expect(treeRowOf(fresh, created)).toMatchObject({
      label: 'r4',
      description: 'loading the model · now · git',
      context: 'run preparing active recipe',
    });
  });

  it("shows why a folder cannot be read, with the folder's name", () => {
    const broken = collectRun(
      {
        kind: 'broken',
        dir: '/w/.lora/runs/20260101-000000-abcd',
        created,
        problem: 'run.json is missing.',
      },
      null,
    );
    expect(treeRowOf(broken, created)).toMatchObject({
      label: '20260101-000000-abcd',
      description: 'run.json is missing. · now',
      context: 'run broken',
      icon: 'warning',
    });
  });
});

describe('the row of a run on a target', () => {
  const since = created - 60_000;
  const away = { kind: 'unattended', since } as const;
  const time = new Intl.DateTimeFormat('en', { timeStyle: 'short' }).format(since);

  it('names the target, and says how far the run is before it trains', () => {
    const described = (changes: Parameters<typeof remoteSummary>[2]) =>
      treeRowOf(
        { ...remoteSummary('preparing', { kind: 'connected' }, changes), step: 0, lastLoss: null },
        created,
      ).description;
    const sending = { kind: 'sending', sent: 120 * 2 ** 20, total: 480 * 2 ** 20 } as const;
    expect(described({ handle: null, stage: sending })).toBe(
      'gpu-box · sending 120 MiB of 480 MiB · now · git',
    );
    expect(described({ stage: { kind: 'queued', reason: 'waiting for 1 GPU' } })).toBe(
      'gpu-box · queued: waiting for 1 GPU · now · git',
    );
    expect(described({})).toBe('gpu-box · preparing · now · git');
  });

  it('shows step and loss once it trains, with the target in the tooltip', () => {
    const row = treeRowOf(remoteSummary('running'), created);
    expect(row.description).toBe('gpu-box · 30/30 · 1.500 · now · git');
    expect(row.icon).toBe('loading~spin');
    expect(row.context).toContain(' active remote ');
    expect(row.details).toContainEqual(['Target', 'gpu-box (SSH, me@gpu.example)']);
  });

  it('says since when it is not connected, and never that something has failed', () => {
    const row = treeRowOf(remoteSummary('running', away), created);
    expect(row.description).toBe(
      `gpu-box · not connected since ${time} · 30/30 · 1.500 · now · git`,
    );
    expect([row.icon, row.color]).toEqual(['plug', 'descriptionForeground']);
    expect(row.context).toBe('run remote unattended recipe');
    expect(row.spoken).toMatch(/^r4, Running when last connected, /);
    expect(JSON.stringify(row)).not.toMatch(/fail|error|interrupt|unexpected/i);
  });

  it('stands in the status bar behind runs that can be seen', () => {
    const runs = [remoteSummary('running', away), run('running', live(12))];
    expect(statusText(runs, created)?.text).toBe('git 12/300 · 2.500 (+1)');
    expect(statusText(runs.slice(0, 1), created)).toMatchObject({
      icon: 'plug',
      text: `git not connected since ${time} · 1.500`,
    });
  });
});

describe('the status bar', () => {
  it('is hidden while nothing trains', () => {
    expect(statusText([run('completed'), run('interrupted')], created)).toBeNull();
  });

  it('shows the newest run that trains, and how many more', () => {
    expect(
      statusText([run('completed'), run('running', live(12)), run('paused')], created),
    ).toEqual({
      icon: 'loading~spin',
      text: 'git 12/300 · 2.500 (+1)',
      tooltip: 'git: Running\n2 min left\nClick to open the dashboard',
      dir: '/w/.lora/runs/r1',
    });
  });
});
