import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { commonSizes } from '../../../../src/formats/architecture/commonSizes';
import { answerTo } from '../../../../src/inspect/answer';
import type { Question } from '../../../../src/inspect/questions';
import type { ConfigureHostMessage } from '../../../../src/shared/pages/configure/protocol';

const BASE = path.resolve('test/fixtures/llama/base');

const fake = vi.hoisted(() => ({ isTrusted: false, text: '' }));
vi.mock('vscode', async () => {
  const { fakeVscode } = await import('../../../support/fakeVscode');
  const nothing = () => ({ dispose: () => undefined });
  return {
    ...fakeVscode(),
    l10n: { t: (text: string) => text },
    workspace: {
      get isTrusted() {
        return fake.isTrusted;
      },
      onDidChangeTextDocument: nothing,
      onDidGrantWorkspaceTrust: nothing,
      onDidSaveTextDocument: nothing,
      openTextDocument: () => Promise.resolve({ getText: () => fake.text }),
    },
  };
});
const ask = vi.fn((kind: string, asked: object) => answerTo({ kind, asked } as Question));
const { hostMachine } = await import('../../../../src/host/setup/machineMemory');
const { ConfigureSession } = await import('../../../../src/host/configure/configureSession');
const vscode = await import('vscode');

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lora-configure-'));
  await writeFile(path.join(folder, 'data.jsonl'), '');
  vi.clearAllMocks();
});
afterEach(() => rm(folder, { recursive: true }));

/** The messages of a page that VS Code restores, or that the user opens. */
async function shown(base: string, wasOpened = false): Promise<ConfigureHostMessage[]> {
  const messages: ConfigureHostMessage[] = [];
  fake.text = JSON.stringify({ base, dataset: './data.jsonl', lora: { r: 4 } });
  const session = new ConfigureSession(
    vscode.Uri.file(path.join(folder, 'lora.json')),
    {
      inspections: { ask: ask },
      newestAdapter: () => null,
      usedRank: () => Promise.resolve(null),
      onDidChangeRuns: () => ({ dispose: () => undefined }),
      datasetFacts: () => Promise.resolve(null),
      resize: () => Promise.resolve(),
      triedRuns: () => Promise.resolve([]),
      wasOpened: () => wasOpened,
    },
    (message) => messages.push(message),
  );
  await session.start();
  session.dispose();
  return messages;
}

it('a restored page reads nothing that its recipe names before the workspace is trusted', async () => {
  fake.isTrusted = false;
  const [message] = await shown(BASE);
  expect(message?.kind === 'fault' && message.message).toContain('trusted');
  expect(ask).not.toHaveBeenCalled();
});

it('a restored page reads the model of a trusted workspace', async () => {
  fake.isTrusted = true;
  expect(await shown(BASE)).toMatchObject([{ kind: 'recipe', base: 'base' }, { kind: 'sizes' }]);
});

it('says of models of common sizes what fits into the memory of this machine', async () => {
  fake.isTrusted = true;
  const message = (await shown(BASE)).find(({ kind }) => kind === 'sizes');
  const { sizes } = message as Extract<ConfigureHostMessage, { kind: 'sizes' }>;
  expect(sizes).toMatchObject({ rows: 4, length: 512, rank: 8 });
  const machine = hostMachine(sizes.there);
  const computed = commonSizes(machine);
  expect(sizes.models.map(({ model }) => model)).toEqual(computed.map(({ model }) => model));
  for (const [i, { forms }] of sizes.models.entries()) {
    const names = machine.hasBf16
      ? ['float32', 'bfloat16', 'int8', 'nf4', 'Q8_0', 'Q4_K']
      : ['float32', 'int8', 'nf4', 'Q8_0', 'Q4_K'];
    expect(forms.map(({ name }) => name)).toEqual(names);
    expect(forms[0]).toMatchObject({ fit: computed[i]!.memory.types[0]!.fit });
    expect(forms.at(-1)).toMatchObject({ fit: computed[i]!.files[1]!.fit });
  }
});

it('a restored page asks no server; one that the user opens does', async () => {
  fake.isTrusted = true;
  expect(await shown('//host/share/model')).toMatchObject([{ kind: 'fault' }]);
  expect(ask).not.toHaveBeenCalled();
  await shown('//host/share/model', true);
  expect(ask).toHaveBeenCalled();
});

it('says that the base model is missing, and that of no other problem', async () => {
  fake.isTrusted = true;
  expect(await shown(path.join(folder, 'none'))).toEqual([
    expect.objectContaining({ kind: 'fault', missing: 'base' }),
  ]);
  await writeFile(path.join(folder, 'damaged.gguf'), 'damaged');
  const [message] = await shown(path.join(folder, 'damaged.gguf'));
  expect(message).toMatchObject({ kind: 'fault' });
  expect(message).not.toHaveProperty('missing');
});
