/**
 * The agent: runs on a target under its own Node, answers on standard input and output, and ends
 * with its connection. It is sent with each connection, so that both ends are of one version.
 */
import path from 'node:path';
import { writeErrorReason } from '../../common/fileStatus';
import { namedBasePath } from '../../formats/hub/hubCache';
import { isHubName } from '../../formats/hub/hubName';
import { LoraError } from '../../shared/errors';
import { Cleaning } from './cleaning';
import { FrameReader, writeFrame, type Frame } from './frames';
import { Items } from './items';
import { Jobs } from './jobs';
import { describeMachine } from './machine';
import { Places } from './places';
import type { Answer, Method, Questions } from './protocol';
import { installRuntimeOf } from './runtimeThere';

/** An answer, and the bytes that follow it. */
interface Reply {
  readonly result: object;
  readonly body?: Uint8Array;
}

type Handler<M extends Method> = (
  params: Questions[M],
  call: { readonly body: Buffer; readonly onStep: (text: string) => void },
) => Promise<Answer<M> | (Answer<M> & { readonly body: Uint8Array })>;

type Handlers = { readonly [M in Exclude<Method, 'hello' | 'join'>]: Handler<M> };

function handlersOf(places: Places, items: Items, jobs: Jobs): Handlers {
  const cleaning = new Cleaning(places, jobs);
  return {
    clock: () => Promise.resolve({ now: Date.now() }),
    machine: () => describeMachine(places),
    cluster: () => jobs.slurm.describe(),
    present: async (params) => ({ present: await items.present(params.items) }),
    model: async ({ name }) => ({ path: isHubName(name) ? await namedBasePath(name) : null }),
    usage: () => cleaning.usage(),
    clean: async (params) => ({ removed: await cleaning.clean(params.items) }),
    begin: ({ item }) => items.begin(item),
    write: (params, { body }) => items.write(params, body),
    finish: async ({ item, files }) => {
      await items.finish(item, files);
      return {};
    },
    runtime: async ({ engine }, { onStep }) => ({
      runtime: await installRuntimeOf(path.join(places.item(engine), 'cli.js'), onStep),
    }),
    start: async (params) => ({ number: await jobs.start(params) }),
    jobs: async () => ({ jobs: await jobs.list() }),
    state: async ({ job }) => ({ state: await jobs.state(job) }),
    list: async ({ job }) => ({ files: await jobs.files(job) }),
    read: async (params) => ({ body: await jobs.read(params) }),
    hash: async ({ job, file }) => ({ sha256: await jobs.hash(job, file) }),
    stop: async ({ job }) => {
      await jobs.stop(job);
      return {};
    },
    remove: async ({ job }) => {
      await jobs.remove(job);
      return {};
    },
  };
}

/** A connection whose other end has vanished would otherwise keep its items. */
const SILENCE_MS = 90_000;

const { stdin, stdout } = process;
let open: { readonly jobs: Jobs; readonly items: Items; readonly handlers: Handlers } | null = null;
/** One after the other: what is written to one file keeps its order. */
let queue = Promise.resolve();

function openRoot(root: string): Answer<'hello'> {
  const places = new Places(root);
  const [items, jobs] = [new Items(places), new Jobs(places)];
  open = { jobs, items, handlers: handlersOf(places, items, jobs) };
  return { root: places.root, node: process.version };
}

async function replyTo({ header, body }: Frame): Promise<Reply> {
  const method = header['method'] as Method;
  const params = header['params'] as never;
  if (method === 'hello') return { result: openRoot((params as Questions['hello']).root) };
  if (open === null) throw new Error('there was no hello');
  if (method === 'join') return { result: { joined: await join(params) } };
  const onStep = (step: string) => writeFrame(stdout, { id: header['id'], step });
  const answer = await open.handlers[method](params, { body, onStep });
  const { body: bytes, ...result } = answer as Reply;
  return { result, ...(bytes && { body: bytes }) };
}

/** Becomes the engine's pipe once the answer was sent. */
async function join({ job }: Questions['join']): Promise<boolean> {
  const socket = (await open!.jobs.join(job)) ?? null;
  if (socket === null) return false;
  clearTimeout(silence);
  const rest = reader.release();
  setImmediate(() => {
    socket.write(rest);
    stdin.pipe(socket).pipe(stdout);
    socket.once('close', end).on('error', end);
    stdin.once('end', end);
  });
  return true;
}

let silence = setTimeout(end, SILENCE_MS);

function answer(frame: Frame): void {
  clearTimeout(silence);
  silence = setTimeout(end, SILENCE_MS);
  const id = frame.header['id'];
  queue = queue.then(() =>
    replyTo(frame).then(
      ({ result, body }) => void writeFrame(stdout, { id, result }, body),
      (error: unknown) => void writeFrame(stdout, { id, error: refusalOf(error) }),
    ),
  );
}

/** The reason, to follow a colon, or an error of the engine as it is. */
const refusalOf = (error: unknown): { readonly reason: string; readonly fix?: string } =>
  error instanceof LoraError
    ? { reason: error.message, ...(error.fix !== undefined && { fix: error.fix }) }
    : { reason: writeErrorReason(error) };

function end(): void {
  void (open?.items.dispose() ?? Promise.resolve()).finally(() => process.exit());
}

process.umask(0o077);
stdout.on('error', end);
stdin.on('end', end).on('error', end);
const reader = new FrameReader(stdin, answer);
