import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import * as v from 'valibot';
import { askEndpoint, type EndpointClient } from '../../../../src/engine/evaluation/endpoint';
import { judgeRows } from '../../../../src/engine/evaluation/judgeRows';
import {
  DEFAULT_JUDGE_PROMPT,
  judgeAgreement,
  judgePrompt,
  judgeVerdict,
  missingPlace,
  pairVerdict,
} from '../../../../src/shared/evaluation/judge';
import type { EvaluatedRow } from '../../../../src/shared/evaluation/result';
import { SuiteRowSchema } from '../../../../src/shared/evaluation/suite';

type Respond = (response: http.ServerResponse, body: string, request: http.IncomingMessage) => void;

async function serving(respond: Respond): Promise<EndpointClient> {
  const server = http.createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => respond(response, body, request));
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  onTestFinished(() => {
    server.closeAllConnections();
    server.close();
  });
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
  return { url, model: 'm', key: 'very-secret', timeout: 10_000 };
}

const question = {
  prompt: [{ role: 'user', content: 'hi' }],
  tools: null,
  max_new_tokens: 5,
  temperature: 0,
  seed: 0,
};

const message = (own: object) => JSON.stringify({ choices: [{ message: own }] });

describe('an endpoint', () => {
  it('answers messages with text and calls', async () => {
    let asked: unknown;
    const client = await serving((response, body, request) => {
      asked = { body: JSON.parse(body) as unknown, url: request.url, ...request.headers };
      const call = (text: string) => ({ function: { name: 'f', arguments: text } });
      response.end(message({ content: null, tool_calls: [call('{"x": 1}'), call('{')] }));
    });
    expect(await askEndpoint(client, question)).toEqual({
      content: '',
      calls: [{ name: 'f', arguments: { x: 1 } }],
      isFaulty: true,
    });
    expect(asked).toMatchObject({
      url: '/v1/chat/completions',
      authorization: 'Bearer very-secret',
      body: { model: 'm', max_tokens: 5, temperature: 0, messages: question.prompt },
    });
  });

  it('continues a text', async () => {
    const client = await serving((response, _, { url }) =>
      response.end(JSON.stringify({ choices: [{ text: url }] })),
    );
    const { content } = await askEndpoint(client, { ...question, prompt: 'the' });
    expect(content).toBe('/v1/completions');
  });

  it.each<[string, Respond]>([
    ['no JSON', (response) => response.end('<html>')],
    ["no answer in OpenAI's format", (response) => response.end('{"choices": []}')],
    ['too long', (response) => response.end(message({ content: 'x'.repeat(5e6) }))],
    ['cannot be reached', (response) => response.destroy()],
    [
      'cannot be reached',
      (response) => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(),
    ],
    [
      'refuses (status 401): wrong key …',
      (response) => response.writeHead(401).end('{"error": {"message": "wrong key very-secret"}}'),
    ],
    ['refuses (status 500)', (response) => response.writeHead(500).end('oops')],
  ])('that fails is reported: %s', async (said, respond) => {
    const client = await serving(respond);
    const failure = askEndpoint(client, question);
    await expect(failure).rejects.toThrow(said);
    await expect(failure).rejects.not.toThrow('very-secret');
  });

  it('is not quoted with a part of the key, where its reason is cut', async () => {
    const reason = `${'x'.repeat(290)} very-secret`;
    const client = await serving((response) =>
      response.writeHead(401).end(JSON.stringify({ error: { message: reason } })),
    );
    await expect(askEndpoint(client, question)).rejects.toThrow(/x …$/);
  });

  it('that says nothing is given up', async () => {
    const client = await serving((response) => response.write('{'));
    const failure = askEndpoint({ ...client, timeout: 200 }, question);
    await expect(failure).rejects.toThrow('has not answered within 0.2 seconds');
  });
});

