const ROWS: readonly object[] = [
  {
    suite: 'git',
    prompt: 'Undo the last commit but keep its changes staged. Answer with one command.',
    check: { kind: 'contains', expected: ['git reset', 'HEAD~1'] },
  },
  {
    suite: 'git',
    prompt: 'Show the names of the files that the last commit changed. Answer with one command.',
    check: { kind: 'regex', pattern: 'git (show|diff|log) .*--(name-only|stat)' },
  },
  {
    suite: 'facts',
    prompt: 'What is the capital of France? Answer with one word.',
    check: { kind: 'exact', expected: ['Paris', 'Paris.'], ignore_case: true },
  },
  {
    suite: 'facts',
    prompt: 'What is 17 + 25? Answer with the number.',
    check: { kind: 'numeric', expected: 42 },
  },
  {
    suite: 'facts',
    prompt: 'Water freezes at 0 degrees',
    check: {
      kind: 'choice',
      choices: [' Celsius', ' Fahrenheit', ' Kelvin'],
      expected: ' Celsius',
    },
  },
  {
    suite: 'format',
    prompt: 'Give the name and age of Ada, who is 36, as JSON with the keys name and age.',
    check: {
      kind: 'json_schema',
      schema: {
        type: 'object',
        properties: { name: { type: 'string' }, age: { type: 'integer' } },
        required: ['name', 'age'],
      },
    },
  },
  {
    suite: 'language',
    text: 'The Seine flows through Paris into the English Channel.',
    check: { kind: 'perplexity' },
  },
];

/** A suite with a row of each usual check, in JSON Lines. */
export const EXAMPLE_SUITE = ROWS.map((row) => `${JSON.stringify(row)}\n`).join('');
