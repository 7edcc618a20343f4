import { describe, expect, it } from 'vitest';
import { checkFault } from '../../../../src/engine/evaluation/checkAnswer';
import { checkAnswer, isAnswerCheck } from '../../../../src/engine/evaluation/checkAnswer';
import { generalCases, readGeneralRows } from '../../../../src/engine/evaluation/general';
import { forgettingAdvice, hasForgotten } from '../../../../src/shared/evaluation/forgetting';

describe('the general rows', async () => {
  const rows = await readGeneralRows('engine');

  it('are 200 different ones, of several skills', () => {
    expect(rows).toHaveLength(200);
    expect(new Set(rows.map((row) => ('text' in row ? row.text : row.prompt))).size).toBe(200);
    expect(new Set(rows.map(({ suite }) => suite))).toEqual(
      new Set([
        ...['facts', 'arithmetic', 'rewriting', 'code', 'translation', 'reasoning'],
        ...['instructions', 'manners', 'text'],
      ]),
    );
  });

  it('have answers that pass their own checks', () => {
    const failing = rows.flatMap((row) => {
      if (!('answer' in row) || !row.check || !isAnswerCheck(row.check)) return [];
      if (checkFault(row.check) !== null) return [row.prompt];
      const answer = { content: row.answer, calls: [], isFaulty: false };
      const { scores } = checkAnswer(row.check, answer);
      return scores[row.check.kind] === 1 ? [] : [row.prompt];
    });
    expect(failing).toEqual([]);
    expect(generalCases(rows).length).toBeGreaterThan(100);
  });
});

describe('forgetting', () => {
  it('is a rise of the loss above what wording changes', () => {
    expect(hasForgotten(2, 2.1)).toBe(true);
    expect(hasForgotten(2, 2.04)).toBe(false);
    expect(hasForgotten(null, 3)).toBe(false);
  });

  it('is answered by what the recipe can change', () => {
    const recipe = (target_modules: string | readonly string[], method = 'lora') => ({
      lora: { target_modules },
      training: { method },
    });
    expect(forgettingAdvice(recipe('all-linear'))).toContain('mlp');
    expect(forgettingAdvice(recipe(['up_proj', 'down_proj']))).not.toContain('mlp');
    expect(forgettingAdvice(recipe('all-linear', 'full'))).toEqual(['rate', 'replay']);
  });
});
