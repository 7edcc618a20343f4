// A run in a git repository: its commit, its uncommitted changes, and the command that repeats it.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { appendFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { programPath } from '../../scripts/programs.mjs';
import * as d from './drive.mjs';
import { LIMIT, openFile, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runsOf, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('a run in a git repository', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const git = (...args) => {
    const who = ['-c', 'user.name=someone', '-c', 'user.email=someone@git.example'];
    const options = { cwd: workspace, encoding: 'utf8' };
    const { status, stdout, stderr } = spawnSync(programPath('git'), [...who, ...args], options);
    assert.equal(status, 0, stderr);
    return stdout.trim();
  };
  let server, browser, page;
  const body = () => d.webview(page).locator('body');

  before(async () => {
    writeFileSync(
      path.join(workspace, 'lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        lora: { r: 2 },
        training: { max_steps: 4 },
        samples: { sample_steps: 0 },
      }),
    );
    mkdirSync(path.join(workspace, 'src'));
    for (const name of ['mill', 'river', 'stone'])
      writeFileSync(path.join(workspace, 'src', `${name}.py`), `${name} = 1\nprint(${name})\n`);
    writeFileSync(path.join(workspace, '.env'), 'A=1\n');
    git('init', '--quiet');
    git('add', '--all');
    git('commit', '--quiet', '--message', 'Begin');
    git('remote', 'add', 'origin', 'git@git.example:team/words.git');
    const row = {
      messages: [
        { role: 'user', content: 'say more' },
        { role: 'assistant', content: 'more' },
      ],
    };
    appendFileSync(path.join(workspace, 'data', 'train.jsonl'), `${JSON.stringify(row)}\n`);
    server = await d.launchServer({
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      settings: { 'lora.runtime.path': runtimeFolder(), 'git.enabled': true },
    });
    ({ browser, page } = await d.openPage(server));
    // the Git extension has found the repository
    await page.locator('.statusbar-item', { hasText: /(main|master)\*/ }).waitFor();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-git-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('shows its commit, and the changes of tracked files at its start', async () => {
    await openFile(page, 'lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe');
    await until(() => runsOf(workspace)[0]?.record?.state === 'completed', 'the run');
    const [run] = runsOf(workspace);
    assert.equal(run.record.git_commit, git('rev-parse', 'HEAD'));
    await d.webview(page).locator('vscode-panel-tab', { hasText: 'Recipe' }).click();
    await body().getByText(run.record.git_commit).waitFor();
    await body().getByRole('button', { name: 'Open Commit' }).waitFor();
    await body().getByRole('button', { name: 'Show Uncommitted Changes (1 file)' }).click();
    await page.locator('.tab.active', { hasText: 'uncommitted.diff' }).waitFor();
    const diff = readFileSync(path.join(run.dir, 'uncommitted.diff'), 'utf8');
    assert.match(diff, /^diff --git a\/data\/train\.jsonl b\/data\/train\.jsonl$/m);
    assert.match(diff, /^\+\{.*"say more".*\}$/m);
  });

  it('is repeated in a terminal by the command that its page shows', async () => {
    await page.locator('.tab', { hasText: 'train on tiny' }).click();
    const command = await body().locator('.repeat pre').innerText();
    await d.runCommand(page, 'Terminal: Create New Terminal');
    await page.locator('.terminal-wrapper.active .xterm').first().waitFor();
    await until(async () => {
      await page.locator('.terminal-wrapper.active .xterm').first().click();
      return page.locator('.xterm-helper-textarea:focus').count();
    }, 'the focus on the terminal');
    await page.keyboard.type(`${command}\n`);
    await until(() => {
      const repeated = runsOf(workspace)[1];
      return repeated?.record?.state === 'completed';
    }, 'the repeated run');
    const [first, second] = runsOf(workspace);
    assert.deepEqual(second.record.recipe, first.record.recipe);
  });

  it('is trained on: a dataset of the files that git tracks, a recipe, and a run of it', async () => {
    await d.runCommand(page, 'LoRA: Train on This Repository');
    await until(
      async () => (await d.quickPickItems(page)).join() === 'Python',
      'the languages of the repository',
    );
    await page.keyboard.press('Enter');
    await until(
      async () => (await d.quickPickItems(page)).includes('models/tiny'),
      'the question for the base',
    );
    await d.pickItem(page, 'models/tiny');
    const output = path.join(workspace, 'own');
    await page.locator('.quick-input-title', { hasText: 'Folder' }).waitFor();
    await d.typeInput(page, output);
    await page.locator('.monaco-dialog-box').waitFor();
    const text = await d.dialog(page, 'Start Training');
    assert.match(text, /Files: 3, rows: 2, rows for validation: 1\./);
    assert.match(text, /\.env:1: environment file/);
    await until(() => runsOf(output)[0]?.record?.state === 'completed', 'the run');
    assert.match(readFileSync(path.join(output, 'train.jsonl'), 'utf8'), /"text":"src\/\w+\.py/);
  });
});
