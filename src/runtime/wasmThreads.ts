import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import path from 'node:path';
import type { Transferable, Worker } from 'node:worker_threads';

// tfjs has a build of its WebAssembly backend with threads, and never uses it in Node: its glue
// code gives each worker its script as a blob, which Node's workers cannot load. Here they get the
// same scripts as files. https://github.com/tensorflow/tfjs/issues/3830

const NAME = 'tfjs-backend-wasm-threaded-simd';
/** The build uses no more. */
const MAX_THREADS = 4;

/**
 * How many threads to compute with on this machine, the caller's included: one for every two
 * processors, which can be one core. The build allows no more either.
 */
export const wasmThreads = (): number =>
  Math.max(1, Math.min(MAX_THREADS, Math.floor(availableParallelism() / 2)));

/** The module that the glue code gets its workers from. */
interface WorkerThreads {
  Worker: typeof Worker;
}

/**
 * Calls `start`, which starts tfjs's threaded WebAssembly, in an environment in which it works.
 * `dist`: the folder of the bundles.
 */
export async function startWithThreads(dist: string, start: () => Promise<void>): Promise<void> {
  const threads = createRequire(path.join(dist, 'index.js'))(
    'node:worker_threads',
  ) as WorkerThreads;
  const usual = threads.Worker;
  threads.Worker = workerOfFiles(usual, dist);
  try {
    await start();
  } finally {
    threads.Worker = usual;
  }
}

/** A worker that reads from files what the glue code gives it as blobs. */
function workerOfFiles(usual: typeof Worker, dist: string): typeof Worker {
  return class extends usual {
    constructor(...[script, options]: ConstructorParameters<typeof Worker>) {
      const isBlob = String(script).startsWith('blob:');
      super(isBlob ? path.join(dist, `${NAME}.worker.js`) : script, options);
      // threads wait for work until the process ends, which they must not prevent
      if (isBlob) this.ref = () => undefined;
    }

    override postMessage(message: unknown, transfer?: readonly Transferable[]): void {
      super.postMessage(withFile(message, path.join(dist, `${NAME}.js`)), transfer);
    }
  };
}

/** What the glue code tells a worker to load, with a file in place of a blob. */
const withFile = (message: unknown, file: string): unknown =>
  typeof message === 'object' && message !== null && 'urlOrBlob' in message
    ? { ...message, urlOrBlob: file }
    : message;
