// An evaluation of three models on three suites, as the engine writes it.

const interval = (value, width) => ({ low: value - width, high: value + width });
const shareInterval = (value, width) => ({
  low: Math.max(0, value - width),
  high: Math.min(1, value + width),
});

const QUESTIONS = [
  ['Undo the last commit but keep its changes staged', 'git reset --soft HEAD~1'],
  ['Show who last changed each line of main.c', 'git blame main.c'],
  ['Delete the branch feature, also on origin', 'git push origin --delete feature'],
  ['List the files of the last commit', 'git show --name-only HEAD'],
  ['Take one file from another branch', 'git checkout other -- file'],
  ['Forget the changes of one file', 'git restore file'],
  ['Rename the current branch to main', 'git branch -m main'],
  ['Show commits that are not on origin', 'git log origin/main..HEAD'],
];

const cell = (answer, scores, more = {}) => ({
  answer,
  calls: '',
  scores,
  error: null,
  reason: '',
  seconds: 0.2,
  ...more,
});

function gitRow(index) {
  const [question, command] = QUESTIONS[index % QUESTIONS.length];
  const contains = (isRight) =>
    cell(
      isRight ? command : `You can use git for that: ${command.split(' ')[1]}`,
      { contains: Number(isRight) },
      isRight ? {} : { reason: `“${command}” is missing` },
    );
  return {
    index,
    suite: 'git',
    file: '/w/evals.jsonl',
    line: index + 1,
    row: {
      prompt: index < 8 ? question : `${question} (${index})`,
      plain: false,
      check: { kind: 'contains', expected: command, ignore_case: false },
    },
    cells: [contains(index % 4 === 1), contains(index % 6 !== 1), contains(index % 3 === 0)],
  };
}

const sum = (index) => [17 + index, 25];
function numberRow(index, i) {
  const [a, b] = sum(i);
  const numeric = (answer) => cell(answer, { numeric: Number(answer === String(a + b)) });
  const failed = cell('', {}, { error: 'The answer has no number.' });
  return {
    index,
    suite: 'arithmetic',
    file: '/w/evals.jsonl',
    line: index + 1,
    row: {
      prompt: `What is ${a} + ${b}?`,
      plain: false,
      check: { kind: 'numeric', expected: a + b, tolerance: 0 },
    },
    cells: [
      numeric(String(a + b)),
      i === 2 ? failed : numeric(String(a + b + (i % 5 === 4))),
      numeric(String(a + b)),
    ],
  };
}

const judgedRow = (index, i) => ({
  index,
  suite: 'style',
  file: '/w/style.evals.jsonl',
  line: i + 1,
  row: {
    system: 'You explain git to beginners.',
    prompt: 'What is a rebase?',
    plain: false,
    check: { kind: 'judge', criteria: 'Short and friendly.' },
  },
  cells: [
    cell(`A rebase is an operation of git, number ${i}.`, { judge: 0.5 }),
    cell('A rebase moves your commits on top of others.', { judge: [1, 0.5, 1, 0][i % 4] }),
    cell('Rebase: see the manual.', { judge: 0 }),
  ],
});

/** evaluation.json and rows.jsonl; `rows`: of the suite git. */
export function exampleEvaluation(gitRows = 24) {
  const rows = Array.from({ length: gitRows }, (_, i) => gitRow(i));
  for (let i = 0; i < 10; i++) rows.push(numberRow(rows.length, i));
  for (let i = 0; i < 6; i++) rows.push(judgedRow(rows.length, i));
  return { evaluation: evaluationOf(rows), rows };
}

const outcomes = (rows, metric, column) => {
  const pairs = rows
    .map(({ cells }) => [cells[0].scores[metric], cells[column].scores[metric]])
    .filter(([first, other]) => first !== undefined && other !== undefined);
  const count = (fits) => pairs.filter(([first, other]) => fits(other - first)).length;
  const difference = pairs.reduce((all, [first, other]) => all + other - first, 0) / pairs.length;
  const [wins, losses, ties] = [count((d) => d > 0), count((d) => d < 0), count((d) => d === 0)];
  return { difference, wins, losses, ties };
};

const verdictOf = (low, high) => {
  if (low > 0) return 'better';
  return high < 0 ? 'worse' : 'unclear';
};

function scoreOf(rows, suite, metric) {
  const own =
    suite === null
      ? rows.filter(({ suite: name }) => name !== 'style')
      : rows.filter((row) => row.suite === suite);
  const keyOf = (row) => metric ?? row.row.check.kind;
  const columns = [0, 1, 2].map((column) => {
    const values = own
      .map((row) => row.cells[column].scores[keyOf(row)])
      .filter((v) => v !== undefined);
    const value = values.length === 0 ? null : values.reduce((a, b) => a + b, 0) / values.length;
    return {
      value,
      interval: value === null ? null : shareInterval(value, 0.9 / Math.sqrt(values.length) / 2),
      rows: values.length,
      errors: own.filter((row) => row.cells[column].error !== null).length,
    };
  });
  const differences = [1, 2].map((column) => {
    const shown =
      metric === null
        ? own.map((row) => ({
            cells: row.cells.map(({ scores }) => ({ scores: { total: scores[keyOf(row)] } })),
          }))
        : own;
    const own1 = outcomes(shown, metric ?? 'total', column);
    const width = 0.9 / Math.sqrt(own.length);
    const range = interval(own1.difference, width);
    const isSame = own1.wins + own1.losses === 0;
    return {
      column,
      ...own1,
      interval: range,
      verdict: isSame ? 'equal' : verdictOf(range.low, range.high),
    };
  });
  return { suite, metric, columns, differences };
}

const evaluationOf = (rows) => ({
  version: 1,
  id: '20260102-030405-a1b2',
  created: '2026-01-02T03:04:05.000Z',
  base: 'models/SmolLM2-135M-Instruct',
  suites: ['/w/evals.jsonl', '/w/style.evals.jsonl'],
  columns: [
    { kind: 'base', name: 'SmolLM2-135M-Instruct' },
    { kind: 'adapter', name: 'git-commands', path: '/w/.lora/runs/a/adapter' },
    {
      kind: 'checkpoint',
      name: 'git-commands, step-40',
      path: '/w/.lora/runs/a/checkpoints/step-40',
    },
  ],
  rows: rows.length,
  settings: { temperature: 0, seed: 0, max_new_tokens: 64, confidence: 0.95, resamples: 1000 },
  scores: [
    scoreOf(rows, null, null),
    scoreOf(rows, 'git', 'contains'),
    scoreOf(rows, 'arithmetic', 'numeric'),
    scoreOf(rows, 'style', 'judge'),
  ],
  judge: { model: 'gpt-oss-20b', pairs: 12, flipped: 2, nonsense: 1, agreement: null },
  seconds: 80,
});
