import { mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { TargetStore } from '../../../../src/host/targets/targetStore';

let root: string;
beforeEach(async () => void (root = await mkdtemp(path.join(tmpdir(), 'lora-targets-'))));
afterEach(() => rm(root, { recursive: true }));

const ssh = (name: string, more: object = {}) => ({
  name,
  kind: 'ssh',
  host: `${name}.example`,
  ...more,
});
const userFile = () => path.join(root, 'targets.json');
const workspaceFile = () => path.join(root, 'w', '.lora', 'targets.json');

async function put(file: string, content: unknown): Promise<void> {
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, typeof content === 'string' ? content : JSON.stringify(content));
}

function storeOf({ setting = [] as unknown, isTrusted = true } = {}) {
  const memory = new Map<string, unknown>();
  return new TargetStore({
    userFile: userFile(),
    setting: () => setting,
    workspaceFolders: () => [path.join(root, 'w')],
    isTrusted: () => isTrusted,
    memory: {
      get: (key) => memory.get(key),
      update: (key, value) => Promise.resolve(void memory.set(key, value)),
    },
    storage: path.join(root, 'storage'),
  });
}

describe('the store of targets', () => {
  it('has none without files and settings, and leaves the command line alone', async () => {
    const store = storeOf();
    expect(await store.list()).toEqual({ targets: [], leftOut: [], problems: [] });
    expect(await store.environment()).toEqual({});
  });

  it('reads the file, the setting and the workspace', async () => {
    await put(userFile(), [ssh('a')]);
    await put(workspaceFile(), [ssh('c')]);
    const { targets } = await storeOf({ setting: [ssh('b')] }).list();
    expect(targets.map(({ entry, origin }) => [entry.name, origin.kind])).toEqual([
      ['a', 'file'],
      ['b', 'setting'],
      ['c', 'workspace'],
    ]);
  });

  it('reads nothing of an untrusted workspace, also not a file with faults', async () => {
    await put(workspaceFile(), '{');
    expect(await storeOf({ isTrusted: false }).list()).toEqual({
      targets: [],
      leftOut: [],
      problems: [],
    });
  });

  it('tells of each source that is not valid, with its file, and keeps the others', async () => {
    await put(userFile(), [ssh('a')]);
    await put(workspaceFile(), [{ name: 'b', kind: 'telnet' }]);
    const { targets, problems } = await storeOf({ setting: [{ name: 'x' }] }).list();
    expect(targets.map(({ entry }) => entry.name)).toEqual(['a']);
    expect(problems.map(({ area, place }) => [area, place?.file])).toEqual([
      ['target', 'settings.json'],
      ['target', workspaceFile()],
    ]);
  });

  it('follows no link that the workspace brings', async () => {
    await put(path.join(root, 'else.json'), [ssh('c')]);
    await mkdir(path.dirname(workspaceFile()), { recursive: true });
    await symlink(path.join(root, 'else.json'), workspaceFile());
    const { targets, problems } = await storeOf().list();
    expect(targets).toEqual([]);
    expect(problems).toHaveLength(1);
  });

  it('gives the command line a target of the workspace only once the user has agreed', async () => {
    await put(workspaceFile(), [ssh('c')]);
    const store = storeOf({ setting: [ssh('b')] });
    const names = async () => {
      const file = (await store.environment())['LORA_TARGETS']!;
      // it names machines and variables of the user
      expect((await stat(path.dirname(file))).mode & 0o077).toBe(0);
      return (JSON.parse(await readFile(file, 'utf8')) as { name: string }[]).map(
        ({ name }) => name,
      );
    };
    expect(await names()).toEqual(['b']);
    const target = (await store.find('c'))!;
    expect(store.mustAsk(target)).toBe(true);
    await store.agree(target);
    expect(store.mustAsk(target)).toBe(false);
    expect(await names()).toEqual(['b', 'c']);
    await put(workspaceFile(), [ssh('c', { host: 'other.example' })]);
    expect(await names()).toEqual(['b']);
  });

  it('does not hide a faulty file of the user behind other targets', async () => {
    await put(userFile(), '[{]');
    await expect(storeOf({ setting: [ssh('b')] }).environment()).rejects.toMatchObject({
      area: 'target',
      place: { file: userFile() },
    });
  });
});
