// On a machine without a runtime and without Python: what comes from a mirror goes through VS
// Code's proxy, and the companion extension is enough to train.
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  mkdirSync,
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { after, before, describe, it } from 'node:test';
import { createVSIX } from '@vscode/vsce';
import * as d from './drive.mjs';
import { CA_FILE, startProxy } from './loopbackProxy.mjs';
import { LIMIT, packageVsix, until } from './page.mjs';
import { installWorkbench, makeWorkspace, root, runsOf, runtimeFolder } from './workspace.mjs';

const shots = path.join(root, 'out', 'screenshots');
const platform = `${process.platform}-${process.arch}`;
const temp = (name) => mkdtempSync(path.join(tmpdir(), `lora-${name}-`));

/** A companion as it is packaged, but with other libraries: the real ones have a gigabyte. */
async function damagedCompanion(libraries) {
  const folder = temp('companion');
  mkdirSync(path.join(folder, 'lib'));
  for (const name of libraries) writeFileSync(path.join(folder, 'lib', name), 'damaged');
  writeFileSync(path.join(folder, 'main.js'), '');
  writeFileSync(path.join(folder, 'README.md'), 'For a test.');
  writeFileSync(path.join(folder, 'LICENSE.txt'), 'For a test.');
  const manifest = {
    name: 'lora-workbench-runtime',
    publisher: 'lora-workbench',
    version: '2.18.100',
    engines: { vscode: '^1.96.0' },
    main: './main.js',
    activationEvents: [],
    extensionKind: ['workspace'],
    files: ['lib', '*.*'],
    loraRuntime: { platform, tensorflow: '2.18.1' },
  };
  writeFileSync(path.join(folder, 'package.json'), JSON.stringify(manifest));
  const packagePath = path.join(folder, 'companion.vsix');
  const options = { dependencies: false, allowMissingRepository: true };
  await createVSIX({ cwd: folder, packagePath, target: platform, ...options });
  return packagePath;
}

