// A workspace with two folders, each with its own runs, recipes and models.
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import assert from 'node:assert/strict';
import * as d from './drive.mjs';
import { LIMIT, openFile, openWorkbench, palette, until } from './page.mjs';
import { endEngines, makeWorkspace, root, runsOf } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');

describe('a workspace with two folders', { timeout: LIMIT }, () => {
  const folders = [makeWorkspace(), makeWorkspace()];
  let workbench, page;
  const rows = async () => (await d.treeItems(page, 'Runs')).map(({ description }) => description);

  before(async () => {
    for (const [i, folder] of folders.entries()) {
      writeFileSync(
        path.join(folder, `recipe-${i + 1}.lora.json`),
        JSON.stringify({
          base: 'models/tiny',
          dataset: 'data/train.jsonl',
          lora: { r: 2 + i },
          training: { max_steps: 4 },
          samples: { sample_steps: 0 },
        }),
      );
    }
    const workspace = path.join(
      mkdtempSync(path.join(tmpdir(), 'lora-multiroot-')),
      'both.code-workspace',
    );
    writeFileSync(
      workspace,
      JSON.stringify({ folders: folders.map((folder) => ({ path: folder })) }),
    );
    workbench = await openWorkbench(workspace);
    ({ page } = workbench);
  });
  after(async () => {
    await workbench?.close();
    folders.forEach(endEngines);
  });
  afterEach(() => d.screenshot(page, path.join(shots, 'at-multiroot.png')));

  it("trains each folder's recipe on its own data, and keeps the run in that folder", async () => {
    for (const [i, folder] of folders.entries()) {
      await openFile(page, path.join(folder, `recipe-${i + 1}.lora.json`));
      await palette(page, 'LoRA: Run Recipe');
      const { record } = await until(
        () => runsOf(folder).find((run) => run.record?.state === 'completed'),
        `the end of the run in folder ${i + 1}`,
      );
      assert.equal(record.recipe.base, path.join(folder, 'models', 'tiny'));
      assert.equal(record.recipe.lora.r, 2 + i);
    }
    assert.deepEqual(
      folders.map((folder) => runsOf(folder).length),
      [1, 1],
    );
  });

  it('lists the runs of both folders, newest first', async () => {
    await until(async () => {
      const [newer, older, more] = await d.treeItems(page, 'Runs');
      const hasRank = (row, r) => row?.label.startsWith(`r${r} · `);
      return hasRank(newer, 3) && hasRank(older, 2) && !more;
    }, 'two rows');
  });

  it('shows a run that another program creates in the second folder', async () => {
    const [, second] = folders;
    const [{ dir }] = runsOf(second);
    const copy = path.join(second, '.lora', 'runs', '20300101-000000-abcd');
    cpSync(dir, copy, { recursive: true });
    const record = JSON.parse(readFileSync(path.join(copy, 'run.json'), 'utf8'));
    writeFileSync(
      path.join(copy, 'run.json'),
      JSON.stringify({ ...record, id: '20300101-000000-abcd', name: 'made elsewhere' }),
    );
    await until(
      async () => (await rows()).some((label) => label.includes('made elsewhere')),
      'the new row',
    );
  });
});
