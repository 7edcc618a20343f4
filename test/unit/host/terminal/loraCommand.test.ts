import { mkdtempSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import {
  batchScript,
  shellScript,
  type RuntimeVariables,
} from '../../../../src/host/terminal/loraCommand';

const nothingChosen: RuntimeVariables = {
  LORA_RUNTIME_PATH: null,
  LORA_RUNTIME_URL: null,
  LORA_RUNTIME_COMPANION: null,
};
const allChosen: RuntimeVariables = {
  LORA_RUNTIME_PATH: '/opt/tf',
  LORA_RUNTIME_URL: 'https://mirror.example/a b',
  LORA_RUNTIME_COMPANION: "/it's/runtime",
};

describe.skipIf(process.platform === 'win32')('the command in a shell of Unix', () => {
  const folder = mkdtempSync(path.join(tmpdir(), "lora's bin-"));
  const cli = path.join(folder, 'cli.js');
  writeFileSync(
    cli,
    `const { LORA_RUNTIME_HOME, LORA_RUNTIME_PATH, LORA_RUNTIME_URL, LORA_RUNTIME_COMPANION } = process.env;
    console.log(JSON.stringify([process.argv.slice(2), LORA_RUNTIME_HOME, LORA_RUNTIME_PATH, LORA_RUNTIME_URL, LORA_RUNTIME_COMPANION]));`,
  );
  const run = (
    home: string,
    variables: RuntimeVariables = nothingChosen,
    env: NodeJS.ProcessEnv = {},
  ) => {
    const script = path.join(folder, 'lora');
    writeFileSync(script, shellScript({ node: process.execPath, cli, home, variables }));
    const args = [script, 'train', '--repeat', "/a b/it's $HOME"];
    const { stdout } = spawnSync('/bin/sh', args, { encoding: 'utf8', env });
    return JSON.parse(stdout) as unknown;
  };
  const args = ['train', '--repeat', "/a b/it's $HOME"];

  it('passes its arguments on, with the runtime of the extension', () => {
    expect(run(folder)).toEqual([args, folder, null, null, null]);
    expect(run(path.join(folder, 'none'), allChosen)).toEqual([
      args,
      null,
      '/opt/tf',
      'https://mirror.example/a b',
      "/it's/runtime",
    ]);
  });

  it('keeps the variables of the user', () => {
    const env = {
      LORA_RUNTIME_HOME: '/mine',
      LORA_RUNTIME_PATH: '/my tf',
      LORA_RUNTIME_URL: '/share',
      LORA_RUNTIME_COMPANION: '/my companion',
    };
    expect(run(folder, allChosen, env)).toEqual([args, ...Object.values(env)]);
  });
});

it('escapes the mark of variables in a batch file', () => {
  const script = batchScript(
    {
      node: 'C:\\n.exe',
      cli: 'C:\\100%\\cli.js',
      home: 'C:\\h',
      variables: { ...nothingChosen, LORA_RUNTIME_URL: 'https://mirror.example/50%25' },
    },
    'C:\\bin',
  );
  expect(script).toContain(
    'if not defined LORA_RUNTIME_URL set "LORA_RUNTIME_URL=https://mirror.example/50%%25"\r\n',
  );
  expect(script).not.toContain('LORA_RUNTIME_PATH');
  expect(script).toContain('"C:\\n.exe" "C:\\100%%\\cli.js" %*\r\n');
  // before the first path, which may have umlauts
  expect(script.indexOf('chcp 65001')).toBeLessThan(script.indexOf('C:\\'));
  expect(script.trimEnd().split('\r\n').at(-1)).toBe('exit /b %LORA_EXIT%');
});

it("a batch file does not write out the user's name, which cmd may not read", () => {
  const user = 'C:\\Users\\Jürgen';
  const script = batchScript(
    {
      node: `${user}\\AppData\\Local\\Programs\\Code\\Code.exe`,
      cli: `${user}\\.vscode\\extensions\\lora\\dist\\cli.js`,
      home: 'D:\\Läufe\\runtime',
      variables: nothingChosen,
    },
    `${user.toUpperCase()}\\AppData\\Roaming\\Code\\lora`,
  );
  expect(script).toContain(
    '"%~dp0..\\..\\..\\Local\\Programs\\Code\\Code.exe" "%~dp0..\\..\\..\\..\\.vscode\\extensions\\lora\\dist\\cli.js" %*\r\n',
  );
  expect(script).toContain('"LORA_RUNTIME_HOME=D:\\Läufe\\runtime"');
});
