import { expect, it } from 'vitest';
import { columnForms, fittingForms } from '../../../../src/host/train/columnForms';
import { knownForms } from '../../../../src/data/rows/readRow';
import { TASKS } from '../../../../src/shared/task';

it('rows with the columns of a form can be read as it', () => {
  for (const { form, targets } of columnForms()) {
    const row = Object.fromEntries(targets.map(({ target }) => [target, 'a']));
    expect(knownForms(row)).toContain(form);
  }
});

it('forms are offered that the base can be trained on, and that have no more columns', () => {
  const targetsOf = (...given: Parameters<typeof fittingForms>) =>
    fittingForms(...given).map(({ targets }) => targets.map(({ target }) => target).join());
  expect(targetsOf(['causal_lm'], 2)).toEqual(['prompt,completion', 'messages', 'text']);
  expect(targetsOf(['seq_cls', 'embedding'], 3)).toEqual(['text,label', 'anchor,positive']);
  expect(targetsOf(TASKS, 1)).toEqual(['messages', 'text']);
  expect(targetsOf(TASKS, 0)).toEqual([]);
});
