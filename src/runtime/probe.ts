import path from 'node:path';
import * as v from 'valibot';
import { LoraError } from '../shared/errors';
import { exec, lastLines, type Env } from './exec';
import type { Runtime } from './runtime';

const ProbeSchema = v.object({
  tensorflow_version: v.string(),
  device: v.picklist(['cpu', 'gpu']),
  /** Its products of bf16 on this processor. */
  bf16: v.picklist(['fast', 'slow', 'none']),
});
const SpeedSchema = v.object({ gflops: v.number() });
/** The libtensorflow that a binding has loaded. */
export type ProbeResult = v.InferOutput<typeof ProbeSchema>;
/** `env`: by default that of this process. */
export interface ProbeOptions {
  readonly signal?: AbortSignal;
  readonly env?: Env;
}

/** Checks that a binding works, with the bundles in `dist`. */
export type Probe = (binding: string, dist: string, options?: ProbeOptions) => Promise<ProbeResult>;

/** A virus scanner may read a gigabyte first. The installation can be cancelled meanwhile. */
const LOADING_MS = 15 * 60_000;

/**
 * Loads a binding in a separate process and multiplies two matrices with it.
 *
 * @throws LoraError('runtime') with the loader's message.
 */
export const probe: Probe = async (binding, dist, { signal, env = process.env } = {}) => {
  const { exit, stdout, stderr } = await start(dist, [], binding, {
    env,
    ...(signal && { signal }),
  });
  const result = exit === 0 ? v.safeParse(ProbeSchema, parseLastLine(stdout)) : null;
  if (result?.success) return result.output;
  const reason = lastLines(stderr || stdout) || `the process that loaded it ended with ${exit}.`;
  throw new LoraError(
    'runtime',
    `libtensorflow in ${path.dirname(binding)} does not work: ${reason}`,
  );
};

/**
 * Billions of operations per second of a product of two matrices; null when it cannot be measured.
 *
 * @throws LoraError('cancelled') when the signal is aborted.
 */
export async function measureRuntime(
  runtime: Runtime,
  dist: string,
  { signal, env = process.env }: ProbeOptions = {},
): Promise<number | null> {
  const binding = runtime.kind === 'tensorflow' ? runtime.binding : '';
  const { exit, stdout } = await start(dist, ['speed'], binding, {
    env,
    ...(signal && { signal }),
  });
  const result = exit === 0 ? v.safeParse(SpeedSchema, parseLastLine(stdout)) : null;
  return result?.success ? result.output.gflops : null;
}

const start = (
  dist: string,
  args: readonly string[],
  binding: string,
  { env, signal }: ProbeOptions & { readonly env: Env },
) =>
  exec(process.execPath, [path.join(dist, 'probe.js'), ...args], {
    env: {
      ...env,
      LORA_TFJS_BINDING: binding,
      ELECTRON_RUN_AS_NODE: '1',
      TF_CPP_MIN_LOG_LEVEL: '2',
    },
    timeout: LOADING_MS,
    ...(signal && { signal }),
  });

function parseLastLine(stdout: string): unknown {
  try {
    return JSON.parse(stdout.trim().split('\n').at(-1) ?? '');
  } catch {
    return null;
  }
}
