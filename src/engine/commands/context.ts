import { LoraError } from '../../shared/errors';
import {
  defaultRuntimeHome,
  findRuntime,
  wasmRuntime,
  type RuntimeOptions,
} from '../../runtime/findRuntime';
import type { Runtime } from '../../runtime/runtime';

/** What every command gets from the command line program. */
export interface CommandContext {
  /** The folder of the bundles. */
  readonly dist: string;
  readonly version: string;
  /** Print one JSON object per line instead of text. */
  readonly json: boolean;
  /** Aborted by SIGINT and SIGTERM. */
  readonly signal: AbortSignal;
  /** Writes a line to standard output. */
  readonly print: (text: string) => void;
  /** Writes a line to standard error. */
  readonly warn: (text: string) => void;
}

/** Prints the result of a command: its facts with --json, otherwise a text. */
export function printResult(
  { json, print }: CommandContext,
  facts: object,
  describe: () => string,
): void {
  print(json ? JSON.stringify({ kind: 'result', ...facts }) : describe());
}

/** Where this program looks for a runtime. */
export const runtimeOptions = (dist: string): RuntimeOptions => ({
  dist,
  home: defaultRuntimeHome(),
  path: process.env['LORA_RUNTIME_PATH'] ?? null,
});

/**
 * The installed runtime. WebAssembly is used only if no other runtime suits this machine, or if
 * LORA_RUNTIME=wasm requires it.
 * @throws LoraError('runtime') when a runtime must be installed first.
 */
export async function useRuntime({
  dist,
  warn,
}: Pick<CommandContext, 'dist' | 'warn'>): Promise<Runtime> {
  const runtime =
    process.env['LORA_RUNTIME'] === 'wasm'
      ? wasmRuntime('LORA_RUNTIME asks for it')
      : await findRuntime(runtimeOptions(dist));
  if (!runtime) {
    throw new LoraError('runtime', 'No runtime is installed.', {
      fix: 'Install it: lora runtime --install',
    });
  }
  if (runtime.kind === 'wasm') {
    warn(runtime.why);
  }
  return runtime;
}
