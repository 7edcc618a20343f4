import { expect, it } from 'vitest';
import { describeEvaluation } from '../../../../src/engine/commands/trainingView';
import { evalLine } from '../../../support/metricLines';

it('an evaluation of several sources has a line for each that holds out rows', () => {
  const line = evalLine(4, 2);
  expect(describeEvaluation(line).split('\n')).toHaveLength(1);
  const sources = [
    { name: '/own.jsonl', loss: 1.5, labelled_tokens: 4 },
    { name: '/general.csv', loss: 2.25, labelled_tokens: 8 },
    { name: '/few.jsonl', loss: NaN, labelled_tokens: 0 },
  ];
  const [first, ...others] = describeEvaluation({ ...line, sources }).split('\n');
  expect(first).toMatch(/^step 4 {2}validation loss 2\.0000/);
  expect(others).toEqual(['  1.5000 on /own.jsonl', '  2.2500 on /general.csv']);
});
