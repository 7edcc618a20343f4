// The playground in a real workbench: adapters answer beside their base model.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import OpenAI from 'openai';
import { tsImport } from 'tsx/esm/api';
import * as d from './drive.mjs';
import {
  AS_PLAYGROUND,
  checkThemes,
  chooseInMenu,
  chooseInSubmenu,
  LIMIT,
  openWorkbench,
  readJson,
  until,
} from './page.mjs';
import { makeWorkspace, root, runsOf } from './workspace.mjs';
import { programPath } from '../../scripts/programs.mjs';

const shots = path.join(root, 'out', 'screenshots');
const cli = (...args) =>
  spawnSync(process.execPath, [path.join(root, 'dist', 'cli.js'), ...args], { encoding: 'utf8' });

const { visibleControls } = await tsImport('../../src/shared/plainText.ts', import.meta.url);

describe('the playground', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  let workbench, page;
  const runs = () =>
    page
      .locator('.pane', { has: page.locator('.pane-header[aria-label^="Runs"]') })
      .locator('.monaco-list-row');
  const body = () => d.webview(page);
  /** Waits until this many answers are complete, and returns them. */
  const answers = (count) =>
    until(async () => {
      const facts = await body().locator('article .caption').allInnerTexts();
      return facts.length === count && facts.every((text) => /tokens/.test(text))
        ? body().locator('article .text').allInnerTexts()
        : undefined;
    }, `${count} answers`);
  const answerOfCli = (...adapters) => {
    const { stdout } = cli(
      'generate',
      '--base',
      path.join(workspace, 'models/tiny'),
      ...adapters.flatMap((adapter) => ['--adapter', adapter]),
      '--prompt',
      'name a color',
      '--chat',
      '--max-new-tokens',
      '12',
      ...AS_PLAYGROUND,
      '--json',
    );
    return JSON.parse(stdout).text.trim();
  };

  before(async () => {
    mkdirSync(shots, { recursive: true });
    for (const [name, r] of [
      ['first.lora.json', 4],
      ['second.lora.json', 8],
    ]) {
      writeFileSync(
        path.join(workspace, name),
        JSON.stringify({
          base: 'models/tiny',
          dataset: 'data/train.jsonl',
          validation_split: 0.25,
          lora: { r, lora_alpha: 4 * r },
          training: { max_steps: 60, learning_rate: 0.02 },
          samples: { sample_steps: 0 },
        }),
      );
      const { status, stderr } = cli('train', path.join(workspace, name));
      assert.equal(status, 0, stderr);
    }
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
    await until(async () => (await runs().count()) === 2, 'two runs');
  });
  after(() => workbench?.close());
  afterEach((test) =>
    d.screenshot(
      page,
      path.join(shots, `at-playground-${test.name.slice(0, 14).replace(/\W+/g, '-')}.png`),
    ),
  );

  it('gives the same answers of base and adapter as the command line, and saves the prompt', async () => {
    await chooseInMenu(page, runs().nth(1), 'Try Adapter');
    await page.locator('.tab.active', { hasText: 'Try on tiny' }).waitFor();
    await body().getByText('Ready, on').waitFor();
    await body()
      .getByText(/^Row 1 of \d+ \(line \d+\)$/)
      .waitFor();
    const asked = await body().locator('#prompt').inputValue();
    assert.ok(
      readFileSync(path.join(workspace, 'data/train.jsonl'), 'utf8').includes(
        JSON.stringify(asked),
      ),
      asked,
    );
    await body().locator('.expected').waitFor();
    await body().getByRole('button', { name: 'Next row' }).click();
    await body()
      .getByText(/^Row 2 of/)
      .waitFor();
    await body().getByRole('button', { name: 'Ask without the row' }).click();
    await body().locator('#max_new_tokens').fill('12');
    await body().locator('#system').fill('');
    await body().locator('#prompt').fill('name a color');
    await body().locator('#prompt').press('Control+Enter');
    const [base, adapted] = await answers(2);
    const [{ dir: first }] = runsOf(workspace);
    assert.deepEqual(
      [base.trim(), adapted.trim()].map((text) => text.replace(/^\(nothing\)$/, '')),
      [answerOfCli(), answerOfCli(path.join(first, 'adapter'))].map(visibleControls),
    );
    await until(
      () => readJson(path.join(workspace, '.lora/prompts.json'))?.join() === 'name a color',
      'the prompt on disk',
    );
  });

  it('adds another adapter, and answers again when the scale changes', async () => {
    await chooseInMenu(page, runs().nth(0), 'Try Adapter');
    await until(async () => (await body().locator('article').count()) === 3, 'three columns');
    await body().getByText('Ready, on').waitFor();
    await body().locator('#prompt').press('Control+Enter');
    const [base, , second] = await answers(3);
    await body().locator('#scale-1').fill('0');
    await until(
      async () => (await body().locator('article').nth(2).locator('.text').innerText()) === base,
      'the base’s answer at scale 0',
    );
    assert.notEqual(second, base);
    await d.screenshot(page, path.join(shots, 'playground.png'));
  });

  it('is accessible in four themes', () =>
    checkThemes(workbench.server, page, 'playground', body()));

  it('restores prompt and scales when the window is reloaded', async () => {
    await d.stateSaved(page, '"scales":[1,0]');
    await page.reload();
    await body().getByText('Ready, on').waitFor();
    assert.equal(await body().locator('#prompt').inputValue(), 'name a color');
    assert.equal(await body().locator('#scale-1').inputValue(), '0');
    await page.keyboard.press('F1');
    await page.keyboard.press('Escape');
  });

  it('ends its process when it is closed', async () => {
    const serving = () =>
      spawnSync(
        programPath('pgrep'),
        ['-f', `serve --base ${path.join(workspace, 'models/tiny')}`],
        {
          encoding: 'utf8',
        },
      ).stdout.trim();
    assert.notEqual(serving(), '');
    await d.runCommand(page, 'View: Close All Editors');
    await until(() => serving() === '', 'the process to end');
  });

  it('serves an adapter to clients of OpenAI until the server is stopped', async () => {
    await chooseInSubmenu(page, runs().nth(1), 'Adapter', 'Start Server');
    const [{ text }] = await d.notifications(page, /is available at http/);
    const [baseURL] = /http:\/\/127\.0\.0\.1:\d+\/v1/.exec(text);
    const openai = new OpenAI({ baseURL, apiKey: 'none', maxRetries: 0 });
    const [{ dir: first }] = runsOf(workspace);
    const model = `base+${path.basename(first)}`;
    assert.deepEqual(
      (await openai.models.list()).data.map(({ id }) => id),
      ['base', model],
    );
    const { choices } = await openai.chat.completions.create({
      model,
      messages: [{ role: 'user', content: 'name a color' }],
      temperature: 0,
      max_tokens: 12,
    });
    assert.equal(choices[0].message.content.trim(), answerOfCli(path.join(first, 'adapter')));
    await d.runCommand(page, 'LoRA: Stop Server');
    await until(
      () =>
        fetch(`${baseURL}/models`).then(
          () => false,
          () => true,
        ),
      'the server to end',
    );
  });

  it('answers with a fully fine-tuned model, without an adapter', async () => {
    writeFileSync(
      path.join(workspace, 'full.lora.json'),
      JSON.stringify({
        base: 'models/tiny',
        dataset: 'data/train.jsonl',
        training: { method: 'full', max_steps: 40, learning_rate: 0.01 },
        samples: { sample_steps: 0 },
      }),
    );
    const { status, stderr } = cli('train', path.join(workspace, 'full.lora.json'));
    assert.equal(status, 0, stderr);
    const row = runs().filter({ hasText: 'full fine-tuning' });
    await row.waitFor();
    await chooseInMenu(page, row, 'Try Model');
    await page.locator('.tab.active', { hasText: 'Try on model' }).waitFor();
    await body().getByText('Ready, on').waitFor();
    await body()
      .getByText(/^Row 1 of/)
      .waitFor();
    await body().getByRole('button', { name: 'Ask without the row' }).click();
    await body().locator('#max_new_tokens').fill('12');
    await body().locator('#system').fill('');
    await body().locator('#prompt').fill('name a color');
    await body().locator('#prompt').press('Control+Enter');
    const [answer] = await answers(1);
    const model = path.join(
      runsOf(workspace).find(({ record }) => record.result.model).dir,
      'model',
    );
    const { stdout } = cli(
      'generate',
      '--base',
      model,
      '--prompt',
      'name a color',
      '--chat',
      '--max-new-tokens',
      '12',
      ...AS_PLAYGROUND,
      '--json',
    );
    assert.equal(answer.trim().replace(/^\(nothing\)$/, ''), JSON.parse(stdout).text.trim());
    await chooseInMenu(page, row, 'Open Dashboard');
    await body().getByRole('button', { name: 'Reveal Model' }).waitFor();
  });
});
