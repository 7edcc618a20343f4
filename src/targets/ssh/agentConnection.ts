import { Duplex } from 'node:stream';
import * as v from 'valibot';
import { findProgram } from '../../common/programs';
import { startProcess, type ChildProcessByStdio } from '../../common/startProcess';
import { LoraError } from '../../shared/errors';
import { isObject } from '../../shared/values';
import { FrameReader, writeFrame, type Frame } from '../agent/frames';
import { ANSWERS, type Answer, type Method, type Questions } from '../agent/protocol';
import { cancelled, throwIfAborted } from '../targetError';
import { agentCommand } from './bootstrap';
import { refuseHost } from './remoteCommand';
import { sshError } from './sshErrors';
import type { Readable, Writable } from 'node:stream';

/** How to reach an agent. */
export interface AgentPlace {
  readonly host: string;
  /** The path of another ssh configuration than the user's. */
  readonly config: string | null;
  readonly node: string | null;
  readonly root: string;
  /** The source of the agent. */
  readonly agent: Buffer;
}

/** Beside the question: what is sent with it, and who hears of it. */
export interface CallOptions {
  readonly signal: AbortSignal;
  readonly body?: Uint8Array;
  readonly onStep?: (text: string) => void;
}

interface Call {
  readonly method: Method;
  readonly resolve: (frame: Frame) => void;
  readonly reject: (error: LoraError) => void;
  readonly onStep: (text: string) => void;
}

const MAX_STDERR = 2 ** 16;
const KEEP_ALIVE_MS = 20_000;
const MAX_STEP_LENGTH = 500;

/**
 * What OpenSSH is asked for beside the user's configuration: no questions, no unknown keys, nothing
 * forwarded, and an end when the network has gone.
 */
const OPTIONS = [
  'BatchMode=yes',
  'StrictHostKeyChecking=yes',
  'ClearAllForwardings=yes',
  'ForwardAgent=no',
  'ForwardX11=no',
  'PermitLocalCommand=no',
  'RemoteCommand=none',
  'RequestTTY=no',
  'EscapeChar=none',
  'LogLevel=ERROR',
  'ConnectTimeout=20',
  'ServerAliveInterval=10',
  'ServerAliveCountMax=3',
];

/** The arguments of ssh for a command on a host. */
export const sshArguments = (
  { host, config }: Pick<AgentPlace, 'host' | 'config'>,
  command: string,
): string[] => [
  ...(config === null ? [] : ['-F', config]),
  ...OPTIONS.flatMap((option) => ['-o', option]),
  '--',
  host,
  command,
];

/** An ssh process with the agent at its other end. */
export class AgentConnection {
  private readonly calls = new Map<number, Call>();
  private nextId = 1;
  private stderr = '';
  private failure: LoraError | null = null;
  private readonly reader: FrameReader;
  /** What was read beyond the last answer. */
  private rest: Buffer = Buffer.alloc(0);
  private readonly keepAlive: NodeJS.Timeout;
  /** The version of Node there. */
  node = '';

