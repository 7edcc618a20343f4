import { expect, test } from 'vitest';
import { RunHistory } from '../../../src/shared/runHistory';
import { sourcesOf } from '../../../webview/dashboard/model/sources';
import { evalLine } from '../../support/metricLines';
import { runRecord } from '../../support/runs';

const source = (name: string, share: number) => ({
  ...{ name, weight: 1, examples: 8, tokens: 80, labelled_tokens: 40, drawn: 8, share },
});
const losses = (own: number, general: number) => ({
  sources: [
    { name: 'own', loss: own, labelled_tokens: 4 },
    { name: 'general', loss: general, labelled_tokens: 4 },
  ],
});

test('the sources of a run have the losses of its first and its last evaluation', () => {
  const run = runRecord({
    data: {
      ...{
        examples: 16,
        validation_examples: 2,
        tokens: 160,
        labelled_tokens: 80,
        fingerprint: [],
      },
      sources: [source('own', 0.75), source('general', 0.25)],
    },
  });
  const history = new RunHistory();
  const facts = () => sourcesOf(run, history).map(({ name, first, last }) => [name, first, last]);
  expect(facts()).toEqual([
    ['own', null, null],
    ['general', null, null],
  ]);
  history.append({ ...evalLine(0, 3), ...losses(4, 2) });
  history.append({ ...evalLine(9, 2), ...losses(1.5, NaN) });
  expect(facts()).toEqual([
    ['own', 4, 1.5],
    ['general', 2, null],
  ]);
  expect(sourcesOf(null, history)).toEqual([]);
  expect(sourcesOf(runRecord({ data: null }), history)).toEqual([]);
});
