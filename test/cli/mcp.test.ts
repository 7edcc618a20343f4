import { spawn } from 'node:child_process';
import {
  copyFileSync,
  cpSync,
  mkdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import path from 'node:path';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { CallToolResultSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterEach, describe, expect, it } from 'vitest';
import { AGENT_TOOLS } from '../../src/shared/agentTools';
import { editJson, makeRecipe, recordOf, tempFolder, train, until } from '../support/commandLine';
import { dist } from '../support/tfjs';

const cliFile = path.join(dist, 'cli.js');
const open: Client[] = [];
afterEach(async () => {
  for (const client of open.splice(0)) await client.close();
});

async function connect(root: string): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' });
  const args = [cliFile, 'mcp', '--root', root];
  const env = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => !!entry[1]),
  );
  await client.connect(new StdioClientTransport({ command: process.execPath, args, env }));
  open.push(client);
  return client;
}

async function call(client: Client, name: string, input: Record<string, unknown> = {}) {
  const result = await client.callTool({ name, arguments: input }, CallToolResultSchema, {
    timeout: 600_000,
  });
  const { content, structuredContent, isError = false } = CallToolResultSchema.parse(result);
  const text = content.map((part) => (part.type === 'text' ? part.text : '')).join('\n');
  return { text, facts: structuredContent as Record<string, unknown>, isError };
}

interface RunFacts {
  readonly id: string;
  readonly state: string;
  readonly folder: string;
}

/** The folder of a recipe, with a run that has ended. */
async function trainedFolder(): Promise<{ readonly root: string; readonly run: string }> {
  const recipe = makeRecipe({ training: { max_steps: 2 } });
  const root = path.dirname(recipe);
  const run = await train(recipe);
  cpSync(run, path.join(root, '.lora/runs/first'), { recursive: true });
  return { root, run: 'first' };
}

