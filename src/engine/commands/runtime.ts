import { findRuntime } from '../../runtime/findRuntime';
import { installGpuRuntime } from '../../runtime/installGpu';
import { installRuntime } from '../../runtime/installRuntime';
import type { Runtime } from '../../runtime/runtime';
import { runtimeOptions, type Context } from './context';
import { readOptions, usageError } from './options';

export const RUNTIME_USAGE = 'lora runtime [--install [--gpu]] [--json]';

/**
 * Tells which libtensorflow is used and why; with --install brings one, with --gpu the one that
 * computes on NVIDIA's GPUs.
 */
export async function runtime(args: readonly string[], context: Context): Promise<number> {
  const { values } = readOptions(
    args,
    { install: { type: 'boolean' }, gpu: { type: 'boolean' } },
    RUNTIME_USAGE,
  );
  const options = runtimeOptions(context.dist);
  if (values.gpu && !values.install) throw usageError('--gpu goes with --install', RUNTIME_USAGE);
  const there = await findRuntime(options);
  const suits = there && !(values.gpu && there.kind === 'tensorflow' && there.device !== 'gpu');
  const found = suits
    ? there
    : values.install
      ? await install(context, values.gpu ? installGpuRuntime : installRuntime)
      : null;
  context.print(
    context.json
      ? JSON.stringify({ kind: 'result', runtime: found })
      : found
        ? inWords(found)
        : 'No runtime is installed. Install it: lora runtime --install',
  );
  return found ? 0 : 1;
}

function install(context: Context, bring: typeof installGpuRuntime): Promise<Runtime> {
  let shown = '';
  return bring(runtimeOptions(context.dist), {
    signal: context.signal,
    log: context.warn,
    onProgress: ({ message, fraction }) => {
      const line = fraction === null ? message : `${message} ${10 * Math.floor(10 * fraction)} %`;
      if (line !== shown) context.warn((shown = line));
    },
  });
}

const inWords = (runtime: Runtime) =>
  runtime.kind === 'wasm'
    ? runtime.why
    : `libtensorflow ${runtime.tensorflow_version} on ${runtime.device.toUpperCase()}\n${runtime.folder}\n${runtime.why}`;
