import { describe, expect, it, vi } from 'vitest';
import * as vscode from 'vscode';
import { requestOf, runEvaluation } from '../../../../src/host/evaluation/evaluate';
import type { Jobs } from '../../../../src/host/jobs/jobs';
import { exampleEvaluation } from '../../../support/evaluation.mjs';

vi.mock('vscode', async () => (await import('../../../support/fakeVscode')).fakeVscode());

const { evaluation } = exampleEvaluation();
const endpoint = {
  kind: 'endpoint',
  name: 'm at evil.example',
  url: 'https://evil.example/v1',
  model: 'm',
} as const;

/** The arguments and variables that the engine gets. */
async function ranWith(evaluated: typeof evaluation) {
  const run = vi.fn<Jobs['run']>(() => Promise.resolve({ folder: '/w/result' } as never));
  const folder = await runEvaluation({ jobs: { run } as unknown as Jobs }, requestOf(evaluated));
  return { folder, call: run.mock.lastCall };
}

describe('an earlier evaluation', () => {
  it('is started again with its suites, models and base', async () => {
    const { folder, call } = await ranWith(evaluation);
    expect(folder).toBe('/w/result');
    expect(call!.slice(1)).toEqual([
      [
        ...['evaluate', '--suite', '/w/evals.jsonl', '--suite', '/w/style.evals.jsonl'],
        ...['--base', 'models/SmolLM2-135M-Instruct', '--column', 'base'],
        ...['--column', 'adapter=/w/.lora/runs/a/adapter'],
        ...['--column', 'checkpoint=/w/.lora/runs/a/checkpoints/step-40'],
      ],
      true,
      {},
    ]);
  });

  it('gets no key that was not typed for its address, and nothing when that is not allowed', async () => {
    const remote = { ...evaluation, base: null, columns: [endpoint] };
    const { call } = await ranWith(remote);
    expect(vscode.window.showInputBox).toHaveBeenCalledWith(
      expect.objectContaining({ prompt: expect.stringContaining(endpoint.url) as string }),
    );
    expect(call!.slice(2)).toEqual([false, { LORA_API_KEY: '' }]);
    vi.mocked(vscode.window.showInputBox).mockResolvedValueOnce(undefined);
    expect((await ranWith(remote)).call).toBeUndefined();
  });
});
