import { PLAIN_LORA } from '../../lora/newAdapter';
import type { Adapter } from '../../lora/adapter';
import { MergeKernel } from '../../models/ops/mergeKernel';
import { TensorFlowOps } from '../../models/ops/tensorFlowOps';
import type { TfBinding } from '../../models/ops/tfBinding';
import { TfjsOps } from '../../models/ops/tfjsOps';
import type { Ops } from '../../models/ops/ops';
import { findRuntime } from '../../runtime/findRuntime';
import { loadTfjs, type Tfjs } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';
import { runtimeOptions, type RuntimeContext } from '../useRuntime';

/** The operations of a runtime. Loads libtensorflow into this thread (0.3 s). */
export async function createOps(runtime: Runtime, dist: string): Promise<Ops> {
  const tf: Tfjs = await loadTfjs(runtime, dist);
  return runtime.kind === 'tensorflow' ? new TensorFlowOps(bindingOf(tf)) : new TfjsOps(tf);
}

const bindingOf = (tf: Tfjs) => (tf.backend() as unknown as { binding: TfBinding }).binding;

/** The binding of libtensorflow; null on other runtimes. */
export async function bindingFor(runtime: Runtime, dist: string): Promise<TfBinding | null> {
  return runtime.kind === 'tensorflow' ? bindingOf(await loadTfjs(runtime, dist)) : null;
}

/**
 * The kernel that adds products to rows of weights; null where libtensorflow is not installed: then
 * JavaScript computes the same. One for GPUs takes longer to load than the kernel saves.
 */
export async function findMergeKernel({
  dist,
  runtime: known,
}: Pick<RuntimeContext, 'dist' | 'runtime'>): Promise<MergeKernel | null> {
  if (process.env['LORA_RUNTIME'] === 'wasm') return null;
  const runtime = known ?? (await findRuntime(runtimeOptions(dist)).catch(() => null));
  if (runtime?.kind !== 'tensorflow' || runtime.device === 'gpu') return null;
  const binding = await bindingFor(runtime, dist);
  return binding && MergeKernel.load(binding);
}

/** An adapter without modules: the base alone. */
export const EMPTY_ADAPTER: Adapter = {
  config: { ...PLAIN_LORA, target_modules: [], base_model_name_or_path: null, raw: {} },
  modules: [],
  trained: [],
};
