import type { Readable, Writable } from 'node:stream';
import { messageSplitter } from '../../common/lineSplitter';
import type { Environment } from '../../common/programs';
import { startProcess, type ChildProcessByStdio } from '../../common/startProcess';
import { MAX_REPLY, type Question, type Reply } from '../../inspect/questions';
import { isObject } from '../../shared/values';

/** How the process is started. */
export interface InspectionCommand {
  /** Node, or the editor's executable, which ELECTRON_RUN_AS_NODE turns into Node. */
  readonly node: string;
  /** Absolute path of dist/inspect.js. */
  readonly script: string;
  readonly env: Environment;
  /** The most memory of JavaScript's values, in MiB. */
  readonly heap: number;
}

/** Why there is no answer: the process has ended, by itself or by the client. */
export type Ending =
  | { readonly kind: 'memory' }
  | { readonly kind: 'died'; readonly how: string }
  | { readonly kind: 'late' }
  | { readonly kind: 'tooMuch' }
  | { readonly kind: 'closed' };

/** Thrown to whoever waits for the answer of a process that has ended. */
export class ProcessEnded extends Error {
  /** `output`: the last of what the process wrote to standard error. */
  constructor(
    readonly ending: Ending,
    output: string,
  ) {
    super(output.trim() === '' ? ending.kind : output);
  }
}

const OUT_OF_MEMORY = /heap out of memory|allocation failed/i;
const MAX_STDERR = 4_000;
/** UTF-8 has at most 3 bytes for a character of UTF-16. */
const MAX_REPLY_BYTES = 3 * MAX_REPLY;

/** A process that reads files, from its start to its end. */
export class InspectionProcess {
  /** How it ended; undefined while it can be asked. */
  ending: Ending | undefined;
  private readonly child: ChildProcessByStdio<Writable, Readable, Readable>;
  private waiting:
    | { readonly resolve: (reply: Reply) => void; readonly reject: (error: Error) => void }
    | undefined;
  private stderr = '';
  /** Of the reply so far. */
  private bytes = 0;

  constructor({ node, script, env, heap }: InspectionCommand) {
    this.child = startProcess(node, [`--max-old-space-size=${heap}`, script], {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...env, ELECTRON_RUN_AS_NODE: '1' },
    });
    const lines = messageSplitter((line) => this.receive(line));
    this.child.stdout.on('data', (chunk: Buffer) => {
      this.bytes += chunk.length;
      if (this.bytes > MAX_REPLY_BYTES) this.end({ kind: 'tooMuch' });
      if (this.ending === undefined) lines.push(chunk);
    });
    this.child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr = (this.stderr + chunk).slice(0, MAX_STDERR);
    });
    this.child.stdin.on('error', () => undefined); // it has ended, which is noticed below
    this.child.once('error', ({ message }) => this.finish({ kind: 'died', how: message }));
    this.child.once('close', (code, signal) => {
      const how = signal ?? `exit code ${code}`;
      this.finish(OUT_OF_MEMORY.test(this.stderr) ? { kind: 'memory' } : { kind: 'died', how });
    });
  }

  /**
   * The reply to a question; only one may be asked at a time.
   *
   * @throws ProcessEnded
   */
  ask(question: Question): Promise<Reply> {
    return new Promise((resolve, reject) => {
      this.waiting = { resolve, reject };
      if (this.ending === undefined) this.child.stdin.write(`${JSON.stringify(question)}\n`);
      else this.finish(this.ending);
    });
  }

  /** Ends the process at once, whatever it is doing. */
  end(ending: Ending): void {
    this.finish(ending);
    this.child.kill('SIGKILL');
  }

  private receive(line: string): void {
    const reply = asReply(line);
    if (!reply) {
      this.end({ kind: 'died', how: 'an answer that is not valid' });
      return;
    }
    this.bytes = 0;
    this.waiting?.resolve(reply);
    this.waiting = undefined;
  }

  private finish(ending: Ending): void {
    this.ending ??= ending;
    this.waiting?.reject(new ProcessEnded(this.ending, this.stderr));
    this.waiting = undefined;
  }
}

/** Null for a line that is not a reply. */
function asReply(line: string): Reply | null {
  try {
    const value: unknown = JSON.parse(line);
    const isReply = isObject(value) && ['answer', 'error'].includes(String(value['kind']));
    return isReply ? (value as Reply) : null;
  } catch {
    return null;
  }
}
