import { expect, it } from 'vitest';
import {
  describeSources,
  evaluatedSources,
  sourceFacts,
  together,
} from '../../../../src/engine/commands/evaluatedSources';

it('sources are paths, or JSON as in the recipe', () => {
  const given = ['a.jsonl', '{"path": "b.jsonl", "rows": 3}', '["c.csv", {"path": "hf://o/d"}]'];
  const sources = evaluatedSources(given);
  expect(sources.map(({ path, rows }) => [path, rows])).toEqual([
    ['a.jsonl', null],
    ['b.jsonl', 3],
    ['c.csv', null],
    ['hf://o/d', null],
  ]);
});

it.each([
  ['{"path": "a"', /not valid JSON/],
  ['{"rows": 3}', /--dataset must be a path/],
  ['{"path": "a", "weight": 2}', /a has a weight/],
])('%s is refused', (text, message) => expect(() => evaluatedSources([text])).toThrow(message));

it('the loss of several sources is weighted, and each has its share', () => {
  const [a, b] = evaluatedSources(['a.jsonl', 'b.jsonl']);
  const part = { labelled: 4, scores: { accuracy: 0.5 } };
  const parts = [
    { ...part, source: a!, examples: 3, loss: 1, weight: 1 },
    { ...part, source: b!, examples: 1, loss: 2, weight: 3 },
  ];
  expect(together(parts)).toEqual({ examples: 4, labelled: 8, loss: 1.75, weight: 4 });
  expect(sourceFacts(parts)).toMatchObject({
    sources: [
      { dataset: 'a.jsonl', share: 0.75, loss: 1, accuracy: 0.5 },
      { dataset: 'b.jsonl', share: 0.25, loss: 2 },
    ],
  });
  expect(describeSources(parts)[1]).toBe('  b.jsonl: 1 row (25%), loss 2.0000, accuracy 0.5000');
  expect([sourceFacts(parts.slice(1)), describeSources(parts.slice(1))]).toEqual([{}, []]);
});