  private constructor(
    private readonly host: string,
    private readonly child: ChildProcessByStdio<Writable, Readable, Readable>,
  ) {
    this.reader = new FrameReader(child.stdout, (frame) => this.receive(frame));
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr = (this.stderr + text).slice(-MAX_STDERR);
    });
    child.stdin.on('error', () => undefined);
    child.stdout.on('error', () => child.kill());
    child.once('error', (error) => this.end(LoraError.from(error, 'target')));
    child.once('close', (exitCode) => this.end(sshError({ host, exitCode, stderr: this.stderr })));
    this.keepAlive = setInterval(() => writeFrame(child.stdin, { method: 'clock' }), KEEP_ALIVE_MS);
  }

  /** Starts ssh and the agent. @throws LoraError('target' | 'cancelled') */
  static async open(
    { host, config, node, root, agent }: AgentPlace,
    signal: AbortSignal,
  ): Promise<AgentConnection> {
    throwIfAborted(signal);
    refuseHost(host);
    const ssh = findProgram('ssh', process.env);
    if (ssh === null)
      throw new LoraError('target', 'There is no ssh on this machine.', {
        fix: 'Install the OpenSSH client.',
      });
    const args = sshArguments({ host, config }, agentCommand({ node, root, length: agent.length }));
    const child = startProcess(ssh, args, { env: process.env, stdio: ['pipe', 'pipe', 'pipe'] });
    const connection = new AgentConnection(host, child);
    try {
      child.stdin.write(agent);
      connection.node = (await connection.ask('hello', { root }, { signal })).node;
      return connection;
    } catch (error) {
      connection.dispose();
      throw error;
    }
  }

  get isOpen(): boolean {
    return this.failure === null;
  }

  /** The answer to a question. @throws LoraError('target' | 'cancelled') */
  async ask<M extends Method>(
    method: M,
    params: Questions[M],
    options: CallOptions,
  ): Promise<Answer<M> & { readonly body: Buffer }> {
    const { header, body } = await this.send(method, params, options);
    const answer = v.safeParse(ANSWERS[method], header['result']);
    if (answer.success) return { ...(answer.output as Answer<M>), body };
    throw new LoraError('target', `${this.host} gives an answer that is not valid.`, {
      cause: answer.issues,
    });
  }

  /** Waits until more can be written. */
  async drained(): Promise<void> {
    const { stdin } = this.child;
    if (!stdin.writableNeedDrain) return;
    await new Promise<void>((resolve) => {
      const done = () => {
        stdin.off('drain', done).off('close', done);
        resolve();
      };
      stdin.once('drain', done).once('close', done);
    });
  }

  /** Gives the connection up for one to the pipe of a job; null when that cannot be reached. */
  async join(job: string, signal: AbortSignal): Promise<Duplex | null> {
    // what follows the question and its answer belongs to the pipe
    clearInterval(this.keepAlive);
    const { joined } = await this.ask('join', { job }, { signal });
    if (joined) return this.release();
    this.dispose();
    return null;
  }

  private release(): Duplex {
    const { stdin, stdout } = this.child;
    if (this.rest.length > 0) stdout.unshift(this.rest);
    const duplex = Duplex.from({ readable: stdout, writable: stdin });
    // an end before anybody listens must not end this process
    duplex.on('error', () => undefined);
    duplex.once('close', () => this.dispose());
    this.child.once('close', () => duplex.destroy());
    return duplex;
  }

  dispose(): void {
    this.end(cancelled());
    this.child.stdin.end();
    this.child.kill();
  }

  private send<M extends Method>(
    method: M,
    params: Questions[M],
    { signal, body, onStep = () => undefined }: CallOptions,
  ): Promise<Frame> {
    throwIfAborted(signal);
    if (this.failure) throw this.failure;
    const id = this.nextId++;
    return new Promise<Frame>((resolve, reject) => {
      const abort = () => {
        this.calls.delete(id);
        reject(cancelled());
      };
      signal.addEventListener('abort', abort, { once: true });
      const done =
        <T>(settle: (value: T) => void) =>
        (value: T) => {
          signal.removeEventListener('abort', abort);
          settle(value);
        };
      this.calls.set(id, { method, resolve: done(resolve), reject: done(reject), onStep });
      writeFrame(this.child.stdin, { id, method, params }, body);
    });
  }

  private receive(frame: Frame): void {
    const { id, step, error } = frame.header;
    const call = this.calls.get(Number(id));
    if (!call) return;
    if (typeof step === 'string') {
      call.onStep(step.slice(0, MAX_STEP_LENGTH));
      return;
    }
    this.calls.delete(Number(id));
    // at once: the engine's first words may be in the same chunk
    if (call.method === 'join') this.rest = this.reader.release();
    if (isObject(error)) call.reject(this.refusalOf(error));
    else call.resolve(frame);
  }

  private refusalOf({ reason, fix }: Record<string, unknown>): LoraError {
    const words = String(reason).slice(0, 2_000).replace(/\.$/, '');
    return new LoraError('target', `${this.host}: ${words}.`, {
      ...(typeof fix === 'string' && { fix: fix.slice(0, 2_000) }),
    });
  }

  private end(failure: LoraError): void {
    if (this.failure) return;
    this.failure = failure;
    clearInterval(this.keepAlive);
    for (const call of this.calls.values()) call.reject(failure);
    this.calls.clear();
  }
}
