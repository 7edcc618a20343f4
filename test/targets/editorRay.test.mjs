// A run on a Ray cluster of this machine in a real workbench: npm run test:targets -- editorRay
import assert from 'node:assert/strict';
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import * as d from '../workbench/drive.mjs';
import {
  chooseInMenu,
  LIMIT,
  openFile,
  openWorkbench,
  readJson,
  until,
} from '../workbench/page.mjs';
import { askEngine as ask } from './askEngine.mjs';
import { makeWorkspace, root, runsOf } from '../workbench/workspace.mjs';
import { RayCluster } from './rayCluster.mjs';

const shots = path.join(root, 'out', 'screenshots');
const NAME = 'cluster';

describe('a run on a Ray cluster', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let cluster, workbench, page;
  const run = () => runsOf(workspace)[0];
  const step = () => run()?.metrics.findLast(({ kind }) => kind === 'step')?.step ?? 0;
  const body = () => d.webview(page).locator('body');
  const runRow = () => page.locator('.pane .monaco-list-row', { hasText: NAME }).first();
  const row = (label) => page.locator('.quick-input-list .monaco-list-row', { hasText: label });

  before(async () => {
    cluster = await RayCluster.start();
    process.env.CLUSTER_TOKEN = cluster.token;
    const rows = Array.from({ length: 2_000 }, (_, i) => ({ prompt: `${i}?`, completion: `${i}` }));
    writeFileSync(
      path.join(workspace, 'data', 'long.jsonl'),
      rows.map((own) => `${JSON.stringify(own)}\n`).join(''),
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
    const entry = { name: NAME, kind: 'ray', address: cluster.address, token: 'CLUSTER_TOKEN' };
    d.setSettings(workbench.server, { 'lora.targets': [entry] });
  });
  after(async () => {
    await workbench?.close();
    await cluster?.stop();
  });
  afterEach((test) =>
    d.screenshot(page, path.join(shots, `ray-${test.name.slice(0, 12).replace(/\W+/g, '-')}.png`)),
  );

  it('is started where the list shows the cluster, after what is sent was shown', async () => {
    await openFile(page, 'lora.json');
    await d.runCommand(page, 'LoRA: Run Recipe On');
    await row(NAME)
      .filter({ hasText: /Ray · http.*\d cores/s })
      .click();
    await row(`Start on ${NAME}`).waitFor();
    await row('base').filter({ hasText: 'is sent' }).waitFor();
    await row(`Start on ${NAME}`).click();
    const description = async () => (await d.treeItems(page, 'Runs'))[0]?.description ?? '';
    await until(async () => (await description()).includes(NAME), 'the name of the target');
    await until(() => run()?.record?.state === 'running' && step() > 0, 'metrics of the run');
    await until(async () => /Step [\d,]+ of 500,000/.test(await body().innerText()), 'its step');
  });

  it('is paused, resumed, saved and stopped there, and leaves its adapter here', async () => {
    await d.webview(page).getByRole('button', { name: 'Pause' }).click();
    await until(() => run().record.state === 'paused', 'the pause');
    await d.webview(page).getByRole('button', { name: 'Resume' }).click();
    await until(() => run().record.state === 'running', 'the end of the pause');
    const saved = () => run().metrics.filter(({ kind }) => kind === 'checkpoint').length;
    const before = saved();
    assert.match((await ask(run().dir, 'checkpoint')).path, /^checkpoints\/step-\d+$/);
    await until(() => saved() > before, 'the checkpoint');
    await chooseInMenu(page, runRow(), 'Stop');
    await until(() => run().record.state === 'stopped', 'the stop');
    assert.equal(readJson(path.join(run().dir, 'adapter', 'adapter_config.json')).r, 2);
    for (const name of readdirSync(run().dir, { recursive: true })) {
      const file = path.join(run().dir, name);
      if (statSync(file).isFile()) assert.ok(!readFileSync(file).includes(cluster.token), name);
    }
  });

  it('is followed from a workspace that does not have it, by the names of its files', async () => {
    const { dir, metrics } = run();
    rmSync(dir, { recursive: true });
    await until(async () => (await runRow().count()) === 0, 'the end of its row');
    await d.runCommand(page, 'LoRA: Follow Remote Run');
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .click();
    await row(path.basename(dir)).click();
    await until(() => run()?.record?.state === 'stopped', 'the run');
    assert.deepEqual(run().metrics, metrics);
    assert.equal(run().record.name, 'long on tiny');
    await page.locator('.tab', { hasText: 'long on tiny' }).first().waitFor();
  });

  it('leaves nothing to clean without a storage', async () => {
    await d.runCommand(page, 'LoRA: Clean Target');
    await row(NAME)
      .filter({ hasText: /\d cores/ })
      .click();
    await d.notifications(page, /Everything on cluster is used/);
  });
});
