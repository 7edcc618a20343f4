import path from 'node:path';
import { expect, it } from 'vitest';
import { variablesFor } from '../../../../src/host/playground/templateVariables';

const [first, second, full] = ['1', '2', '3'].map((id) => path.resolve('runs', id)) as [
  string,
  string,
  string,
];
const runs = [
  { dir: first, templateVariables: { enable_thinking: false } },
  { dir: second, templateVariables: '{"x": 1.0}' },
  { dir: full, templateVariables: { full: true } },
];
const models = {
  base: path.resolve('base'),
  adapters: [path.join(first, 'adapter'), path.join(second, 'checkpoints', 'step-2')],
};

it('adapters answer with the variables of the run that has trained them', () => {
  expect(variablesFor(models.adapters[0]!, models, runs)).toEqual({ enable_thinking: false });
  expect(variablesFor(models.adapters[1]!, models, runs)).toBe('{"x": 1.0}');
  expect(variablesFor(path.resolve('runs', '12', 'adapter'), models, runs)).toEqual({});
});

it('the base answers with those of its own run, or of the first adapter beside it', () => {
  expect(variablesFor(null, models, runs)).toEqual({ enable_thinking: false });
  const trained = { ...models, base: path.join(full, 'model') };
  expect(variablesFor(null, trained, runs)).toEqual({ full: true });
  expect(variablesFor(null, { ...models, adapters: [] }, runs)).toEqual({});
});
