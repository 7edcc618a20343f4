import path from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createTokenizer } from '../../src/data/tokenizer/createTokenizer';
import { openBase } from '../../src/formats/openBase';
import { partsOfEvent } from '../../src/host/chatModels/chatAnswer';
import { chatBody, type ChatMessage } from '../../src/host/chatModels/chatRequest';
import { Inspections } from '../../src/host/inspection/inspections';
import { ModelServer, type Endpoint, type ServedSubject } from '../../src/host/server/modelServer';
import { streamRequest } from '../../src/host/server/requestStream';
import { LoraError } from '../../src/shared/errors';
import { cli, fixtures, tempFolder } from '../support/commandLine';
import { FIM_TOKENS, makeFimBase } from '../support/fimBase';
import { dist } from '../support/tfjs';

const base = path.join(fixtures, 'llama/base');
const adapters = ['llama/lora-qv', 'llama/all-linear'].map((name) =>
  path.join(fixtures, name, 'adapter'),
);
const never = new AbortController().signal;
const settings = {
  tools: [],
  mustCall: false,
  options: { temperature: 0 },
  variables: {},
  most: 12,
};
const said = (text: string): ChatMessage => ({ role: 'user', parts: [{ kind: 'text', text }] });

function serving(idleSeconds = 600): ModelServer {
  const server = new ModelServer({
    node: process.execPath,
    cli: path.join(dist, 'cli.js'),
    env: () => Promise.resolve(process.env),
    onLoad: () => undefined,
    idleSeconds,
  });
  onTestFinished(() => server.dispose());
  return server;
}

/** What a model answers to a message. */
async function answerOf(server: ModelServer, subject: ServedSubject, text: string) {
  let answer = '';
  let used: Endpoint | undefined;
  await server.use(subject, never, (endpoint) => {
    used = endpoint;
    return streamRequest({
      endpoint,
      path: '/chat/completions',
      body: chatBody([said(text)], settings),
      signal: never,
      onEvent: (event) => {
        for (const part of partsOfEvent(event)) if (part.kind === 'text') answer += part.text;
      },
    });
  });
  return { answer, url: used!.url };
}

async function generated(prompt: string, adapter: string | null): Promise<string> {
  const own = adapter === null ? [] : ['--adapter', adapter];
  const { stdout } = await cli(
    ...['generate', '--base', base, ...own, '--chat', '--prompt', prompt],
    // as the server
    ...['--base-dtype', 'auto', '--products', 'rounded', '--max-new-tokens', '12', '--json'],
  );
  return (JSON.parse(stdout.trimEnd().split('\n').at(-1)!) as { text: string }).text.trim();
}

const refused = (url: string): Promise<boolean> =>
  fetch(`${url}/models`).then(
    () => false,
    () => true,
  );

describe('the models of the editor', () => {
  it('answer as lora generate does, all by one process, which is replaced for another adapter', async () => {
    const server = serving();
    const first = await answerOf(server, { base, adapter: adapters[0]! }, 'the old mill');
    expect(first.answer).toBe(await generated('the old mill', adapters[0]!));
    const plain = await answerOf(server, { base, adapter: null }, 'the old mill');
    expect(plain).toEqual({ answer: await generated('the old mill', null), url: first.url });
    const second = await answerOf(server, { base, adapter: adapters[1]! }, 'the old mill');
    expect(second.answer).toBe(await generated('the old mill', adapters[1]!));
    expect(await refused(first.url)).toBe(true);
    expect(await answerOf(server, { base, adapter: adapters[0]! }, 'the old mill')).toEqual({
      answer: first.answer,
      url: second.url,
    });
  });

  it('answer to programs with the token alone', async () => {
    const { url } = await answerOf(serving(), { base, adapter: null }, 'a');
    expect((await fetch(`${url}/models`)).status).toBe(401);
  });

  it('end a request at once when it is cancelled, and answer the next one', async () => {
    const server = serving();
    const controller = new AbortController();
    const { signal } = controller;
    let events = 0;
    const cancelled = server.use({ base, adapter: null }, signal, (endpoint) =>
      streamRequest({
        endpoint,
        path: '/completions',
        body: { prompt: 'the', max_tokens: 60, temperature: 0 },
        signal,
        onEvent: () => {
          events++;
          controller.abort();
        },
      }),
    );
    await expect(cancelled).rejects.toMatchObject({ area: 'cancelled' });
    expect(events).toBe(1);
    expect((await answerOf(server, { base, adapter: null }, 'a')).answer).not.toBe('');
    const waiting = server.use({ base, adapter: null }, signal, () => Promise.resolve());
    await expect(waiting).rejects.toMatchObject({ area: 'cancelled' });
  });

  it('refuse what the server refuses, by its sentence, also the start of a base that is not there', async () => {
    const server = serving();
    const sent = (body: object) =>
      server.use({ base, adapter: null }, never, (endpoint) =>
        streamRequest({
          endpoint,
          path: '/chat/completions',
          body: body as Record<string, unknown>,
          signal: never,
          onEvent: () => undefined,
        }),
      );
    const tool = { name: 'now', description: 'now' };
    await expect(sent(chatBody([said('a')], { ...settings, tools: [tool] }))).rejects.toThrow(
      `"tools" cannot be used: the base's chat template leaves them out.`,
    );
    const gone = server.use({ base: '/nowhere', adapter: null }, never, () => Promise.resolve());
    await expect(gone).rejects.toBeInstanceOf(LoraError);
    expect((await answerOf(server, { base, adapter: null }, 'a')).answer).not.toBe('');
  });

  it('end when nothing was asked for a while', async () => {
    const { url } = await answerOf(serving(0.2), { base, adapter: null }, 'a');
    await expect.poll(() => refused(url), { timeout: 20_000 }).toBe(true);
  });
});

describe('questions on a base that writes', () => {
  const open = () => {
    const inspections = new Inspections({
      node: process.execPath,
      script: path.join(dist, 'inspect.js'),
      env: () => process.env,
    });
    onTestFinished(() => inspections.dispose());
    return inspections;
  };

  it('tell positions, chats, tools and filling in, and count its own tokens', async () => {
    const inspections = open();
    expect(await inspections.ask('writer', { file: base })).toEqual({
      positions: 64,
      chats: true,
      tools: false,
      fim: false,
    });
    expect(await inspections.ask('writer', { file: path.join(fixtures, 'bert/base') })).toBeNull();
    const texts = ['the old', ' mill'];
    const opened = await openBase(base);
    const tokenizer = createTokenizer(await opened.readTokenizer());
    await opened.close();
    const wanted = texts.reduce((sum, text) => sum + tokenizer.encode(text, false).length, 0);
    expect(await inspections.ask('tokenCount', { file: base, texts })).toBe(wanted);
  });

  it('ask for the text at a cursor, with tokens for filling in where the vocabulary has them', async () => {
    const inspections = open();
    const folder = path.join(tempFolder(), 'fim');
    makeFimBase(folder);
    const place = { path: 'a.ts', before: `<fim_middle>let a${FIM_TOKENS[0]}= `, after: ';\n' };
    const limits = { before: 20, after: 10 };
    const { input_ids, fim } = await inspections.ask('codePrompt', { file: folder, place, limits });
    expect(fim).toBe(true);
    const [prefix, suffix, middle, file] = [380, 381, 382, 383];
    expect(input_ids.filter((id) => id >= prefix)).toEqual([file, prefix, suffix, middle]);
    expect(input_ids.at(-1)).toBe(middle);
    const plain = await inspections.ask('codePrompt', { file: base, place, limits });
    expect(plain.fim).toBe(false);
  });
});
