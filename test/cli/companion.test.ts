// The companion extension's folder, as the extension passes it on: with the libraries that a build
// has installed.
import { copyFileSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { beforeAll, expect, it } from 'vitest';
import { defaultRuntimeHome, findRuntime } from '../../src/runtime/findRuntime';
import { TENSORFLOW_VERSION } from '../../src/runtime/pins';
import { thisMachine } from '../../src/runtime/targetMachine';
import { makeRecipe, recordOf, startCli, tempFolder } from '../support/commandLine';
import { dist } from '../support/tfjs';

const { pin, platform } = thisMachine();
const names = Object.values(pin!.libraries);
const companion = tempFolder();
const library = path.join(companion, 'lib', names.at(-1)!);
/** A machine without a runtime, without Python, and with no other program. */
const env = {
  HOME: tempFolder(),
  PATH: tempFolder(),
  LORA_RUNTIME_HOME: '',
  LORA_RUNTIME_PATH: '',
  LORA_RUNTIME_URL: '',
  LORA_RUNTIME_COMPANION: companion,
};

const describeAs = (carried: object) =>
  writeFileSync(path.join(companion, 'package.json'), JSON.stringify({ loraRuntime: carried }));

let installed = '';
beforeAll(async () => {
  const runtime = await findRuntime({ dist, home: defaultRuntimeHome() });
  if (runtime?.kind !== 'tensorflow')
    throw new Error('No runtime is installed: run npm run build.');
  installed = runtime.folder;
  mkdirSync(path.dirname(library));
  for (const name of names)
    symlinkSync(path.join(installed, name), path.join(companion, 'lib', name));
  describeAs({ platform, tensorflow: TENSORFLOW_VERSION });
});

it('a run trains with it without a download and without Python', async () => {
  const runDir = path.join(tempFolder(), 'run');
  const args = ['train', makeRecipe({ training: { max_steps: 2 } }), '--run-dir', runDir];
  const { code, stderr } = await startCli(args, env).end;
  expect([code, stderr]).toEqual([0, expect.stringContaining('Checking libtensorflow')]);
  expect(recordOf(runDir).state).toBe('completed');
  const shown = await startCli(['runtime'], env).end;
  expect(shown.stdout).toContain(
    `The extension LoRA Workbench Runtime has TensorFlow 2.18.1 in ${companion}, where it is used.`,
  );
  expect(shown.stderr).toBe(''); // checked once
});

it('a changed byte is refused by the name of the library', async () => {
  rmSync(library);
  copyFileSync(path.join(installed, names.at(-1)!), library);
  const bytes = readFileSync(library);
  bytes[bytes.length >> 1]! ^= 1;
  writeFileSync(library, bytes);
  const { code, stderr } = await startCli(['runtime'], env).end;
  expect(code).toBe(1);
  expect(stderr).toContain(`${library} is damaged or not the expected file: it has sha256 `);
  expect(stderr).toContain(`Install lora-workbench-runtime-${platform}.vsix`);
});

it.each([
  [{ platform: 'win32-arm64', tensorflow: TENSORFLOW_VERSION }, 'is for win32-arm64, but this is '],
  [
    { platform, tensorflow: '2.17.1' },
    `has TensorFlow 2.17.1, but this version of LoRA Workbench needs ${TENSORFLOW_VERSION}.`,
  ],
])('one for something else (%o) is refused before a run', async (carried, message) => {
  describeAs(carried);
  const { code, stderr } = await startCli(['train', makeRecipe()], env).end;
  expect([code, stderr]).toEqual([1, expect.stringContaining(message)]);
});
