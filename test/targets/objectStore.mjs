// A storage that speaks S3, on loopback: moto, a Python program, in an environment of its own.
import { execFileSync, spawn } from 'node:child_process';
import { existsSync, renameSync, rmSync } from 'node:fs';
import { homedir } from 'node:os';
import path from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { AwsClient } from 'aws4fetch';
import { programPath } from '../../scripts/programs.mjs';
import { freePort } from '../support/freePort.mjs';

const MOTO = 'moto[server]==5.2.5';
const START_MS = 120_000;

/** The Python that has moto, which is installed when it is needed first. */
function motoPython() {
  const home = path.join(homedir(), '.cache', 'lora-workbench', MOTO);
  const python = path.join(home, 'bin', 'python');
  if (existsSync(python)) return python;
  const temp = `${home}.${process.pid}.tmp`;
  rmSync(temp, { recursive: true, force: true });
  const stdio = ['ignore', 'inherit', 'inherit'];
  execFileSync(programPath('python3'), ['-m', 'venv', temp], { stdio });
  const pip = ['-m', 'pip', 'install', '--quiet', '--only-binary=:all:', MOTO];
  execFileSync(path.join(temp, 'bin', 'python'), pip, { stdio });
  renameSync(temp, home);
  return python;
}

/** How much moto does before it checks signatures: what makes a user. */
const UNCHECKED = 3;
const ALL = JSON.stringify({
  Version: '2012-10-17',
  Statement: [{ Effect: 'Allow', Action: '*', Resource: '*' }],
});

/**
 * A storage with one bucket. Whoever starts it stops it. With `isChecking` it checks signatures, in
 * which moto fails for queries with escapes: no folder can be listed then.
 */
export class TestObjectStore {
  env = { AWS_ACCESS_KEY_ID: 'tests', AWS_SECRET_ACCESS_KEY: 'a-secret-of-the-tests' };

  static async start({ isChecking = false } = {}) {
    const store = new TestObjectStore();
    const port = await freePort();
    store.address = `http://127.0.0.1:${port}`;
    const args = ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)];
    store.child = spawn(motoPython(), args, {
      stdio: 'ignore',
      env: {
        ...process.env,
        ...(isChecking && { INITIAL_NO_AUTH_ACTION_COUNT: String(UNCHECKED) }),
      },
    });
    for (const end = Date.now() + START_MS; !(await store.answers()); await wait(100))
      if (Date.now() > end || store.child.exitCode !== null) throw new Error('moto did not start.');
    if (isChecking) await store.makeUser();
    await store.ask('PUT', 'bucket');
    return store;
  }

  async makeUser() {
    await this.askIam({ Action: 'CreateUser', UserName: 'tests' });
    const text = await this.askIam({ Action: 'CreateAccessKey', UserName: 'tests' });
    const policy = { PolicyName: 'all', PolicyDocument: ALL };
    await this.askIam({ Action: 'PutUserPolicy', UserName: 'tests', ...policy });
    const valueOf = (name) => new RegExp(`<${name}>([^<]+)</${name}>`).exec(text)[1];
    this.env = {
      AWS_ACCESS_KEY_ID: valueOf('AccessKeyId'),
      AWS_SECRET_ACCESS_KEY: valueOf('SecretAccessKey'),
    };
  }

  async askIam(query) {
    const body = Object.entries({ Version: '2010-05-08', ...query })
      .map((pair) => pair.map(encodeURIComponent).join('='))
      .join('&');
    const headers = { 'Content-Type': 'application/x-www-form-urlencoded' };
    const answer = await this.client('iam').fetch(this.address, { method: 'POST', headers, body });
    const text = await answer.text();
    if (!answer.ok) throw new Error(text);
    return text;
  }

  client(service) {
    const { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey } = this.env;
    return new AwsClient({ accessKeyId, secretAccessKey, service, region: 'us-east-1' });
  }

  /** A signed request. */
  async ask(method, place) {
    const answer = await this.client('s3').fetch(`${this.address}/${place}`, { method });
    return { status: answer.status, text: await answer.text() };
  }

  /** The keys of all objects. */
  async keys() {
    const { text } = await this.ask('GET', 'bucket?list-type=2');
    return [...text.matchAll(/<Key>([^<]*)<\/Key>/g)].map(([, key]) => key);
  }

  answers() {
    return fetch(`${this.address}/moto-api/data.json`).then(
      ({ ok }) => ok,
      () => false,
    );
  }

  stop() {
    this.child.kill();
  }
}
