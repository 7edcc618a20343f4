import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { batchScript, shellScript } from '../../../../src/host/terminal/loraCommand';

describe.skipIf(process.platform === 'win32')('the command in a shell of Unix', () => {
  const folder = mkdtempSync(path.join(tmpdir(), "lora's bin-"));
  const cli = path.join(folder, 'cli.js');
  writeFileSync(
    cli,
    `const { LORA_RUNTIME_HOME, LORA_RUNTIME_PATH } = process.env;
    console.log(JSON.stringify([process.argv.slice(2), LORA_RUNTIME_HOME, LORA_RUNTIME_PATH]));`,
  );
  const run = (home: string, runtime: string | null, env: NodeJS.ProcessEnv = {}) => {
    const script = path.join(folder, 'lora');
    writeFileSync(script, shellScript({ node: process.execPath, cli, home, runtime }));
    const args = [script, 'train', '--repeat', "/a b/it's $HOME"];
    const { stdout } = spawnSync('/bin/sh', args, { encoding: 'utf8', env });
    return JSON.parse(stdout) as unknown;
  };
  const args = ['train', '--repeat', "/a b/it's $HOME"];

  it('passes its arguments on, with the runtime of the extension', () => {
    expect(run(folder, null)).toEqual([args, folder, null]);
    expect(run(path.join(folder, 'none'), '/opt/tf')).toEqual([args, null, '/opt/tf']);
  });

  it('keeps the variables of the user', () => {
    const env = { LORA_RUNTIME_HOME: '/mine', LORA_RUNTIME_PATH: '/my tf' };
    expect(run(folder, '/opt/tf', env)).toEqual([args, '/mine', '/my tf']);
  });
});

it('escapes the mark of variables in a batch file', () => {
  const script = batchScript({
    node: 'C:\\n.exe',
    cli: 'C:\\100%\\cli.js',
    home: 'C:\\h',
    runtime: null,
  });
  expect(script).toContain('"C:\\n.exe" "C:\\100%%\\cli.js" %*\r\n');
});
