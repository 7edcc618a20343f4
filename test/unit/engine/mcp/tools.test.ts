import { mkdirSync, mkdtempSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { Tools } from '../../../../src/engine/mcp/tools';
import { Workspace } from '../../../../src/engine/mcp/workspace';
import { AGENT_TOOLS } from '../../../../src/shared/agentTools';
import { putRun, recordOf } from '../../../support/runRecords';

const newFolder = () => realpathSync(mkdtempSync(path.join(tmpdir(), 'mcp-')));
const CALL = { signal: new AbortController().signal, onProgress: () => undefined };

const runNamed = (name: string) => ({ 'run.json': recordOf({ name }) });

async function toolsIn(root: string): Promise<Tools> {
  return new Tools(await Workspace.open(root), '/none/cli.js');
}

describe('the tools of lora mcp', () => {
  it('read the runs beside all recipes, but through no link', async () => {
    const root = newFolder();
    await putRun(path.join(root, '.lora/runs/top'), runNamed('top run'));
    await putRun(path.join(root, 'deep/er/.lora/runs/deep'), runNamed('a\nb'));
    const elsewhere = newFolder();
    await putRun(path.join(elsewhere, '.lora/runs/foreign'), runNamed('foreign'));
    mkdirSync(path.join(root, 'x'));
    symlinkSync(path.join(elsewhere, '.lora'), path.join(root, 'x/.lora'));
    mkdirSync(path.join(root, 'y/.lora'), { recursive: true });
    symlinkSync(path.join(elsewhere, '.lora/runs'), path.join(root, 'y/.lora/runs'));
    symlinkSync(path.join(elsewhere, '.lora/runs/foreign'), path.join(root, '.lora/runs/linked'));
    const tools = await toolsIn(root);
    const { text, facts } = await tools.answer(AGENT_TOOLS.listRuns, undefined, CALL);
    expect((facts['runs'] as { id: string }[]).map(({ id }) => id).sort()).toEqual(['deep', 'top']);
    expect(text.split('\n')).toHaveLength(2);
  });

  it('tell of a run that cannot be read, and prefer an id to a name', async () => {
    const root = newFolder();
    mkdirSync(path.join(root, '.lora/runs/broken'), { recursive: true });
    writeFileSync(path.join(root, '.lora/runs/broken/run.json'), '{"version":');
    await putRun(path.join(root, '.lora/runs/own'), runNamed('broken'));
    const tools = await toolsIn(root);
    const { text } = await tools.answer(AGENT_TOOLS.explainRun, { run: 'broken' }, CALL);
    expect(text).toMatch(/problem: run\.json cannot be read/);
  });

  it('tell of a run.json that lacks what other versions write', async () => {
    const root = newFolder();
    const bare = {
      version: 1,
      name: 'bare',
      state: 'completed',
      created: '2026-01-02T03:04:05.000Z',
      recipe: { base: 'm', dataset: 'd.jsonl', lora: { r: 4 } },
      recipe_path: null,
      total_steps: null,
      result: { steps: 0, last_loss: null, adapter: null, best_step: 'x' },
      error: null,
    };
    await putRun(path.join(root, '.lora/runs/bare'), { 'run.json': bare });
    const tools = await toolsIn(root);
    const { text } = await tools.answer(AGENT_TOOLS.explainRun, { run: 'bare' }, CALL);
    expect(text).toMatch(/bare "bare": completed[^]*at step unknown/);
  });

  it('answer so many calls at once, and refuse more', async () => {
    const tools = await toolsIn(newFolder());
    const calls = Array.from({ length: 40 }, () => tools.answer(AGENT_TOOLS.listRuns, {}, CALL));
    const ended = await Promise.allSettled(calls);
    expect(ended.filter(({ status }) => status === 'fulfilled')).toHaveLength(16);
    expect((await tools.answer(AGENT_TOOLS.listRuns, {}, CALL)).text).toMatch(/no runs yet/);
  });
});
