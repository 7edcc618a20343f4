// A real SSH server on loopback, for tests of targets: with keys and a configuration of its own.
import { execFileSync, spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { programPath } from '../../scripts/programs.mjs';
import { until } from '../workbench/until.mjs';

/** Ports that nobody listens at change between two looks, so this one is taken at once. */
async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

/**
 * Starts sshd. Gives `config`, an ssh configuration in which the host `name` is this server, and
 * `close`. sshd needs its full path to start itself again, and as root the folder /run/sshd.
 */
export async function startSshServer(name) {
  const folder = mkdtempSync(path.join(tmpdir(), 'lora-sshd-'));
  const file = (own) => path.join(folder, own);
  for (const key of ['host', 'user'])
    execFileSync(programPath('ssh-keygen'), ['-q', '-t', 'ed25519', '-N', '', '-f', file(key)]);
  const port = await freePort();
  if (process.getuid() === 0) mkdirSync('/run/sshd', { recursive: true });
  writeFileSync(
    file('sshd_config'),
    [
      `ListenAddress 127.0.0.1:${port}`,
      `HostKey ${file('host')}`,
      `AuthorizedKeysFile ${file('user.pub')}`,
      'StrictModes no',
      'PasswordAuthentication no',
      'PidFile none',
      '',
    ].join('\n'),
  );
  writeFileSync(
    file('known_hosts'),
    `[127.0.0.1]:${port} ${readFileSync(file('host.pub'), 'utf8')}`,
  );
  writeFileSync(
    file('config'),
    [
      `Host ${name}`,
      '  HostName 127.0.0.1',
      `  Port ${port}`,
      `  User ${userInfo().username}`,
      `  IdentityFile ${file('user')}`,
      '  IdentitiesOnly yes',
      `  UserKnownHostsFile ${file('known_hosts')}`,
      '',
    ].join('\n'),
  );
  const server = spawn(programPath('/usr/sbin/sshd'), ['-D', '-e', '-f', file('sshd_config')], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  server.stderr.on('data', (chunk) => (log += chunk));
  await until(() => {
    if (server.exitCode !== null) throw new Error(log);
    return log.includes('Server listening');
  }, 'the SSH server');
  return {
    config: file('config'),
    close: () => {
      server.kill();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}
