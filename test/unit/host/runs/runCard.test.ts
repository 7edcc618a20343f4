import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { readRunCard } from '../../../../src/host/runs/runCard';
import { NO_NOTES } from '../../../../src/host/runs/runNotes';
import { putRun, recordOf, summaryOf } from '../../../support/runRecords';
import { temp } from '../../../support/temp';

describe('the card of a run', () => {
  it('shows its curve, its commit, and the changes since the previous run', async () => {
    const lines = Array.from({ length: 100 }, (_, i) =>
      JSON.stringify({
        kind: 'step',
        step: i + 1,
        epoch: 0,
        loss: 100 - i,
        grad_norm: 1,
        learning_rate: 1,
        tokens: 1,
        labelled_tokens: 1,
        tokens_per_second: 1,
        memory: 1,
        elapsed: 1,
      }),
    );
    const dir = await putRun(path.join(temp(), 'r1'), {
      'metrics.jsonl': `${lines.join('\n')}\n`,
      'uncommitted.diff': 'diff --git a/x b/x\ndiff --git a/y b/y\n',
    });
    const { recipe } = recordOf();
    const record = recordOf({
      git_commit: 'a'.repeat(40),
      recipe: { ...recipe, lora: { ...recipe.lora, r: 8 } },
    });
    const card = await readRunCard(summaryOf({}, NO_NOTES, dir), record, {
      name: 'first',
      record: recordOf(),
    });
    expect(card).toMatchObject({
      facts: [
        ['Git commit', 'aaaaaaaaaa'],
        ['Uncommitted', '2 files'],
        ['Node', '20'],
        ['Repeat with', `lora train --repeat ${dir}`],
      ],
      changes: { since: 'first', lines: ['lora.r: 4 → 8'] },
    });
    expect(card.curve).toMatch(/^█.*▁$/);
    expect(card.curve).toHaveLength(32);
  });

  it('has no curve without steps', async () => {
    expect(await readRunCard(summaryOf(), undefined, null)).toEqual({
      curve: null,
      facts: [],
      changes: null,
      note: '',
    });
  });
});