describe('a judge', () => {
  const row = v.parse(SuiteRowSchema, {
    prompt: 'Name a prime.',
    check: { kind: 'judge', criteria: 'short', expected: '7' },
  });
  const rowWith = (index: number, ...answers: readonly string[]): EvaluatedRow => ({
    index,
    suite: 'own',
    file: 'a.jsonl',
    line: 1,
    row,
    cells: answers.map((answer) => ({
      answer,
      calls: '',
      scores: {},
      error: null,
      reason: '',
      seconds: 0,
    })),
  });
  const hooks = { onProgress: () => undefined, signal: new AbortController().signal };
  const judging = async (verdict: (a: string, b: string) => string) => ({
    client: await serving((response, body) => {
      const { messages } = JSON.parse(body) as { messages: [{ content: string }] };
      const [, a = '', b = ''] = /Answer A\]\n(.*)\n\n\[Answer B\]\n(.*)\n/.exec(
        messages[0].content,
      )!;
      response.end(message({ content: verdict(a, b) }));
    }),
    prompt: DEFAULT_JUDGE_PROMPT,
  });

  it('is asked in both orders', async () => {
    const judge = await judging((a, b) => `So [[${a.length > b.length ? 'A' : 'B'}]]`);
    const { rows, report } = await judgeRows([rowWith(0, 'a', 'aaa', '')], judge, hooks);
    expect(rows[0]!.cells.map(({ scores }) => scores)).toEqual([
      { judge: 0.5 },
      { judge: 1 },
      { judge: 0 },
    ]);
    expect(report).toEqual({ model: 'm', pairs: 2, flipped: 0, nonsense: 0, agreement: null });
  });

  it('that prefers the first place gives ties', async () => {
    const judge = await judging(() => '[[A]]');
    const { rows, report } = await judgeRows([rowWith(0, 'a', 'b')], judge, hooks);
    expect(rows[0]!.cells[1]!.scores).toEqual({ judge: 0.5 });
    expect(report).toMatchObject({ pairs: 1, flipped: 1 });
  });

  it('whose nonsense is seldom has it counted', async () => {
    const judge = await judging((a) => (a === 'odd' ? 'Both are nice.' : '[[C]]'));
    const { rows, report } = await judgeRows(
      [rowWith(0, 'a', 'odd'), rowWith(1, 'a', 'b')],
      judge,
      hooks,
    );
    expect(rows[0]!.cells[1]!.error).toBe('The judge has named no winner.');
    expect(report).toMatchObject({ pairs: 2, nonsense: 1 });
  });

  it('that answers nonsense mostly is refused', async () => {
    const judge = await judging(() => 'Both are nice.');
    await expect(judgeRows([rowWith(0, 'a', 'b')], judge, hooks)).rejects.toThrow(
      'The judge has named no winner in 2 of 2 answers.',
    );
  });

  it('that cannot be asked is refused', async () => {
    const client = await serving((response) => response.writeHead(404).end());
    const judge = { client, prompt: DEFAULT_JUDGE_PROMPT };
    await expect(judgeRows([rowWith(0, 'a', 'b')], judge, hooks)).rejects.toThrow(
      'The judge cannot be asked: The endpoint refuses (status 404)',
    );
  });

  it('that is interrupted is not at fault', async () => {
    const stop = new AbortController();
    const client = await serving(() => stop.abort());
    const judge = { client, prompt: DEFAULT_JUDGE_PROMPT };
    const judged = judgeRows([rowWith(0, 'a', 'b')], judge, { ...hooks, signal: stop.signal });
    await expect(judged).rejects.toMatchObject({ area: 'cancelled' });
  });

  it('sees the earlier messages of a question, also those that are lists', () => {
    const messages = [
      { role: 'system', content: [{ type: 'text', text: 'Be brief.' }] },
      { role: 'user', content: 'A prime?' },
    ];
    const own = v.parse(SuiteRowSchema, { messages, check: { kind: 'judge' } });
    const text = judgePrompt('{question}', { row: own, a: '', b: '' });
    expect(text).toBe('system: Be brief.\n\nA prime?');
  });

  it('sees the texts as they are', () => {
    const text = judgePrompt(DEFAULT_JUDGE_PROMPT, { row, a: '{answer_b} $&', b: '2' });
    expect(text).toContain('[Answer A]\n{answer_b} $&\n');
    expect(text).toContain('What counts: short');
    expect(text).toContain('[A good answer]\n7');
    expect(missingPlace(text)).toBe('{question}');
    expect(missingPlace(DEFAULT_JUDGE_PROMPT)).toBeUndefined();
  });

  it.each([
    ['[[A]] at first, but [[B]]', 'B'],
    ['**C**', 'C'],
    ['A is better', null],
    ['', null],
  ])('says in %j: %j', (reply, verdict) => {
    expect(judgeVerdict(reply)).toBe(verdict);
  });

  it('is compared with votes', () => {
    const judged = [0, 1, 2].map((index) => {
      const own = rowWith(index, 'a', 'b');
      return {
        ...own,
        cells: own.cells.map((cell, i) => ({ ...cell, scores: { judge: i || 0.5 } })),
      };
    });
    const vote = (index: number, winner: 'left' | 'right' | 'tie') => ({
      row: index,
      left: 'own',
      right: 'base',
      winner,
      time: '',
    });
    const columns = [{ name: 'base' }, { name: 'own' }];
    const votes = [
      vote(0, 'left'),
      vote(1, 'tie'),
      vote(2, 'right'),
      vote(2, 'left'),
      vote(9, 'left'),
    ];
    expect(judgeAgreement(judged, columns, votes)).toMatchObject({ votes: 3, agreed: 2 });
    expect(judgeAgreement(judged, columns, [])).toBeNull();
  });

  it('gives a tie where its verdicts contradict each other', () => {
    expect(pairVerdict('[[B]]', '[[A]]')).toEqual({ score: 1, flipped: false });
    expect(pairVerdict('[[B]]', '[[C]]')).toEqual({ score: 0.5, flipped: true });
    expect(pairVerdict('[[B]]', '')).toEqual({ score: null, flipped: false });
  });
});
