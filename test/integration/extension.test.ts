import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { parseMetrics } from '../../src/shared/metrics/parse';
import { COMMANDS } from '../../src/host/commands/commandTable';
import type { RunRecord } from '../../src/shared/run';
import { until } from './until';

const folder = () => vscode.workspace.workspaceFolders![0]!.uri.fsPath;
const inFolder = (...parts: string[]) => path.join(folder(), ...parts);
const recipe = (extra = '') => `{
  "base": "models/tiny",
  "dataset": "data/train.jsonl",
  "lora": { "r": 2 },
  "training": { "max_steps": 6, "per_device_train_batch_size": 2, "max_length": 48, "eval_steps": 3${extra} }
}
`;

async function write(name: string, text: string): Promise<vscode.Uri> {
  writeFileSync(inFolder(name), text);
  return (await vscode.workspace.openTextDocument(inFolder(name))).uri;
}

async function finished(dir: string): Promise<RunRecord> {
  return until(() => {
    const file = path.join(dir, 'run.json');
    const record = existsSync(file)
      ? (JSON.parse(readFileSync(file, 'utf8')) as RunRecord)
      : undefined;
    return record && ['completed', 'failed', 'stopped'].includes(record.state) ? record : undefined;
  }, `the end of ${dir}`);
}

const runDirs = async () =>
  (
    await vscode.workspace.fs.readDirectory(vscode.Uri.file(inFolder('.lora', 'runs'))).then(
      (all) => all,
      () => [],
    )
  )
    .map(([name]) => name)
    .sort();

