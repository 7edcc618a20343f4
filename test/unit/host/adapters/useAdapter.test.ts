import { cpSync, mkdirSync, mkdtempSync, realpathSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import * as vscode from 'vscode';
import type { Jobs } from '../../../../src/host/jobs/jobs';
import type { RunStore } from '../../../../src/host/runs/runStore';
import { LoraError } from '../../../../src/shared/errors';
import { NEEDS_MERGE, type PreparedUse } from '../../../../src/shared/useTools';

vi.mock('vscode', async () => ({
  ...(await import('../../../support/fakeVscode')).fakeVscode(),
  Uri: function Uri() {},
  workspace: { workspaceFolders: [] },
}));
const { useAdapterCommand } = await import('../../../../src/host/adapters/useAdapter');
beforeEach(() => vi.clearAllMocks());

/** An adapter of a run, which names its base. */
function adapterOfRun(): { readonly adapter: string; readonly base: string } {
  const run = realpathSync(mkdtempSync(path.join(tmpdir(), 'use-')));
  const base = path.join(run, 'base');
  mkdirSync(base);
  writeFileSync(path.join(run, 'run.json'), JSON.stringify({ recipe: { base } }));
  const adapter = path.join(run, 'adapter');
  cpSync('test/fixtures/llama/lora-qv/adapter', adapter, { recursive: true });
  return { adapter, base };
}

const PREPARED: PreparedUse = {
  in: 'ollama',
  base: '/base',
  merged: true,
  files: ['/out/Modelfile'],
  commands: [['ollama', 'create', 'a', '-f', '/out/Modelfile']],
  lines: ['ollama create a -f /out/Modelfile', 'ollama run a'],
  program: null,
  notes: [],
};

const servicesWith = (run: unknown) => ({
  jobs: { run } as unknown as Jobs,
  store: {} as unknown as RunStore,
  secrets: { get: () => Promise.resolve('hf_x') } as unknown as vscode.SecretStorage,
});

const asked = (run: unknown) => (run as ReturnType<typeof vi.fn>).mock.calls as unknown[][];

describe('Use Adapter In…', () => {
  it('offers to merge where a program needs it, and copies the commands', async () => {
    const { adapter, base } = adapterOfRun();
    vi.mocked(vscode.window.showInputBox).mockResolvedValue('/out');
    const refusal = new LoraError('adapter', 'Ollama cannot use this adapter: reasons.', {
      place: { file: adapter, key: NEEDS_MERGE },
    });
    const run = vi.fn().mockRejectedValueOnce(refusal).mockResolvedValue(PREPARED);
    await useAdapterCommand(servicesWith(run), adapter);
    const args = [
      'use',
      '--in',
      'ollama',
      '--adapter',
      adapter,
      '--base',
      base,
      '--output',
      '/out',
    ];
    expect(asked(run).map((call) => call[1])).toEqual([args, [...args, '--merge']]);
    const [question] = asked(vscode.window.showWarningMessage);
    expect(JSON.stringify(question)).toMatch(/Merge the adapter.*cannot use this adapter: reasons/);
    const { clipboard } = vscode.env as unknown as { readonly clipboard: { writeText: unknown } };
    expect(asked(clipboard.writeText)).toEqual([
      ['ollama create a -f /out/Modelfile\nollama run a'],
    ]);
  });

  it('passes on any other error', async () => {
    const { adapter } = adapterOfRun();
    vi.mocked(vscode.window.showInputBox).mockResolvedValue('/out');
    const run = vi.fn().mockRejectedValue(new LoraError('disk', 'full'));
    await expect(useAdapterCommand(servicesWith(run), adapter)).rejects.toThrow('full');
  });
});
