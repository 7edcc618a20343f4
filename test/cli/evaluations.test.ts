import { once } from 'node:events';
import { readFileSync, writeFileSync } from 'node:fs';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { EvaluateEvent } from '../../src/shared/evaluation/events';
import type { EvaluatedRow } from '../../src/shared/evaluation/result';
import { asEvaluatedRow } from '../../src/shared/evaluation/result';
import {
  cli,
  fixtures,
  makeRecipe,
  metricsOf,
  recordOf,
  resumedBefore,
  startCli,
  tempFolder,
  train,
} from '../support/commandLine';

const base = path.join(fixtures, 'llama/base');
const adapter = path.join(fixtures, 'llama/lora-qv/adapter');
const ROWS = [
  {
    prompt: 'the old mill',
    plain: true,
    max_new_tokens: 6,
    check: { kind: 'regex', pattern: '.' },
  },
  { prompt: 'the old mill', max_new_tokens: 6, check: { kind: 'exact', expected: 'no' } },
  {
    prompt: 'the river',
    plain: true,
    check: { kind: 'choice', choices: [' runs', ' sings'], expected: 0 },
  },
  { text: 'the old mill stands by the river', check: { kind: 'perplexity' } },
];

function suite(rows: readonly object[] = ROWS): string {
  const file = path.join(tempFolder(), 'evals.jsonl');
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  return file;
}

async function evaluated(...args: readonly string[]) {
  const { stdout, stderr, code } = await cli('evaluate', ...args, '--json');
  expect(code, stderr + stdout).toBe(0);
  const events = stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as EvaluateEvent);
  const result = events.at(-1) as Extract<EvaluateEvent, { kind: 'result' }>;
  expect(result.kind).toBe('result');
  return { events, ...result };
}

const rowsIn = (folder: string): readonly (EvaluatedRow | undefined)[] =>
  readFileSync(path.join(folder, 'rows.jsonl'), 'utf8')
    .trim()
    .split('\n')
    .map((line) => asEvaluatedRow(JSON.parse(line)));

describe('lora evaluate --suite', () => {
  it('answers under all columns, and compares them later', async () => {
    const file = suite();
    const columns = ['--column', 'base', '--column', `adapter=${adapter}`];
    const report = path.join(tempFolder(), 'report.html');
    const first = await evaluated(
      ...['--suite', file, '--base', base, ...columns, '--report', report],
    );
    expect(first.events.filter(({ kind }) => kind === 'row')).toHaveLength(8);
    expect(first.folder).toContain(path.join(path.dirname(file), '.lora', 'evaluations'));
    const { scores } = first.evaluation;
    expect(scores.map(({ metric }) => metric)).toEqual([
      null,
      'regex',
      'exact',
      'choice',
      'choice_norm',
      'perplexity',
    ]);
    expect(scores[1]!.columns.map(({ value }) => value)).toEqual([1, 1]);
    expect(readFileSync(report, 'utf8')).toContain('<svg');
    const [generated] = rowsIn(first.folder);
    const written = await cli(
      ...['generate', '--base', base, '--adapter', adapter, '--prompt', 'the old mill'],
      ...['--max-new-tokens', '6', '--json'],
    );
    const { text } = JSON.parse(written.stdout.trim().split('\n').at(-1)!) as { text: string };
    expect(generated!.cells[1]!.answer).toBe(text);

    const again = await evaluated(
      '--suite',
      file,
      '--base',
      base,
      '--column',
      `adapter=${adapter}`,
    );
    const both = await evaluated('--result', first.folder, '--result', again.folder);
    expect(both.evaluation.columns.map(({ name }) => name)).toEqual(['base', 'lora-qv/adapter']);
    expect(both.evaluation.scores).toEqual(scores);
  });

  it('refuses what it cannot evaluate, before it loads anything', async () => {
    const refusals: readonly (readonly [readonly string[], string])[] = [
      [['--suite', suite([]), '--base', base], 'The suite has no row.'],
      [['--suite', suite()], 'The column base needs a base (--base).'],
      [
        ['--suite', suite(), '--column', 'endpoint=http://127.0.0.1:9/v1#m'],
        'cannot answer a row of the kind choice',
      ],
      [
        [
          '--suite',
          suite([{ text: 'a', check: { kind: 'label', expected: 'b' } }]),
          '--base',
          base,
        ],
        'kind label does not fit the task causal_lm',
      ],
      [
        ['--suite', suite([{ prompt: 'a', check: { kind: 'judge' } }]), '--base', base],
        'needs a judge',
      ],
      [['--suite', suite(), '--base', base, '--report', 'a.pdf'], '.html, .md or .csv'],
    ];
    for (const [args, message] of refusals) {
      const { code, stderr } = await cli('evaluate', ...args);
      expect(stderr).toContain(message);
      expect(code).not.toBe(0);
    }
  });

  it('finds classes with a classifier', async () => {
    const rows = Array.from({ length: 12 }, (_, i) => ({
      text: `the ${i % 2 ? 'red' : 'blue'} car`,
      label: i % 2 ? 'red' : 'blue',
    }));
    const runDir = await train(
      makeRecipe({ top: { base: path.join(fixtures, 'bert/base'), task: 'seq_cls' } }, rows),
    );
    const questions = rows.map(({ text, label }) => ({
      text,
      check: { kind: 'label', expected: label },
    }));
    const { evaluation } = await evaluated(
      ...['--suite', suite(questions), '--base', path.join(fixtures, 'bert/base')],
      ...['--column', `adapter=${runDir}/adapter`],
    );
    expect(evaluation.scores.map(({ metric }) => metric)).toEqual([null, 'accuracy', 'f1']);
    expect(evaluation.scores[1]!.columns[0]!.rows).toBe(12);
  });
});

