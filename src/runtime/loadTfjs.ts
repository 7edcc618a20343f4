import { createRequire } from 'node:module';
import { constants } from 'node:os';
import path from 'node:path';
import { Worker } from 'node:worker_threads';
import type * as tfjs from '@tensorflow/tfjs';
import type * as tfjsNode from '@tensorflow/tfjs-node';
import { LoraError } from '../shared/errors';
import { chosenGpu } from './gpu';
import type { Runtime } from './runtime';
import { startWithThreads, wasmThreads } from './wasmThreads';

export type Tfjs = typeof tfjs;
export type TfjsNode = typeof tfjsNode;

/** tfjs with the functions of its WebAssembly backend. */
export type TfjsWasm = Tfjs & {
  setWasmPaths(folder: string): void;
  setThreadsCount(count: number): void;
  /** Those that are used. */
  getThreadsCount(): number;
};

/**
 * Sets libtensorflow's environment variables where the user has not: no log messages on standard
 * error; oneDNN's matrix products on every processor (the default is only with AVX-512, but a step
 * is a sixth faster and smaller with AVX2 too); on a GPU, memory allocated as needed, and f32
 * products computed in f32, as in PyTorch, not in TF32. Of several GPUs only one is used, and is
 * the one that nvidia-smi gives the same number.
 *
 * libtensorflow reads the environment of the process, which a worker thread cannot change: call
 * this in the main thread, before it starts the worker that loads libtensorflow.
 */
export function setTensorflowEnvironment(): void {
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  process.env['NVIDIA_TF32_OVERRIDE'] ??= '0';
  if (process.env['CUDA_VISIBLE_DEVICES'] === undefined)
    process.env['CUDA_DEVICE_ORDER'] ??= 'PCI_BUS_ID';
  process.env['CUDA_VISIBLE_DEVICES'] = chosenGpu(process.env) ?? '';
}

/** glibc's RTLD_NODELETE, which Node does not name. */
const STAYS_LOADED = 0x1000;

/** Loads a library that is no addon: Node refuses it, but it stays loaded. */
const LOAD = `
  const { library, flags } = require('node:worker_threads').workerData;
  try {
    process.dlopen({ exports: {} }, library, flags);
  } catch {}`;

/**
 * Loads the library of a runtime in a thread of its own while a worker does something else before
 * it loads the binding, which finds it loaded then. Only on Linux. Resolves once that is done,
 * even if it failed: whoever loads the binding reports what is wrong.
 */
export function preloadLibrary(runtime: Runtime): Promise<void> {
  if (runtime.kind !== 'tensorflow' || process.platform !== 'linux') return Promise.resolve();
  const library = path.join(path.dirname(runtime.binding), 'libtensorflow_cc.so.2');
  const flags = constants.dlopen.RTLD_LAZY | STAYS_LOADED;
  return new Promise((resolve) => {
    const worker = new Worker(LOAD, { eval: true, workerData: { library, flags } });
    worker.unref();
    worker.on('error', () => resolve());
    worker.on('exit', () => resolve());
  });
}

/**
 * tfjs over libtensorflow. Blocks for about 0.3 s. `dist` is the folder with tfjs-node.js.
 *
 * @throws the loader's error.
 */
export function loadTensorflow(binding: string, dist: string): TfjsNode {
  process.env['LORA_TFJS_BINDING'] = binding;
  setTensorflowEnvironment();
  return createRequire(path.join(dist, 'index.js'))('./tfjs-node.js') as TfjsNode;
}

/**
 * tfjs for a runtime: over libtensorflow or over WebAssembly.
 *
 * @throws LoraError('runtime') when it cannot be loaded.
 */
export async function loadTfjs(runtime: Runtime, dist: string): Promise<Tfjs> {
  try {
    return runtime.kind === 'tensorflow'
      ? loadTensorflow(runtime.binding, dist)
      : await loadWasm(dist);
  } catch (error) {
    throw new LoraError('runtime', 'The runtime could not be loaded.', {
      fix: 'Install it again (LoRA: Install Runtime).',
      cause: error,
    });
  }
}

/** tfjs over WebAssembly, with SIMD and threads where this program has them. */
export async function loadWasm(dist: string, threads = wasmThreads()): Promise<TfjsWasm> {
  const tf = createRequire(path.join(dist, 'index.js'))('./tfjs-wasm.js') as TfjsWasm;
  tf.setWasmPaths(dist + path.sep);
  const start = async () => {
    if (!(await tf.setBackend('wasm'))) throw new Error('tfjs could not start WebAssembly.');
    await tf.ready();
  };
  if (threads < 2) await start();
  else {
    tf.env().set('WASM_HAS_MULTITHREAD_SUPPORT', true);
    tf.setThreadsCount(threads);
    await startWithThreads(dist, start);
  }
  return tf;
}

/** The key by which the bundle of layers finds the tfjs that it is for. */
const LOADED = Symbol.for('lora.tfjs');

/**
 * tfjs with its layers. Where WebAssembly is the runtime, JavaScript computes: WebAssembly has no
 * gradients of convolutions.
 *
 * @throws LoraError('runtime') when it cannot be loaded.
 */
export async function loadLayers(runtime: Runtime, dist: string): Promise<Tfjs> {
  const tf = await loadTfjs(runtime, dist);
  if (runtime.kind === 'wasm') {
    await tf.setBackend('cpu');
    await tf.ready();
  }
  (globalThis as { [LOADED]?: Tfjs })[LOADED] = tf;
  const layers = createRequire(path.join(dist, 'index.js'))('./tfjs-layers.js') as Partial<Tfjs>;
  return { ...tf, ...layers };
}
