import type { Runtime } from './runtime';

/** The slow way that needs no installation: about a fifth of the speed. */
export const wasmRuntime = (reason: string): Runtime => ({
  kind: 'wasm',
  source: 'wasm',
  why: `WebAssembly, which needs no installation but trains at about a fifth of the speed, because ${reason}.`,
});

export const noTensorflowFor = (platform: string): Runtime =>
  wasmRuntime(`there is no libtensorflow for ${platform}`);
