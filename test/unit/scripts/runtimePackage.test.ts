import { createHash } from 'node:crypto';
import { existsSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it } from 'vitest';
import { openPromise } from 'yauzl';
import { packageRuntime } from '../../../scripts/runtimePackage.mjs';
import { storedZip } from '../../../src/common/storedZip';
import type { WheelPin, WheelsPin } from '../../../src/runtime/pins';
import { temp } from '../../support/temp';

const LIBRARY = 'the library';
const wheelPin = (name: string): WheelPin => ({
  package: name,
  version: '1.0',
  wheel_platform: 'win_amd64',
  wheel_size: 0,
  sha256: '',
});
const pin: WheelsPin = {
  wheels: [wheelPin('tensorflow-cpu'), wheelPin('msvc-runtime')],
  libraries: { 'tensorflow/python/a.pyd': 'a.pyd', 'msvc.data/b.dll': 'b.dll' },
  unpacked_size: 0,
  library_sha256: Object.fromEntries(
    ['a.pyd', 'b.dll'].map((name) => [name, createHash('sha256').update(LIBRARY).digest('hex')]),
  ),
};

/** Two wheels in a new folder. */
function wheelsWith(library = LIBRARY, other = 'msvc.data/b.dll') {
  const folder = temp();
  const write = (name: string, files: Readonly<Record<string, string>>) => {
    writeFileSync(path.join(folder, name), storedZip(files));
    return path.join(folder, name);
  };
  const wheels = [
    write('tensorflow.whl', {
      'tensorflow/python/a.pyd': library,
      'tensorflow/__init__.py': 'x',
      'tensorflow/THIRD_PARTY_NOTICES.txt': 'Notices of others\r\n',
    }),
    write('msvc.whl', { [other]: LIBRARY, 'msvc.dist-info/licenses/LICENSE': 'Terms of its own' }),
  ];
  return { folder, wheels };
}

async function entriesOf(vsix: string) {
  const archive = await openPromise(vsix);
  const entries: Record<string, { mode: number; content: string }> = {};
  for await (const entry of archive.eachEntry())
    entries[entry.fileName] = {
      mode: entry.externalFileAttributes >>> 16,
      content: await text(await archive.openReadStreamPromise(entry)),
    };
  return entries;
}

describe('the package of the runtime', () => {
  it('has the libraries, their licences, and nothing that runs', async () => {
    const vsix = await packageRuntime({ platform: 'win32-x64', pin, ...wheelsWith() });
    expect(path.basename(vsix)).toBe('lora-workbench-runtime-win32-x64.vsix');
    const entries = await entriesOf(vsix);
    expect(Object.keys(entries).sort()).toEqual([
      '[Content_Types].xml',
      'extension.vsixmanifest',
      'extension/LICENSE.txt',
      'extension/ThirdPartyNotices.txt',
      'extension/lib/a.pyd',
      'extension/lib/b.dll',
      'extension/main.js',
      'extension/package.json',
      'extension/readme.md',
    ]);
    expect(JSON.parse(entries['extension/package.json']!.content)).toMatchObject({
      publisher: 'lora-workbench',
      name: 'lora-workbench-runtime',
      version: '2.18.100',
      extensionKind: ['workspace'],
      activationEvents: [],
      loraRuntime: { platform: 'win32-x64', tensorflow: '2.18.1' },
    });
    expect(entries['extension.vsixmanifest']!.content).toContain('TargetPlatform="win32-x64"');
    expect(entries['extension/main.js']!.content).toBe('// This extension has no code.\n');
    expect(entries['extension/lib/a.pyd']!.content).toBe(LIBRARY);
    const notices = entries['extension/ThirdPartyNotices.txt']!.content;
    expect(notices).toContain('tensorflow-cpu 1.0\n\nNotices of others\n');
    expect(notices).toContain('msvc-runtime 1.0\n\nTerms of its own\n');
    // no links: on Windows they need a privilege
    for (const { mode } of Object.values(entries)) expect(mode & 0o170000).toBe(0o100000);
  }, 120_000);

  it.each([
    ['has other bytes', 'another', 'msvc.data/b.dll', /^a\.pyd has the sha256 /],
    ['is missing', LIBRARY, 'other', 'The wheels do not contain msvc.data/b.dll.'],
  ] as const)('is not made if a library %s', async (_, library, other, message) => {
    const { folder, wheels } = wheelsWith(library, other);
    await expect(packageRuntime({ platform: 'win32-x64', pin, folder, wheels })).rejects.toThrow(
      message,
    );
    expect(existsSync(path.join(folder, 'lora-workbench-runtime-win32-x64.vsix'))).toBe(false);
  });
});
