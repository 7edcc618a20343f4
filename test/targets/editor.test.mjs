// A run on another machine, which is this one behind a real SSH server, in a real workbench:
// npm run test:targets -- editor
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from '../workbench/drive.mjs';
import {
  checkThemes,
  chooseInMenu,
  LIMIT,
  openFile,
  openWorkbench,
  readJson,
  until,
} from '../workbench/page.mjs';
import { SshServer } from './sshServer.mjs';
import { makeWorkspace, root, runsOf } from '../workbench/workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const NAME = 'gpu-box';

describe('a run on a target', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const there = mkdtempSync(path.join(tmpdir(), 'lora-there-'));
  const keys = mkdtempSync(path.join(tmpdir(), 'lora-sshd-'));
  let ssh, workbench, page;
  const run = () => runsOf(workspace)[0];
  const step = () => run()?.metrics.findLast(({ kind }) => kind === 'step')?.step ?? 0;
  const engine = () => readJson(path.join(run().dir, 'engine.json'));
  const description = async () => (await d.treeItems(page, 'Runs'))[0]?.description ?? '';
  const body = () => d.webview(page).locator('body');
  const runRow = () => page.locator('.pane .monaco-list-row', { hasText: NAME }).first();
  const row = (label) => page.locator('.quick-input-list .monaco-list-row', { hasText: label });

  before(async () => {
    ssh = await SshServer.start(keys);
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ prompt: `${i}?`, completion: `${i}` }));
    writeFileSync(
      path.join(workspace, 'data', 'long.jsonl'),
      rows.map((row) => `${JSON.stringify(row)}\n`).join(''),
    );
    writeFileSync(
      path.join(workspace, 'lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/long.jsonl',
        lora: { r: 2, lora_alpha: 4 },
        // some steps a second
        training: { max_steps: 500_000, gradient_accumulation_steps: 100, eval_steps: 50 },
        samples: { sample_steps: 0 },
      }),
    );
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
    const config = ssh.file('config');
    const entry = { name: NAME, kind: 'ssh', host: 'box', config, root: there };
    d.setSettings(workbench.server, { 'lora.targets': [entry] });
  });
  after(async () => {
    // whatever a failed test has left
    if (run()?.record?.state === 'running')
      await chooseInMenu(page, runRow(), 'Stop').catch(() => {});
    await workbench?.close();
    await ssh?.down();
    for (const folder of [there, keys]) rmSync(folder, { recursive: true, force: true });
  });
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-target-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('shows where to train and what is sent, and lists the run with the name of the target', async () => {
    await openFile(page, 'lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe On');
    await row('This Machine').waitFor();
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .waitFor();
    await d.screenshot(page, path.join(shots, 'target-where.png'));
    await row(NAME).click();
    await row(`Start on ${NAME}`).waitFor();
    await row('base').filter({ hasText: 'is sent' }).waitFor();
    await d.screenshot(page, path.join(shots, 'target-send.png'));
    await row(`Start on ${NAME}`).click();
    await until(async () => (await description()).includes(NAME), 'the name of the target');
    await until(() => run()?.record?.state === 'running' && step() > 0, 'metrics of the run');
    assert.equal(run().record.recipe.base, path.join(workspace, 'models/tiny'));
  });

  it('shows its metrics on the dashboard as they arrive, and is paused, resumed and saved there', async () => {
    await until(async () => (await body().innerText()).includes(NAME), 'the dashboard');
    const before = step();
    await until(() => step() > before, 'new metrics');
    await until(async () => /Step [\d,]+ of 500,000/.test(await body().innerText()), 'its step');
    await checkThemes(workbench.server, page, 'target-dashboard');
    await d.webview(page).getByRole('button', { name: 'Pause' }).click();
    await until(() => run().record.state === 'paused', 'the pause');
    await d.webview(page).getByRole('button', { name: 'Resume' }).click();
    await until(() => run().record.state === 'running', 'its end');
  });

  it('goes on without this machine, and is connected again by the next window', async () => {
    const { pid } = engine();
    process.kill(pid, 'SIGKILL');
    const left = step();
    await until(async () => (await description()).includes('not connected since'), 'the row');
    await d.screenshot(page, path.join(shots, 'target-away.png'));
    assert.doesNotMatch(
      await page.locator('.notifications-toasts').innerText(),
      /unexpected|fail/i,
    );
    await page.reload();
    await page.waitForSelector('.monaco-workbench .statusbar-item');
    await d.openView(page, 'LoRA');
    await until(() => engine() !== undefined && engine().pid !== pid, 'the connection');
    await until(() => step() > left, 'what was missed');
    const steps = run()
      .metrics.filter(({ kind }) => kind === 'step')
      .map((line) => line.step);
    assert.deepEqual(
      steps,
      steps.map((_, i) => i + 1),
    );
  });

  it('is stopped there, and leaves its adapter here', async () => {
    await chooseInMenu(page, runRow(), 'Stop');
    await until(() => run().record.state === 'stopped', 'the stop');
    const adapter = readJson(path.join(run().dir, 'adapter', 'adapter_config.json'));
    assert.equal(adapter.r, 2);
    assert.equal(adapter.base_model_name_or_path, path.join(workspace, 'models/tiny'));
  });

  it('goes on after its end where the user resumes it', async () => {
    const before = step();
    await chooseInMenu(page, runRow(), 'Resume');
    await until(() => run().record.state === 'running' && step() > before, 'more steps');
    await d.screenshot(page, path.join(shots, 'target-resumed.png'));
    await chooseInMenu(page, runRow(), 'Stop');
    await until(() => run().record.state === 'stopped', 'the second stop');
    assert.ok(run().metrics.some(({ kind }) => kind === 'resume'));
  });

  it('is on a target that can be asked what it has', async () => {
    await d.runCommand(page, 'LoRA: Check Target');
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .click();
    await page.locator('.tab.active', { hasText: NAME }).waitFor();
    const editor = page.locator('.editor-instance .view-lines');
    await until(
      async () =>
        /Runs can be sent to it/.test((await editor.innerText()).replaceAll('\u00a0', ' ')),
      'the report',
    );
    await d.screenshot(page, path.join(shots, 'target-check.png'));
  });

  it('is followed from a workspace that does not have it', async () => {
    const { dir, metrics } = run();
    rmSync(dir, { recursive: true });
    await until(async () => (await runRow().count()) === 0, 'the end of its row');
    await d.runCommand(page, 'LoRA: Follow Remote Run');
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .click();
    await row(path.basename(dir)).waitFor();
    await d.screenshot(page, path.join(shots, 'target-follow.png'));
    await row(path.basename(dir)).click();
    await until(() => run()?.record?.state === 'stopped', 'the run');
    assert.deepEqual(run().metrics, metrics);
    assert.equal(readJson(path.join(run().dir, 'adapter', 'adapter_config.json')).r, 2);
    await until(async () => (await description()).includes(NAME), 'its row');
    // by the names of its files, not by the id under which they were sent
    assert.equal(run().record.name, 'long on tiny');
    await page.locator('.tab', { hasText: 'long on tiny' }).first().waitFor();
  });

  it('is deleted there, too, where the user wants that', async () => {
    const { dir } = run();
    const id = path.basename(dir);
    assert.ok(existsSync(path.join(there, 'jobs', id, 'run', 'run.json')));
    await chooseInMenu(page, runRow(), 'Delete');
    await page.locator('.monaco-dialog-box').waitFor();
    await d.screenshot(page, path.join(shots, 'target-delete.png'));
    assert.match(await d.dialog(page, 'Delete There, Too'), /Its files on gpu-box can be deleted/);
    await until(() => !existsSync(path.join(there, 'jobs', id)), 'the end of its files there');
    // a server has no trash
    const again = page.locator('.monaco-dialog-box', { hasText: 'permanently' });
    await until(async () => {
      if (await again.isVisible()) await d.dialog(page, 'Delete Permanently');
      return !existsSync(dir);
    }, 'the end of its folder here');
  });

  it('can be one of a sweep, whose runs train there side by side', async () => {
    const recipe = readJson(path.join(workspace, 'lora.json'));
    const training = { max_steps: 4, save_steps: 4, eval_steps: 2 };
    const short = { ...recipe, dataset: 'data/train.jsonl', training };
    writeFileSync(path.join(workspace, 'short.lora.json'), JSON.stringify(short));
    await openFile(page, 'short.lora.json');
    await d.runCommand(page, 'LoRA: Sweep Ranks');
    await page.locator('.quick-input-title', { hasText: 'Sweep Ranks' }).waitFor();
    await d.typeInput(page, '1, 2');
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .click();
    await page.locator('.quick-input-title', { hasText: `Sweep on ${NAME}` }).waitFor();
    await d.typeInput(page, '2');
    await page.locator('.tab.active', { hasText: 'Ranks of short' }).waitFor();
    const isComplete = ({ record }) => record?.state === 'completed';
    await until(
      () => runsOf(workspace).length === 2 && runsOf(workspace).every(isComplete),
      'both runs of the sweep',
    );
    for (const { dir } of runsOf(workspace))
      assert.equal(readJson(path.join(dir, 'remote.json')).target.name, NAME);
    await until(
      async () => /r = \d is enough|Higher ranks still help/.test(await body().innerText()),
      'the conclusion',
    );
    await d.screenshot(page, path.join(shots, 'target-sweep.png'));
  });

  it('of the workspace is asked about before anything reaches it', async () => {
    mkdirSync(path.join(workspace, '.lora'), { recursive: true });
    writeFileSync(
      path.join(workspace, '.lora', 'targets.json'),
      JSON.stringify([{ name: 'lab', kind: 'ssh', host: 'lab.invalid', env: ['HF_TOKEN'] }]),
    );
    await openFile(page, 'lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe On');
    await row('lab').filter({ hasText: 'you are asked before it is used' }).click();
    const box = page.locator('.monaco-dialog-box');
    await box.waitFor();
    await d.screenshot(page, path.join(shots, 'target-consent.png'));
    for (const text of ['lab.invalid', 'SSH', 'HF_TOKEN', 'targets.json'])
      assert.ok((await box.innerText()).includes(text), text);
    await d.dialog(page, 'Cancel');
    await box.waitFor({ state: 'detached' });
    assert.equal(await row('Start on lab').count(), 0);
  });
});