describe('lora mcp', () => {
  it('offers the tools of the table, starts a run, and explains, compares and evaluates it', async () => {
    const { root, run } = await trainedFolder();
    const client = await connect(root);
    const { tools } = await client.listTools();
    expect(
      tools.map(({ name, description, inputSchema }) => [name, description, inputSchema]),
    ).toEqual(
      Object.values(AGENT_TOOLS).map(({ name, description, inputSchema }) => [
        name,
        description,
        { ...inputSchema, additionalProperties: false },
      ]),
    );
    expect(tools.map(({ annotations }) => annotations?.readOnlyHint)).toEqual([
      true,
      true,
      true,
      true,
      false,
    ]);
    const started = await call(client, 'lora_start_recipe', { recipe: 'lora.json' });
    expect(started.text).toMatch(/^Started\. /);
    const own = (started.facts['run'] as RunFacts).folder;
    await until(() => recordOf(own).state === 'completed', 'the end of the run');
    const listed = await call(client, 'lora_list_runs');
    expect((listed.facts['runs'] as RunFacts[]).map(({ id, state }) => [id, state])).toEqual([
      [path.basename(own), 'completed'],
      [run, 'completed'],
    ]);
    expect(listed.text.split('\n')).toHaveLength(2);
    const explained = await call(client, 'lora_explain_run', { run });
    expect(explained.text).toMatch(/base .*\n[^]*training loss by step: 1: /);
    expect(explained.facts['run']).toMatchObject({ id: run, r: 2, step: 2 });
    const compared = await call(client, 'lora_compare_adapters', {
      a: run,
      b: path.basename(own),
    });
    expect(compared.facts['equal']).toBe(true);
    const losses = [];
    for (const model of ['adapter', 'base']) {
      const input = { run, dataset: 'data.jsonl', model };
      const { facts, text } = await call(client, 'lora_evaluate_adapter', input);
      expect(text).toMatch(/^examples: 10$/m);
      losses.push(facts['loss']);
    }
    expect(losses[0]).not.toBe(losses[1]);
  });

  it('refuses what is wrong in one sentence, and serves on', async () => {
    const { root, run } = await trainedFolder();
    const outside = path.join(tempFolder(), 'lora.json');
    copyFileSync(path.join(root, 'lora.json'), outside);
    symlinkSync(outside, path.join(root, 'linked.lora.json'));
    mkdirSync(path.join(root, 'bad'));
    copyFileSync(path.join(root, 'lora.json'), path.join(root, 'bad/lora.json'));
    editJson(path.join(root, 'bad/lora.json'), { dataset: '../lora.json.txt' });
    const client = await connect(root);
    const wrong: readonly (readonly [string, Record<string, unknown>, RegExp])[] = [
      ['lora_explain_run', {}, /^lora_explain_run needs "run"\.$/],
      ['lora_explain_run', { run: 7 }, /needs a text as "run"/],
      ['lora_explain_run', { run: 'x'.repeat(5_000) }, /needs 1 to 4096 characters/],
      ['lora_explain_run', { rum: run }, /has no input "rum" \(did you mean "run"\?\)/],
      ['lora_explain_run', { run: 'nothing' }, /There is no run nothing\. Known runs: first\./],
      ['lora_list_runs', { all: 'yes' }, /has no input "all"/],
      ['lora_start_recipe', { recipe: 'lora.json', when: 'later' }, /needs queue or now as "when"/],
      ['lora_start_recipe', { recipe: outside }, /is not in the workspace/],
      ['lora_start_recipe', { recipe: '../lora.json' }, /is not in the workspace/],
      ['lora_start_recipe', { recipe: 'linked.lora.json' }, /is not in the workspace/],
      ['lora_start_recipe', { recipe: 'data.jsonl' }, /is not named as a recipe/],
      ['lora_start_recipe', { recipe: 'none.lora.json' }, /There is no file none\.lora\.json/],
      ['lora_start_recipe', { recipe: 'bad/lora.json' }, /lora\.json\.txt/],
      ['lora_evaluate_adapter', { run, dataset: '/etc/passwd' }, /is not in the workspace/],
      ['lora_evaluate_adapter', { run, dataset: 'bad' }, /bad is not a file/],
      ['lora_evaluate_adapter', { run, dataset: 'lora.json' }, /lora\.json/],
    ];
    for (const [name, input, message] of wrong) {
      const { text, isError } = await call(client, name, input);
      expect([name, isError, text]).toEqual([name, true, expect.stringMatching(message)]);
    }
    await expect(call(client, 'lora_delete_run', { run })).rejects.toThrow(
      /There is no tool lora_delete_run/,
    );
    rmSync(path.join(root, '.lora/runs/first/adapter'), { recursive: true });
    symlinkSync(tempFolder(), path.join(root, '.lora/runs/first/adapter'));
    expect((await call(client, 'lora_compare_adapters', { a: run, b: run })).text).toMatch(
      /is not in the workspace/,
    );
    expect((await call(client, 'lora_list_runs')).text).toMatch(/^first/);
  });

  it('does not start a second run unless it is told to, and drops a call that is cancelled', async () => {
    const { root, run } = await trainedFolder();
    editJson(path.join(root, 'lora.json'), {
      training: { base_dtype: 'float32', max_steps: 100_000, max_length: 48 },
    });
    const client = await connect(root);
    const { facts } = await call(client, 'lora_start_recipe', { recipe: 'lora.json' });
    const { folder } = facts['run'] as RunFacts;
    const second = await call(client, 'lora_start_recipe', { recipe: 'lora.json' });
    expect(second.text).toMatch(/^Not started: another run is active/);
    expect(second.facts['outcome']).toBe('busy');
    const controller = new AbortController();
    const input = { name: 'lora_evaluate_adapter', arguments: { run, dataset: 'data.jsonl' } };
    const cancelled = client.callTool(input, CallToolResultSchema, {
      signal: controller.signal,
      onprogress: () => undefined,
    });
    controller.abort();
    await expect(cancelled).rejects.toThrow();
    const again = await call(client, 'lora_compare_adapters', { a: run, b: run });
    expect(again.facts['equal']).toBe(true);
    const engine = JSON.parse(readFileSync(path.join(folder, 'engine.json'), 'utf8')) as {
      readonly pid: number;
    };
    process.kill(engine.pid, 'SIGTERM');
    await until(() => recordOf(folder).state === 'stopped', 'the end of the run');
  });

  it('survives broken lines, ends after one that is too long, and with its input', async () => {
    const root = tempFolder();
    const ask = (id: number) =>
      `${JSON.stringify({ jsonrpc: '2.0', id, method: 'tools/list', params: {} })}\n`;
    const start = `${JSON.stringify({ jsonrpc: '2.0', id: 0, method: 'initialize', params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 't', version: '1' } } })}\n`;
    const broken = [
      '\n',
      '{\n',
      'null\n',
      '[]\n',
      '{"jsonrpc":"2.0"}\n',
      '\u0000\u0001\n',
      '{"jsonrpc":"2.0","id":{},"method":"tools/call"}\n',
      '{"jsonrpc":"2.0","id":5,"method":"tools/call","params":{"name":7}}\n',
      '{"jsonrpc":"2.0","id":6,"method":"no/such"}\n',
      '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":99}}\n',
      `${'['.repeat(10_000)}\n`,
    ];
    const many = Array.from({ length: 2_000 }, (_, i) => broken[i % broken.length]!);
    const answered = await exchange(root, [start, ...many, ask(1)].join(''));
    expect(answered.code).toBe(0);
    expect(answered.stdout).toMatch(/"id":1}$|"id":1,|"id":1\n/m);
    expect(answered.stderr.split('\n').length).toBeLessThan(25);
    const tooLong = await exchange(root, `${start}${'x'.repeat(2 ** 21)}\n${ask(1)}`);
    expect(tooLong.code).toBe(0);
    expect(tooLong.stderr).toMatch(/exceeded maximum size/);
    expect(tooLong.stdout).not.toMatch(/"id":1[,}]/);
    writeFileSync(path.join(root, 'file'), '');
    const nowhere = await exchange(path.join(root, 'file'), '');
    expect([nowhere.code, nowhere.stderr]).toEqual([2, expect.stringMatching(/no such folder/)]);
  });
});

/** What a server answers to an input. */
function exchange(root: string, input: string) {
  const child = spawn(process.execPath, [cliFile, 'mcp', '--root', root]);
  let [stdout, stderr] = ['', ''];
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  child.stdin.on('error', () => undefined);
  child.stdin.end(input);
  return new Promise<{
    readonly code: number | null;
    readonly stdout: string;
    readonly stderr: string;
  }>((resolve) => child.on('close', (code) => resolve({ code, stdout, stderr })));
}
