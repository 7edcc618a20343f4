import { LoraError } from '../shared/errors';
import {
  defaultRuntimeHome,
  findRuntime,
  wasmRuntime,
  type RuntimeOptions,
} from '../runtime/findRuntime';
import type { InstallOptions, Runtime } from '../runtime/runtime';
import { thisMachine } from '../runtime/targetMachine';

/** What finding a runtime needs. */
export interface RuntimeContext {
  /** The folder of the bundles. */
  readonly dist: string;
  /** Shows a line of text to the user. */
  readonly warn: (text: string) => void;
  /** One that was found before. Missing: it is looked for. */
  readonly runtime?: Runtime;
}

/** Where this program looks for a runtime. */
export const runtimeOptions = (dist: string): RuntimeOptions => ({
  dist,
  home: defaultRuntimeHome(),
  path: process.env['LORA_RUNTIME_PATH'] ?? null,
  url: process.env['LORA_RUNTIME_URL'] ?? null,
  companion: process.env['LORA_RUNTIME_COMPANION'] ?? null,
});

/** Shows that the libraries of a runtime are checked, which takes a while when it is first used. */
export const reportTo = (show: RuntimeContext['warn']): InstallOptions => ({
  signal: new AbortController().signal,
  log: show,
  onProgress: ({ message }) => show(message),
});

/**
 * The installed runtime. WebAssembly is used only if no other runtime suits this machine, or if
 * LORA_RUNTIME=wasm requires it.
 * @throws LoraError('runtime') when a runtime must be installed first.
 */
export async function useRuntime({ dist, warn, runtime: found }: RuntimeContext): Promise<Runtime> {
  if (found) return found;
  const runtime =
    process.env['LORA_RUNTIME'] === 'wasm'
      ? wasmRuntime('LORA_RUNTIME requests it')
      : await findRuntime(runtimeOptions(dist), thisMachine(), reportTo(warn));
  if (!runtime) {
    throw new LoraError('runtime', 'No runtime is installed.', {
      fix: 'Install it (lora runtime --install).',
    });
  }
  if (runtime.kind === 'wasm') {
    warn(runtime.why);
  }
  return runtime;
}