describe('an endpoint', () => {
  it('gives the same answers as the model here', async () => {
    const model = ['--base', base, '--adapter', adapter, '--base-dtype', 'float32'];
    const { child } = startCli(['serve', '--http', '--port', '0', ...model, '--json'], {
      LORA_SERVE_TOKEN: 'secret-1',
    });
    onTestFinished(() => {
      child.kill();
    });
    const ready = await new Promise<{ url: string; models: readonly string[] }>((resolve) => {
      let text = '';
      child.stdout!.on('data', (part: string) => {
        text += part;
        const line = text.split('\n').find((own) => own.includes('"ready"'));
        if (line) resolve(JSON.parse(line) as { url: string; models: readonly string[] });
      });
    });
    process.env['LORA_TEST_KEY'] = 'secret-1';
    const { evaluation, folder } = await evaluated(
      ...['--suite', suite(ROWS.slice(0, 1)), '--base', base, '--column', `adapter=${adapter}`],
      ...[
        '--column',
        `endpoint=${ready.url}#${ready.models.at(-1)!}`,
        '--key-env',
        'LORA_TEST_KEY',
      ],
    );
    const [row] = rowsIn(folder);
    expect(row!.cells[1]!.error).toBeNull();
    expect(row!.cells[1]!.answer).toBe(row!.cells[0]!.answer);
    expect(evaluation.scores[0]!.differences[0]!.verdict).toBe('equal');
    expect(JSON.stringify(evaluation)).not.toContain('secret-1');
  });
});

