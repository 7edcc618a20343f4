// What a client needs to reach an SSH server of a test, and the keys of both, in one folder.
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { userInfo } from 'node:os';
import path from 'node:path';
import ssh2 from 'ssh2';

function writeKey(file) {
  const { private: own, public: shown } = ssh2.utils.generateKeyPairSync('ed25519');
  writeFileSync(file, own, { mode: 0o600 });
  chmodSync(file, 0o600);
  writeFileSync(`${file}.pub`, `${shown}\n`);
}

/** The folder of a server on loopback: its keys, and the configuration of its clients. */
export class SshPlace {
  constructor(folder, port) {
    this.folder = folder;
    this.port = port;
    for (const name of ['host', 'other', 'user', 'stranger']) writeKey(this.file(name));
    this.writeConfig({});
  }

  file(name) {
    return path.join(this.folder, name);
  }

  /** `known`: the host key that clients know; `key`: that of the user; `host`: its address. */
  writeConfig({ known = 'host', key = 'user', host = '127.0.0.1' }) {
    const [type, text] =
      known === null
        ? []
        : readFileSync(this.file(`${known}.pub`), 'utf8')
            .trim()
            .split(' ');
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
}
