import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import type { LoraApi } from '../../src/host/api';
import { TASK_IDS } from '../../src/host/manifest/ids';
import { AGENT_TOOLS } from '../../src/shared/agentTools';
import { until } from './until';

const folder = () => vscode.workspace.workspaceFolders![0]!.uri.fsPath;
const recipe = (r: number, rest = '') =>
  `{ "base": "models/tiny", "dataset": "data/train.jsonl", "lora": { "r": ${r} }, "training": { "max_steps": 4${rest} }, "samples": { "sample_steps": 0 } }\n`;
const extension = () => vscode.extensions.getExtension<LoraApi>('lora-workbench.lora-workbench')!;

async function tool(name: string, input: object): Promise<string> {
  const result = await vscode.lm.invokeTool(name, { input, toolInvocationToken: undefined });
  return result.content
    .map((part) => (part instanceof vscode.LanguageModelTextPart ? part.value : ''))
    .join('');
}

/** Runs a task to its end, and returns its exit code. */
async function runTask(task: vscode.Task): Promise<number | undefined> {
  const ended = new Promise<number | undefined>((done) => {
    const listener = vscode.tasks.onDidEndTaskProcess(({ execution, exitCode }) => {
      if (execution.task.name !== task.name) return;
      listener.dispose();
      done(exitCode);
    });
  });
  await vscode.tasks.executeTask(task);
  return ended;
}

const taskOf = async (name: string) =>
  (await vscode.tasks.fetchTasks({ type: TASK_IDS.recipe })).find(
    (task) => task.definition['recipe'] === name,
  )!;

describe('the interfaces to VS Code and other extensions', () => {
  it('offers each recipe as a task that trains it', async () => {
    writeFileSync(path.join(folder(), 'task.lora.json'), recipe(2));
    const before = (await (await extension().activate()).runs()).length;
    assert.equal(await runTask(await taskOf('task.lora.json')), 0);
    const runs = await (await extension().activate()).runs();
    assert.equal(runs.length, before + 1);
    assert.deepEqual(
      [runs[0]!.state, runs[0]!.r, runs[0]!.step, runs[0]!.totalSteps],
      ['completed', 2, 4, 4],
    );
    assert.ok(runs[0]!.adapter);
  });

  it('fails a task with an invalid recipe, and marks the problem in the recipe', async () => {
    mkdirSync(path.join(folder(), 'faulty'), { recursive: true });
    const file = path.join(folder(), 'faulty', 'bad.lora.json');
    writeFileSync(
      file,
      '{\n  "base": "../models/tiny",\n  "dataset": "../data/train.jsonl",\n  "lora": { "r": 0 }\n}\n',
    );
    assert.notEqual(await runTask(await taskOf('faulty/bad.lora.json')), 0);
    const uri = vscode.Uri.file(file);
    const found = await until(
      () =>
        vscode.languages
          .getDiagnostics(uri)
          .find((d) => d.source === 'LoRA' && d.message.includes('lora.r')),
      'a diagnostic',
    );
    assert.match(found.message, /"lora\.r" must be at least 1/);
    assert.equal(found.range.start.line, 3);
  });

  it('notifies other extensions of changed runs, and starts recipes for them', async () => {
    const api = await extension().activate();
    assert.equal(api.version, 1);
    const file = path.join(folder(), 'api.lora.json');
    writeFileSync(file, recipe(4));
    let changes = 0;
    const listener = api.onDidChangeRuns(() => changes++);
    assert.equal(await api.startRecipe(vscode.Uri.file(file)), 'started');
    const run = await until(
      async () =>
        (await api.runs()).find(
          ({ state, recipe: own }) => state === 'completed' && own?.fsPath === file,
        ),
      'the end of the run',
    );
    listener.dispose();
    assert.equal(run.r, 4);
    assert.ok(changes > 0);
  });

  it('provides chat tools that list runs, explain one, compare two adapters, and evaluate one', async () => {
    const [newer, older] = await (await extension().activate()).runs();
    const list = await tool(AGENT_TOOLS.listRuns.name, {});
    for (const run of [newer!, older!]) assert.ok(list.includes(run.id), list);
    const explained = await tool(AGENT_TOOLS.explainRun.name, { run: newer!.id });
    for (const fact of [
      /completed, step 4 of 4, r = 4/,
      /learning_rate/,
      /training loss by step: 1: [\d.]+/,
    ])
      assert.match(explained, fact);
    const compared = await tool(AGENT_TOOLS.compareAdapters.name, { a: newer!.id, b: older!.id });
    for (const fact of [
      /norm of dW: a [\d.e-]+, b [\d.e-]+/,
      /r: a 4, b 2/,
      /modules that differ most/,
    ])
      assert.match(compared, fact);
    const dataset = 'data/train.jsonl';
    const evaluated = await tool(AGENT_TOOLS.evaluateAdapter.name, { run: newer!.id, dataset });
    assert.match(evaluated, /^loss: [\d.]+$/m);
    await assert.rejects(
      tool(AGENT_TOOLS.explainRun.name, { run: 'nothing' }),
      /There is no run nothing/,
    );
    await assert.rejects(
      tool(AGENT_TOOLS.startRecipe.name, { recipe: '/etc/passwd' }),
      /There is no recipe/,
    );
    await assert.rejects(
      tool(AGENT_TOOLS.evaluateAdapter.name, { run: newer!.id, dataset: '/etc/passwd' }),
      /There is no file/,
    );
  });

  it('offers the same tools as a server of the Model Context Protocol', async () => {
    const { executeCommand } = vscode.commands;
    // VS Code asks extensions for their servers when it lists them
    void executeCommand('workbench.mcp.listServer');
    const found = await until(() => {
      void executeCommand('workbench.mcp.startServer', '*', { autoTrustChanges: true });
      return vscode.lm.tools.find(({ name }) => /^mcp_.*list_runs$/.test(name));
    }, 'the tools of the server');
    await executeCommand('workbench.action.closeQuickOpen');
    const [newest] = await (await extension().activate()).runs();
    assert.match(await tool(found.name, {}), new RegExp(newest!.id));
  });

  it('queues the recipes of extensions and agents while a run is active', async () => {
    const api = await extension().activate();
    const uri = (name: string) => vscode.Uri.file(path.join(folder(), name));
    writeFileSync(uri('long.lora.json').fsPath, recipe(2).replace('4 }', '500000 }'));
    for (const name of ['second', 'third'])
      writeFileSync(uri(`${name}.lora.json`).fsPath, recipe(2));
    assert.equal(await api.startRecipe(uri('long.lora.json')), 'started');
    assert.equal(await api.startRecipe(uri('second.lora.json')), 'queued');
    assert.match(
      await tool(AGENT_TOOLS.startRecipe.name, { recipe: 'third.lora.json' }),
      /^Queued/,
    );
    const runOf = async (name: string) =>
      (await api.runs()).find(({ recipe: own }) => own?.fsPath === uri(name).fsPath);
    const long = await until(async () => {
      const run = await runOf('long.lora.json');
      return run?.state === 'running' ? run : undefined;
    }, 'the long run');
    assert.equal(await runOf('second.lora.json'), undefined);
    await vscode.commands.executeCommand('lora.stopRun', long.folder.fsPath);
    for (const name of ['second.lora.json', 'third.lora.json'])
      await until(async () => (await runOf(name))?.state === 'completed', name);
  });
});
