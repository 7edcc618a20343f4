// A real OpenSSH server on loopback, with keys and a port of its own.
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { programPath } from '../../scripts/programs.mjs';
import { freePort } from '../support/freePort.mjs';
import { SshPlace } from '../support/sshPlace.mjs';

const SSHD = ['/usr/sbin/sshd', '/usr/local/sbin/sshd'].find((file) => existsSync(file));

/** Where sshd's processes without rights are; it does not start without. */
const SEPARATION = '/run/sshd';

/** Why the tests cannot run; null: they can. */
export const sshdMissing = () =>
  SSHD === undefined ? 'There is no sshd: install the OpenSSH server (openssh-server).' : null;

/** A server, and what a client needs to reach it, in a folder. */
export class SshServer extends SshPlace {
  child = null;

  static async start(folder) {
    const server = new SshServer(folder, await freePort());
    await server.up();
    return server;
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
    // where no service has started it yet
    if (process.getuid() === 0) mkdirSync(SEPARATION, { recursive: true, mode: 0o755 });
    const stdio = ['ignore', 'ignore', openSync(this.file('sshd.log'), 'a')];
    this.child = spawn(SSHD, ['-D', '-e', '-f', this.file('sshd_config')], { stdio });
    closeSync(stdio[2]);
    while (!(await this.answers())) {
      if (this.child.exitCode !== null)
        throw new Error(`sshd ended: ${readFileSync(this.file('sshd.log'), 'utf8')}`);
      await wait(50);
    }
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
