import { expect, it } from 'vitest';
import { EXAMPLE_SUITE } from '../../../../src/host/evaluation/exampleSuite';
import { asSuiteRow } from '../../../../src/shared/evaluation/suite';

it('offers an example whose rows are valid', () => {
  const rows = EXAMPLE_SUITE.trim()
    .split('\n')
    .map((line) => asSuiteRow(JSON.parse(line)));
  expect(rows).not.toContain(undefined);
  expect(new Set(rows.map((row) => row?.check.kind)).size).toBe(rows.length);
});
