// Starts a code-server for a test, with its own profile and settings, and stops it with all its
// child processes.
import { spawn } from 'node:child_process';
import fs from 'node:fs';
import net from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { workbenchNode } from './install.mjs';

/** Each theme's name in the settings, and the class that it gives the workbench. */
export const THEMES = {
  dark: ['Dark Modern', 'vs-dark'],
  light: ['Light Modern', 'vs'],
  'high-contrast': ['Default High Contrast', 'hc-black'],
  'high-contrast-light': ['Default High Contrast Light', 'hc-light'],
};
const QUIET = {
  'workbench.startupEditor': 'none',
  'workbench.secondarySideBar.defaultVisibility': 'hidden',
  'chat.disableAIFeatures': true,
  'workbench.colorTheme': THEMES.dark[0],
  'window.autoDetectColorScheme': false,
  'window.autoDetectHighContrast': false,
  'workbench.reduceMotion': 'on',
  'telemetry.telemetryLevel': 'off',
  'git.enabled': false,
  'extensions.ignoreRecommendations': true,
};
const RESTRICTED = {
  'security.workspace.trust.enabled': true,
  'security.workspace.trust.startupPrompt': 'never',
  'security.workspace.trust.banner': 'never',
};

export const tempProfile = () => fs.mkdtempSync(path.join(tmpdir(), 'lora-profile-'));

const freePort = () =>
  new Promise((resolve) => {
    const probe = net.createServer().listen(0, '127.0.0.1', () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });

/**
 * Starts a server in the workbench `dir` and waits until it answers. `workspace` is a folder or a
 * .code-workspace file, `vsix` the packages to install first, `smoke` lets the page's URL name a
 * development extension (but hides notifications), `trusted: false` opens the workspace in
 * restricted mode without asking. The caller stops it with `stop`.
 */
export async function launchServer({ dir, workspace, profile = tempProfile(), ...options }) {
  const { vsix = [], settings = {}, env = {}, smoke = false, trusted = true } = options;
  const server = { dir, workspace, profile };
  setSettings(server, { ...QUIET, ...(trusted ? {} : RESTRICTED), ...settings }, 'User');
  const start = codeServer(server, env);
  server.installVsix = async (file) => {
    const code = await exited(start(['--install-extension', file]));
    if (code !== 0) throw new Error(`installing ${file}: exit ${code}, see ${profile}/server.log`);
  };
  for (const file of vsix) await server.installVsix(file);
  const kind = workspace.endsWith('.code-workspace') ? 'workspace' : 'folder';
  for (let tries = 3; tries > 0; tries--) {
    server.authority = `127.0.0.1:${await freePort()}`;
    server.url = `http://${server.authority}/?${kind}=${encodeURIComponent(workspace)}`;
    const child = start(serverArguments(server, { trusted, smoke }), { detached: true });
    server.stop = () => stopGroup(child);
    if (await isReady(server, child)) return server;
    await server.stop(); // another program may have taken the port
  }
  throw new Error(`The server does not respond: see ${profile}/server.log`);
}

/** Starts code-server's program with these arguments, its output into the profile's server.log. */
function codeServer({ dir, profile }, env) {
  const log = fs.openSync(path.join(profile, 'server.log'), 'a');
  const program = [
    path.join(dir, 'node_modules/code-server/out/node/entry.js'),
    '--user-data-dir',
    path.join(profile, 'ud'),
    '--extensions-dir',
    path.join(profile, 'ext'),
  ];
  return (args, options = {}) =>
    spawn(workbenchNode(dir), [...program, ...args], {
      stdio: ['ignore', log, log],
      env: {
        ...process.env,
        XDG_DATA_HOME: profile,
        XDG_CONFIG_HOME: profile,
        VSCODE_IPC_HOOK_CLI: '',
        EXTENSIONS_GALLERY: '{"serviceUrl":""}', // no marketplace: no requests to other hosts
        ...env,
      },
      ...options,
    });
}

const serverArguments = ({ authority, workspace }, { trusted, smoke }) => [
  '--auth',
  'none',
  '--bind-addr',
  authority,
  '--disable-telemetry',
  '--disable-update-check',
  '--disable-getting-started-override',
  ...(trusted ? ['--disable-workspace-trust'] : []),
  ...(smoke ? ['--vscode-option', 'enable-smoke-test-driver'] : []),
  workspace,
];

const exited = (child) => new Promise((resolve) => child.on('exit', resolve));

/** Ends the server, its extension host and the processes that it forked. */
async function stopGroup(child) {
  const ended = child.exitCode === null ? exited(child) : Promise.resolve();
  const signal = (name) => {
    try {
      process.kill(-child.pid, name);
    } catch {
      // the group has ended
    }
  };
  signal('SIGTERM');
  await Promise.race([ended, sleep(5000, null, { ref: false })]);
  signal('SIGKILL');
}

/** Waits until the server answers; false if it does not. */
async function isReady(server, child) {
  for (let tries = 0; tries < 1500 && child.exitCode === null; tries++) {
    const response = await fetch(`http://${server.authority}/healthz`).catch(() => null);
    if (response?.ok) return true;
    await sleep(200);
  }
  return false;
}

/**
 * Merges into settings.json; undefined removes a key. A page follows the Machine layer (which beats
 * User) within a second, but reads a User file edited from outside only when reloaded (in
 * code-server only). Application-scoped settings apply only in User.
 */
export function setSettings(server, values, layer = 'Machine') {
  const file = path.join(server.profile, 'ud', layer, 'settings.json');
  fs.mkdirSync(path.dirname(file), { recursive: true });
  fs.writeFileSync(
    file,
    JSON.stringify(
      { ...(fs.existsSync(file) ? JSON.parse(fs.readFileSync(file, 'utf8')) : {}), ...values },
      null,
      2,
    ),
  );
}
/**
 * The newest log whose path contains `name`: 'remoteexthost' for the extension host, or the name of
 * an output channel.
 */
export function hostLog(server, name = 'remoteexthost') {
  const logs = path.join(server.profile, 'ud/logs');
  const matches = fs
    .readdirSync(logs, { recursive: true })
    .filter((f) => f.endsWith('.log') && f.includes(name))
    .map((f) => path.join(logs, f));
  return (
    matches
      .sort((a, b) => fs.statSync(b).mtimeMs - fs.statSync(a).mtimeMs)
      .map((f) => fs.readFileSync(f, 'utf8'))[0] ?? ''
  );
}
