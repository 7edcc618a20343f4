import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { JudgeServer } from '../../src/host/evaluation/judgeServer';
import { asEvaluatedRow, asEvaluation } from '../../src/shared/evaluation/result';
import { cli, fixtures, tempFolder } from '../support/commandLine';

const base = path.join(fixtures, 'llama/base');
const adapter = path.join(fixtures, 'llama/lora-qv/adapter');

let server: JudgeServer | undefined;
afterEach(() => {
  server?.dispose();
  delete process.env['LORA_JUDGE_KEY'];
});

/** A suite of judged rows, evaluated with a judge that says what `reply` says. */
async function judgedBy(reply: (prompt: string) => string) {
  server = await JudgeServer.start((prompt) => Promise.resolve(reply(prompt)));
  process.env['LORA_JUDGE_KEY'] = server.key;
  const file = path.join(tempFolder(), 'evals.jsonl');
  const check = { kind: 'judge', criteria: 'Which one has more signs?' };
  const rows = ['the old mill', 'the river'].map((prompt) => ({ prompt, plain: true, check }));
  writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(''));
  const output = path.join(tempFolder(), 'result');
  const result = await cli(
    ...['evaluate', '--suite', file, '--base', base, '--output', output, '--max-new-tokens', '6'],
    ...['--column', 'base', '--column', `adapter=${adapter}`, '--judge', `${server.url}#chat`],
  );
  return { ...result, output };
}

const answersIn = (prompt: string) =>
  ['A', 'B'].map((side) => new RegExp(`\\[Answer ${side}\\]\\n([^]*?)\\n\\n`).exec(prompt)![1]!);

describe('a chat model of the editor as the judge', () => {
  it('compares answers in both orders', async () => {
    const { code, stderr, output } = await judgedBy((prompt) => {
      expect(prompt).toContain('Which one has more signs?');
      const [a, b] = answersIn(prompt);
      return a! > b! ? 'The first. [[A]]' : 'The second. [[B]]';
    });
    expect(code, stderr).toBe(0);
    const read = (name: string) => readFileSync(path.join(output, name), 'utf8');
    const { judge } = asEvaluation(JSON.parse(read('evaluation.json')))!;
    expect(judge).toMatchObject({ model: 'chat', pairs: 2, flipped: 0, nonsense: 0 });
    for (const line of read('rows.jsonl').trim().split('\n')) {
      const [first, own] = asEvaluatedRow(JSON.parse(line))!.cells;
      expect(own!.scores['judge']).toBe(own!.answer > first!.answer ? 1 : 0);
    }
  });

  it('is refused where it names no winner', async () => {
    const { code, stderr } = await judgedBy(() => 'Both are fine answers.');
    expect(stderr).toContain('The judge has named no winner in 4 of 4 answers.');
    expect(code).toBe(2);
  });
});