describe('the extension', () => {
  /** The folder of the first run. */
  let shortRun: string;

  it('runs in a remote window, on the machine of the workspace', () => {
    assert.ok(vscode.env.remoteName, 'the window is remote');
    assert.equal(
      vscode.extensions.getExtension('lora-workbench.lora-workbench')?.extensionKind,
      vscode.ExtensionKind.Workspace,
    );
  });

  it('registers every command of package.json', async () => {
    const extension = vscode.extensions.getExtension('lora-workbench.lora-workbench')!;
    await extension.activate();
    const known = new Set(await vscode.commands.getCommands(true));
    assert.deepEqual(
      Object.values(COMMANDS).filter(({ id }) => !known.has(id)),
      [],
    );
  });

  it('marks a misspelled key of lora.json at its line, and suggests the nearest one', async () => {
    const uri = await write('lora.json', recipe().replace('"lora"', '"loar"'));
    await vscode.window.showTextDocument(uri);
    const found = await until(
      () => vscode.languages.getDiagnostics(uri).find((d) => d.message.includes('loar')),
      'a diagnostic',
    );
    assert.match(found.message, /Did you mean "lora"/);
    assert.equal(found.range.start.line, 3);
  });

  it('completes the keys of a recipe', async () => {
    const uri = await write('complete.lora.json', '{\n  "base": "models/tiny",\n  \n}\n');
    await vscode.window.showTextDocument(uri);
    // the JSON language server starts with the first request
    await until(async () => {
      const list = await vscode.commands.executeCommand<vscode.CompletionList>(
        'vscode.executeCompletionItemProvider',
        uri,
        new vscode.Position(2, 2),
      );
      const labels = list.items.map((item) =>
        typeof item.label === 'string' ? item.label : item.label.label,
      );
      return ['dataset', 'training'].every((key) => labels.some((label) => label.includes(key)));
    }, 'dataset and training among the completions');
  });

  it("trains a recipe to its end, and writes an adapter in PEFT's format", async () => {
    const before = await runDirs();
    const uri = await write('short.lora.json', recipe());
    await vscode.commands.executeCommand(COMMANDS.runRecipe.id, uri);
    const dir = (shortRun = inFolder(
      '.lora',
      'runs',
      (await runDirs()).find((name) => !before.includes(name))!,
    ));
    const record = await finished(dir);
    assert.equal(record.error, null);
    assert.equal(record.state, 'completed');
    for (const file of ['adapter_config.json', 'adapter_model.safetensors', 'README.md'])
      assert.ok(existsSync(path.join(dir, 'adapter', file)), file);
    const steps = parseMetrics(readFileSync(path.join(dir, 'metrics.jsonl'), 'utf8')).filter(
      (line) => line.kind === 'step',
    );
    assert.deepEqual(
      steps.map((line) => line.step),
      [1, 2, 3, 4, 5, 6],
    );
  });

  it("copies the path of a run's adapter, and opens its configuration and the run's recipe", async () => {
    const dir = shortRun;
    await vscode.commands.executeCommand(COMMANDS.copyAdapterPath.id, dir);
    assert.equal(await vscode.env.clipboard.readText(), path.join(dir, 'adapter'));
    await vscode.commands.executeCommand(COMMANDS.openAdapter.id, dir);
    assert.equal(
      vscode.window.activeTextEditor?.document.fileName,
      path.join(dir, 'adapter', 'adapter_config.json'),
    );
    await vscode.commands.executeCommand(COMMANDS.openRecipe.id, dir);
    assert.equal(vscode.window.activeTextEditor.document.fileName, inFolder('short.lora.json'));
  });

  it('refuses a recipe with an unknown key: marks the key, and creates no run folder', async () => {
    const before = await runDirs();
    const uri = await write('refused.lora.json', recipe().replace('"max_steps"', '"max_stps"'));
    await vscode.commands.executeCommand(COMMANDS.runRecipe.id, uri);
    await until(
      () =>
        vscode.languages
          .getDiagnostics(uri)
          .some(({ message }) => /max_stps.*Did you mean "max_steps"/.test(message)),
      'a diagnostic',
    );
    assert.deepEqual(await runDirs(), before);
  });

  it('stops a run, keeps its adapter, and resumes it to the end', async () => {
    const before = await runDirs();
    const uri = await write(
      'long.lora.json',
      recipe().replace('"max_steps": 6', '"max_steps": 400'),
    );
    await vscode.commands.executeCommand(COMMANDS.runRecipe.id, uri);
    const name = (await runDirs()).find((dir) => !before.includes(dir))!;
    const dir = inFolder('.lora', 'runs', name);
    const metrics = path.join(dir, 'metrics.jsonl');
    await until(
      () => existsSync(metrics) && readFileSync(metrics, 'utf8').includes('"step":3'),
      'three steps',
    );
    await vscode.commands.executeCommand(COMMANDS.stopRun.id, dir);
    assert.equal((await finished(dir)).state, 'stopped');
    assert.ok(existsSync(path.join(dir, 'adapter', 'adapter_model.safetensors')));
    await vscode.commands.executeCommand(COMMANDS.resumeRun.id, dir);
    const record = await until(() => {
      const now = JSON.parse(readFileSync(path.join(dir, 'run.json'), 'utf8')) as RunRecord;
      return now.state === 'completed' ? now : undefined;
    }, "the resumed run's end");
    assert.equal(record.result.steps, 400);
  });

  it('tolerates a broken run folder', async () => {
    const dir = inFolder('.lora', 'runs', '20200101-000000-dead');
    mkdirSync(dir, { recursive: true });
    writeFileSync(path.join(dir, 'run.json'), '{ "version": 1, ');
    await vscode.commands.executeCommand(COMMANDS.refreshRuns.id);
  });

  it('marks an error in the dataset at its line when training fails', async () => {
    writeFileSync(
      inFolder('data', 'broken.jsonl'),
      '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n{"mesages":[]}\n',
    );
    const uri = await write('broken.lora.json', recipe().replace('train.jsonl', 'broken.jsonl'));
    const data = vscode.Uri.file(inFolder('data', 'broken.jsonl'));
    const training = vscode.commands
      .executeCommand(COMMANDS.runRecipe.id, uri)
      .then(undefined, () => undefined);
    const found = await until(
      () => vscode.languages.getDiagnostics(data)[0],
      'a diagnostic in the dataset',
    );
    assert.equal(found.range.start.line, 1);
    assert.match(found.message, /messages/);
    void training;
  });
});
