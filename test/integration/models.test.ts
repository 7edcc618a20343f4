import assert from 'node:assert/strict';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import * as vscode from 'vscode';
import { SETTINGS } from '../../src/host/manifest/ids';
import { COMMANDS } from '../../src/host/commands/commandTable';
import type { RunRecord } from '../../src/shared/run';
import { until } from './until';

const VENDOR = 'lora';
const NAME = 'words for the editor';
const inFolder = (...parts: string[]) =>
  path.join(vscode.workspace.workspaceFolders![0]!.uri.fsPath, ...parts);

function isTrained(run: string, recipe: string): boolean {
  try {
    const text = readFileSync(path.join(run, 'run.json'), 'utf8');
    const { state, recipe_path } = JSON.parse(text) as RunRecord;
    return state === 'completed' && recipe_path === recipe;
  } catch {
    return false; // it is not yet written, or broken
  }
}

/** Trains a recipe to its end; returns the folder of its adapter. */
async function trained(): Promise<string> {
  const recipe = {
    base: 'models/tiny',
    dataset: 'data/train.jsonl',
    lora: { r: 2 },
    training: { max_steps: 4, max_length: 48 },
    samples: { sample_steps: 0 },
  };
  const file = inFolder('editor.lora.json');
  writeFileSync(file, JSON.stringify(recipe));
  await vscode.commands.executeCommand(COMMANDS.runRecipe.id, vscode.Uri.file(file));
  return until(() => {
    const runs = inFolder('.lora', 'runs');
    const id = readdirSync(runs).find((own) => isTrained(path.join(runs, own), file));
    if (id === undefined) return undefined;
    writeFileSync(path.join(runs, id, 'notes.json'), JSON.stringify({ name: NAME }));
    return path.join(runs, id, 'adapter');
  }, 'the end of the run');
}

async function textOf(response: vscode.LanguageModelChatResponse): Promise<string> {
  let text = '';
  for await (const part of response.text) text += part;
  return text;
}

describe('models of finished runs', () => {
  let adapter: string;
  let model: vscode.LanguageModelChat;
  const user = (text: string) => vscode.LanguageModelChatMessage.User(text);

  before(async () => {
    adapter = await trained();
  });

  it('are offered to chats, with their bases', async () => {
    const all = await until(async () => {
      const found = await vscode.lm.selectChatModels({ vendor: VENDOR });
      return found.some(({ id }) => id === adapter) && found;
    }, 'the model of the run');
    model = all.find(({ id }) => id === adapter)!;
    assert.equal(model.maxInputTokens, 32);
    assert.ok(all.some(({ id }) => id === inFolder('models', 'tiny')));
  });

  it('answer, also with calls of tools and their results before, and count their own tokens', async () => {
    const options = { modelOptions: { temperature: 0, max_tokens: 8 } };
    const first = await textOf(await model.sendRequest([user('say one')], options));
    assert.notEqual(first, '');
    const call = new vscode.LanguageModelToolCallPart('c1', 'now', { zone: 'UTC' });
    const value = [new vscode.LanguageModelTextPart('12')];
    const messages = [
      user('say'),
      vscode.LanguageModelChatMessage.Assistant([call]),
      vscode.LanguageModelChatMessage.User([new vscode.LanguageModelToolResultPart('c1', value)]),
    ];
    assert.notEqual(await textOf(await model.sendRequest(messages, options)), '');
    const [short, long] = [await model.countTokens('say'), await model.countTokens('say one two')];
    assert.ok(short > 0 && long > short, `${short}, ${long}`);
  });

  it('stop at once when a request is cancelled, and refuse in one sentence', async () => {
    const source = new vscode.CancellationTokenSource();
    const options = { modelOptions: { max_tokens: 100_000 } };
    const response = await model.sendRequest([user('say one')], options, source.token);
    let parts = 0;
    await assert.rejects(async () => {
      for await (const part of response.text) {
        parts += Number(part !== '');
        source.cancel();
      }
      // VS Code may end the stream without an error
      throw new Error('ended');
    });
    assert.ok(parts < 100, `${parts} parts`);
    const tools = [{ name: 'now', description: 'The time.', inputSchema: { type: 'object' } }];
    await assert.rejects(
      async () => textOf(await model.sendRequest([user('say one')], { tools })),
      /"tools" cannot be used/,
    );
  });

  it('complete text at the cursor, in the languages of the setting', async () => {
    const settings = vscode.workspace.getConfiguration();
    const { Workspace } = vscode.ConfigurationTarget;
    await settings.update(SETTINGS.completionModel, path.relative(inFolder(), adapter), Workspace);
    await settings.update(SETTINGS.completionLanguages, ['plaintext'], Workspace);
    writeFileSync(inFolder('note.txt'), 'say one');
    const document = await vscode.workspace.openTextDocument(inFolder('note.txt'));
    const editor = await vscode.window.showTextDocument(document);
    const end = document.positionAt(document.getText().length);
    editor.selection = new vscode.Selection(end, end);
    let polls = 0;
    await until(async () => {
      // a newer request ends the older one, so it gets some time
      if (polls++ % 100 === 0)
        await vscode.commands.executeCommand('editor.action.inlineSuggest.trigger');
      await vscode.commands.executeCommand('editor.action.inlineSuggest.commit');
      return document.getText() !== 'say one';
    }, 'a completion');
    assert.match(document.getText(), /^say one[^]+$/);
    await vscode.commands.executeCommand('workbench.action.revertAndCloseActiveEditor');
    await settings.update(SETTINGS.completionLanguages, undefined, Workspace);
  });
});
