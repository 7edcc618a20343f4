// An SSH server in this process, for machines without sshd. It runs commands by sh as this user.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:net';
import path from 'node:path';
import { PassThrough, Transform } from 'node:stream';
import ssh2 from 'ssh2';
import { freePort } from './freePort.mjs';
import { SshPlace } from './sshPlace.mjs';

export class NodeSshServer extends SshPlace {
  #listener = null;
  #sockets = new Set();
  /** Changes the bytes that clients send to their commands. */
  tamper = (bytes) => bytes;
  /** How long what commands print is gathered, to be sent in one piece. */
  gatherMs = 0;

  static async start(folder) {
    const server = new NodeSshServer(folder, await freePort());
    await server.up();
    return server;
  }

  async up() {
    const ssh = new ssh2.Server({ hostKeys: [readFileSync(this.file('host'))] }, (client) =>
      this.#serve(client),
    );
    this.#listener = createServer((socket) => {
      this.#sockets.add(socket);
      socket.once('close', () => this.#sockets.delete(socket));
      ssh.injectSocket(socket);
    }).listen(this.port, '127.0.0.1');
    await once(this.#listener, 'listening');
  }

  /** Ends, and all connections with it: nothing is said to their clients. */
  async down() {
    if (this.#listener === null) return;
    const closed = once(this.#listener, 'close');
    this.#listener.close();
    this.#listener = null;
    for (const socket of this.#sockets) socket.destroy();
    await closed;
  }

  #serve(client) {
    const user = ssh2.utils.parseKey(readFileSync(this.file('user.pub')));
    // a client that is cut off
    client.on('error', () => undefined);
    client.on('authentication', (attempt) => {
      if (isUser(attempt, user)) attempt.accept();
      else attempt.reject(['publickey']);
    });
    client.on('session', (acceptSession) => {
      acceptSession().on('exec', (accept, _reject, { command }) => this.#run(accept(), command));
    });
  }

  #run(channel, command) {
    const PATH = `${path.dirname(process.execPath)}${path.delimiter}${process.env.PATH}`;
    const child = spawn('/bin/sh', ['-c', command], { env: { ...process.env, PATH } });
    const tampered = new Transform({
      transform: (bytes, _encoding, done) => done(null, this.tamper(bytes)),
    });
    for (const stream of [child.stdin, channel, tampered]) stream.on('error', () => undefined);
    channel.pipe(tampered).pipe(child.stdin);
    child.stdout.pipe(gathering(this.gatherMs)).pipe(channel, { end: false });
    child.stderr.pipe(channel.stderr, { end: false });
    channel.once('close', () => child.stdin.end());
    child.once('close', (code) => {
      if (channel.destroyed) return;
      channel.exit(code ?? 255);
      channel.end();
    });
  }
}

/** Passes on in one piece what arrives within a time. */
function gathering(ms) {
  if (ms === 0) return new PassThrough();
  let parts = [];
  let timer = null;
  const send = (stream) => {
    timer = null;
    stream.push(Buffer.concat(parts));
    parts = [];
  };
  return new Transform({
    transform(bytes, _encoding, done) {
      parts.push(bytes);
      timer ??= setTimeout(send, ms, this);
      done();
    },
    flush(done) {
      clearTimeout(timer);
      if (parts.length > 0) send(this);
      done();
    },
  });
}

/** Whether it is the user's key, and signed by it where a signature is there yet. */
function isUser({ method, key, signature, blob, hashAlgo }, user) {
  if (method !== 'publickey' || !key.data.equals(user.getPublicSSH())) return false;
  return !signature || user.verify(blob, signature, hashAlgo) === true;
}
