import { createRequire } from 'node:module';
import path from 'node:path';
import type * as tfjs from '@tensorflow/tfjs';
import type * as tfjsNode from '@tensorflow/tfjs-node';
import { LoraError } from '../shared/errors';
import type { Runtime } from './runtime';

export type Tfjs = typeof tfjs;
export type TfjsNode = typeof tfjsNode;

/**
 * Keeps libtensorflow's chatter off standard error, and takes oneDNN's products on every processor:
 * by itself TensorFlow does so only on those with AVX-512, but a step is a sixth faster and smaller
 * with them on AVX2 too. On a GPU it takes memory as it needs it, and products of f32 are f32, as
 * PyTorch's are, not the shorter TF32. libtensorflow reads the process's own environment, which a
 * worker thread cannot set: call this in the main thread before the worker that loads it starts.
 */
export function setTensorflowEnvironment(): void {
  process.env['TF_CPP_MIN_LOG_LEVEL'] ??= '2';
  process.env['TF_ENABLE_ONEDNN_OPTS'] ??= '1';
  process.env['TF_FORCE_GPU_ALLOW_GROWTH'] ??= 'true';
  process.env['NVIDIA_TF32_OVERRIDE'] ??= '0';
}

/**
 * tfjs over libtensorflow. Blocks for about 0.3 s. `dist` holds tfjs-node.js. Errors: whatever the
 * loader says.
 */
export function loadTensorflow(binding: string, dist: string): TfjsNode {
  process.env['LORA_TFJS_BINDING'] = binding;
  setTensorflowEnvironment();
  return createRequire(path.join(dist, 'index.js'))('./tfjs-node.js') as TfjsNode;
}

/**
 * tfjs for a runtime: over libtensorflow, or over wasm where there is none. Errors:
 * LoraError('runtime').
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

async function loadWasm(dist: string): Promise<Tfjs> {
  const tf = createRequire(path.join(dist, 'index.js'))('./tfjs-wasm.js') as Tfjs & {
    setWasmPaths(folder: string): void;
  };
  tf.setWasmPaths(dist + path.sep);
  await tf.setBackend('wasm');
  await tf.ready();
  return tf;
}