describe('an endpoint beside models here', () => {
  /** An endpoint that never answers, and what it was asked. */
  async function silentEndpoint() {
    const requests: string[] = [];
    const server = http.createServer(({ url = '' }) => void requests.push(url));
    server.listen(0, '127.0.0.1');
    onTestFinished(() => {
      server.closeAllConnections();
      server.close();
    });
    await once(server, 'listening');
    const { port } = server.address() as AddressInfo;
    return { requests, column: `endpoint=http://127.0.0.1:${port}/v1#m` };
  }

  const evaluate = (rows: readonly object[], ...columns: readonly string[]) =>
    cli(
      ...['evaluate', '--suite', suite(rows), '--base', base],
      ...columns.flatMap((column) => ['--column', column]),
    );

  it('is asked nothing when a row is refused', async () => {
    const tools = [{ type: 'function', function: { name: 'f', parameters: { type: 'object' } } }];
    const rows = [{ prompt: 'a', tools, check: { kind: 'regex', pattern: '.' } }];
    const { column, requests } = await silentEndpoint();
    const { code, stderr } = await evaluate(rows, 'base', column);
    expect([code, stderr]).toEqual([1, expect.stringContaining('leaves out the tools')]);
    expect(requests).toEqual([]);
  });

  it('is asked no further when they cannot be loaded', async () => {
    const started = performance.now();
    const { column } = await silentEndpoint();
    const other = `adapter=${path.join(fixtures, 'gpt2/fan-in-fan-out/adapter')}`;
    const { code, stderr } = await evaluate([ROWS[1]!], other, column);
    expect([code, stderr]).toEqual([1, expect.stringContaining('which the base does not have')]);
    // the endpoint has two minutes for an answer
    expect(performance.now() - started).toBeLessThan(60_000);
  });
});

describe('the suites of a recipe', () => {
  const trained = (rows: readonly object[], top: object = {}) =>
    makeRecipe({
      top: { evaluate: { suites: [suite(rows)], max_new_tokens: 4 }, ...top },
      training: { max_steps: 2, save_steps: 1 },
    });

  it('are answered at the end, as lora evaluate does, and by a resumed run', async () => {
    const run = await train(trained(ROWS));
    const { evaluation } = recordOf(run).result;
    expect(evaluation).toMatchObject({ rows: 4, verdict: expect.any(String) as string });
    const folder = path.join(run, 'evaluation');
    const own = await evaluated(
      ...['--suite', suite(), '--base', base, '--max-new-tokens', '4'],
      ...['--column', 'base', '--column', `adapter=${run}/adapter`],
    );
    const answers = (rows: ReturnType<typeof rowsIn>) =>
      rows.map((row) => row!.cells.map(({ answer, scores }) => ({ answer, scores })));
    expect(answers(rowsIn(folder))).toEqual(answers(rowsIn(own.folder)));
    expect(evaluation!.score).toBe(own.evaluation.scores[0]!.columns[1]!.value);

    const resumed = await resumedBefore(run, 2);
    expect(recordOf(resumed).result.evaluation).toEqual(evaluation);
  });

  it.each([
    ['no row', [], 'The suite has no row.'],
    ['an unknown kind', [{ prompt: 'a', check: { kind: 'rhyme' } }], '"check.kind" must be one of'],
    ['a judge', [{ prompt: 'a', check: { kind: 'judge' } }], 'not answered after a training'],
    [
      'a kind of another task',
      [{ text: 'a', check: { kind: 'label', expected: 'b' } }],
      'does not fit the task causal_lm',
    ],
  ])('are refused before the start: %s', async (_, rows, message) => {
    const run = path.join(tempFolder(), 'run');
    const { code, stderr } = await cli('train', trained(rows), '--run-dir', run);
    expect(stderr).toContain(message);
    expect(code).toBe(1);
  });
});

describe('what is forgotten', () => {
  it('is measured from the base on, also after a resume, and answered at the end', async () => {
    const evaluate = { forgetting: true };
    const training = { max_steps: 2, save_steps: 1, eval_steps: 1 };
    const run = await train(makeRecipe({ top: { evaluate }, training }));
    const evals = metricsOf(run).filter((line) => line.kind === 'eval');
    const losses = evals.map(({ scores }) => scores?.general_loss);
    expect(losses).toEqual([expect.any(Number), expect.any(Number), expect.any(Number)]);
    const { forgetting } = recordOf(run).result;
    expect(forgetting).toMatchObject({
      base_loss: losses[0],
      loss: losses[2],
      answers: { rows: rowsIn(path.join(run, 'forgetting')).length },
    });
    const resumed = await resumedBefore(run, 2);
    expect(recordOf(resumed).result.forgetting).toEqual(forgetting);
  });
});
