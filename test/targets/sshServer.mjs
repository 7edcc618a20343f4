// A real OpenSSH server on loopback, with keys and a port of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { userInfo } from 'node:os';
import { programPath } from '../../scripts/programs.mjs';

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((file) => existsSync(file));

/** Why the tests cannot run; null: they can. */
export const sshdMissing = () =>
  SSHD === undefined ? 'There is no sshd: install the OpenSSH server (openssh-server).' : null;

async function freePort() {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address();
  server.close();
  await once(server, 'close');
  return port;
}

function newKey(file) {
  const { status } = spawnSync(programPath('ssh-keygen'), [
    '-q',
    '-t',
    'ed25519',
    '-N',
    '',
    '-f',
    file,
  ]);
  if (status !== 0) throw new Error(`ssh-keygen cannot write ${file}`);
  chmodSync(file, 0o600);
}

/** A server, and what a client needs to reach it, in a folder. */
export class SshServer {
  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
    this.child = null;
  }

  static async start(folder) {
    const server = new SshServer(folder, await freePort());
    for (const name of ['host', 'other', 'user', 'stranger']) newKey(path.join(folder, name));
    server.writeConfig({});
    await server.up();
    return server;
  }

  file(name) {
    return path.join(this.folder, name);
  }

  /** `known`: the host key that clients know; `key`: that of the user; `host`: its address. */
  writeConfig({ known = 'host', key = 'user', host = '127.0.0.1' }) {
    const [type, text] =
      known === null ? [] : readFileSync(this.file(`${known}.pub`), 'utf8').split(' ');
    const line = known === null ? '' : `[${host}]:${this.port} ${type} ${text}\n`;
    writeFileSync(this.file('known_hosts'), line);
    writeFileSync(
      this.file('config'),
      [
        'Host box',
        `HostName ${host}`,
        `Port ${this.port}`,
        `User ${userInfo().username}`,
        `IdentityFile "${this.file(key)}"`,
        'IdentitiesOnly yes',
        'IdentityAgent none',
        `UserKnownHostsFile "${this.file('known_hosts')}"`,
        'GlobalKnownHostsFile /dev/null',
        // never in effect: the command line asks for more
        'StrictHostKeyChecking no',
        '',
      ].join('\n'),
    );
  }

  /** Listens; `extra`: more lines of its configuration. */
  async up(extra = []) {
    writeFileSync(
      this.file('sshd_config'),
      [
        `Port ${this.port}`,
        'ListenAddress 127.0.0.1',
        `HostKey "${this.file('host')}"`,
        `AuthorizedKeysFile "${this.file('user.pub')}"`,
        'StrictModes no',
        'UsePAM no',
        'PasswordAuthentication no',
        'KbdInteractiveAuthentication no',
        'PermitRootLogin yes',
        'PidFile none',
        ...extra,
        '',
      ].join('\n'),
    );
    this.child = spawn(SSHD, ['-D', '-e', '-f', this.file('sshd_config')], { stdio: 'ignore' });
    while (!(await this.answers())) await wait(50);
  }

  /** Ends, and all connections with it. */
  async down() {
    if (this.child === null) return;
    const ended = once(this.child, 'exit');
    for (const pid of descendants(this.child.pid)) killQuietly(pid);
    this.child.kill();
    await ended;
    this.child = null;
  }

  answers() {
    return new Promise((resolve) => {
      const socket = connect(this.port, '127.0.0.1');
      socket.once('data', () => socket.destroy(resolve(true)));
      socket.once('error', () => resolve(false));
    });
  }
}

/** The processes of connections: those that sshd has started and that have not left it. */
function descendants(pid) {
  const { stdout } = spawnSync(programPath('ps'), ['-eo', 'pid=,ppid=,comm='], {
    encoding: 'utf8',
  });
  const rows = stdout
    .trim()
    .split('\n')
    .map((line) => line.trim().split(/\s+/));
  const below = (parent) =>
    rows
      .filter(([, ppid]) => Number(ppid) === parent)
      .flatMap(([own, , name]) =>
        name.startsWith('sshd') ? [Number(own), ...below(Number(own))] : [],
      );
  return below(pid);
}

function killQuietly(pid) {
  try {
    process.kill(pid);
  } catch {
    // it has ended
  }
}
