import { LoraError } from '../../shared/errors';
import {
  defaultRuntimeHome,
  findRuntime,
  wasmRuntime,
  type RuntimeOptions,
} from '../../runtime/findRuntime';
import type { Runtime } from '../../runtime/runtime';

/** What every command is given: where the bundles are, how to speak, and when to stop. */
export interface Context {
  readonly dist: string;
  readonly version: string;
  /** One JSON object a line instead of words. */
  readonly json: boolean;
  readonly signal: AbortSignal;
  /** A line on standard output. */
  readonly print: (text: string) => void;
  /** A line on standard error. */
  readonly warn: (text: string) => void;
}

export const runtimeOptions = (dist: string): RuntimeOptions => ({
  dist,
  home: defaultRuntimeHome(),
  path: process.env['LORA_RUNTIME_PATH'] ?? null,
});

/**
 * The installed runtime; WebAssembly only where there is no other, or where LORA_RUNTIME=wasm asks
 * for it. Errors: LoraError('runtime') when one must be installed.
 */
export async function useRuntime({ dist, warn }: Pick<Context, 'dist' | 'warn'>): Promise<Runtime> {
  const runtime =
    process.env['LORA_RUNTIME'] === 'wasm'
      ? wasmRuntime('LORA_RUNTIME asks for it')
      : await findRuntime(runtimeOptions(dist));
  if (!runtime)
    throw new LoraError('runtime', 'No runtime is installed.', {
      fix: 'Install it: lora runtime --install',
    });
  if (runtime.kind === 'wasm') warn(runtime.why);
  return runtime;
}