describe('without Python', { timeout: LIMIT }, () => {
  const workspace = makeWorkspace();
  const libraries = readdirSync(runtimeFolder()).filter((name) => name.startsWith('lib'));
  /** What the extension host and the engine can start: nothing. */
  const PATH = temp('path');
  const home = temp('runtime');
  let server, browser, page, proxy;

  before(async () => {
    mkdirSync(shots, { recursive: true });
    const recipe = {
      base: 'models/tiny',
      dataset: 'data/train.jsonl',
      lora: { r: 1 },
      training: { max_steps: 3 },
    };
    writeFileSync(path.join(workspace, 'lora.json'), JSON.stringify(recipe, null, 2));
    proxy = await startProxy((_, response) => response.end('not a wheel'));
    const settings = {
      'http.proxy': proxy.address.replace('//', '//user:pass@'),
      'http.proxySupport': 'override',
    };
    server = await d.launchServer({
      settings,
      dir: installWorkbench(),
      workspace,
      vsix: [packageVsix()],
      env: {
        LORA_RUNTIME_HOME: home,
        PATH,
        VSCODE_CLI: '1', // as from a terminal: otherwise the user's shell is asked for a PATH
        SSL_CERT_FILE: CA_FILE, // stands for the certificates of the system
      },
    });
    // those of this machine, where the extension runs, not of the one with the browser
    d.setSettings(server, { ...settings, 'http.useLocalProxyConfiguration': false });
    ({ browser, page } = await d.openPage(server));
    await d.openView(page, 'LoRA');
    await d.treeRow(page, 'Runs', 'Train Adapter…').waitFor();
  });
  after(async () => {
    await browser?.close();
    await server?.stop();
    proxy?.close();
  });

  const clear = () => d.runCommand(page, 'Notifications: Clear All Notifications');
  /** Installs the runtime from an address, through the proxy; returns the requests of the proxy. */
  async function installFrom(url, expected) {
    d.setSettings(server, { 'lora.runtime.url': url });
    // the settings reach the extension host a moment later
    await until(async () => {
      proxy.requests.length = 0;
      await clear();
      await d.runCommand(page, 'LoRA: Install Runtime');
      const [shown] = await d.notifications(page, /No runtime could|is damaged/);
      return expected.test(shown.text);
    }, `the message ${expected}`);
    return proxy.requests;
  }
  const throughProxy = (host) => [
    { method: 'CONNECT', url: host, authorization: 'Basic dXNlcjpwYXNz' },
  ];

  it("fetches from a mirror through VS Code's proxy, and trusts the certificates that it trusts", async () => {
    const requests = await installFrom(
      'https://mirror.test/wheels',
      /is damaged or not the expected file/,
    );
    assert.deepEqual(requests, throughProxy('mirror.test:443'));
  });

  it('refuses a certificate that nobody has signed', async () => {
    const requests = await installFrom(
      'https://stranger.test/wheels',
      /stranger\.test cannot be reached: self-signed certificate/,
    );
    assert.deepEqual(requests, throughProxy('stranger.test:443'));
  });

  it('fetches plain HTTP through the proxy, too', async () => {
    const requests = await installFrom(
      'http://mirror.test/wheels',
      /is damaged or not the expected file/,
    );
    assert.equal(requests.length, 1);
    assert.match(requests[0].url, /^(?:mirror\.test:80|http:\/\/mirror\.test\/wheels\/.*\.whl)$/);
    assert.equal(requests[0].authorization, 'Basic dXNlcjpwYXNz');
    await clear();
  });

  it('refuses a damaged companion that is installed while a run waits, by name', async () => {
    d.setSettings(server, { 'lora.runtime.url': undefined });
    await d.runCommand(page, 'LoRA: Run Recipe');
    await d.notifications(page, /Training needs libtensorflow/);
    await server.installVsix(await damagedCompanion(libraries));
    await d.notifications(page, /libtensorflow_cc\.so\.2 is damaged or not the expected file/);
    assert.deepEqual(runsOf(workspace), []);
    await clear();
  });

  it('trains with a companion, without a download', async () => {
    const extensions = path.join(server.profile, 'ext');
    const folder = readdirSync(extensions).find((name) => name.includes('workbench-runtime'));
    for (const name of libraries) {
      const library = path.join(extensions, folder, 'lib', name);
      rmSync(library);
      symlinkSync(path.join(runtimeFolder(), name), library);
    }
    proxy.requests.length = 0;
    await d.runCommand(page, 'LoRA: Run Recipe');
    await until(
      () => runsOf(workspace).at(-1)?.record?.state === 'completed',
      'the end of the run',
      1_200,
    );
    assert.deepEqual([proxy.requests, readdirSync(home)], [[], []]);
  });

  it('shows that it is used, and where else a runtime is looked for', async () => {
    await clear();
    await d.runCommand(page, 'LoRA: Show Runtime');
    const [shown] = await d.notifications(page, /GFLOP/);
    assert.match(shown.text, /The extension LoRA Workbench Runtime has TensorFlow 2\.18\.1 in /);
    await d.screenshot(page, path.join(shots, 'show-companion.png'));
  });

  it('is used by the command lora of a terminal', async () => {
    const storage = path.join(server.profile, 'ud/User/globalStorage');
    const script = path.join(storage, 'lora-workbench.lora-workbench', 'bin', 'lora');
    await until(
      () => readFileSync(script, 'utf8').includes('LORA_RUNTIME_COMPANION='),
      'the companion in the command lora',
    );
    const { stdout, stderr } = spawnSync('/bin/sh', [script, 'runtime'], {
      encoding: 'utf8',
      env: { PATH, HOME: home },
    });
    assert.match(stdout, /The extension LoRA Workbench Runtime has TensorFlow/, stderr);
  });
});
