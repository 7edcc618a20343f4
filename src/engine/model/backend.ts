import { PLAIN_LORA } from '../../lora/newAdapter';
import type { Adapter } from '../../lora/adapter';
import { TensorFlowOps } from '../../models/ops/tensorFlowOps';
import type { TfBinding } from '../../models/ops/tfBinding';
import { TfjsOps } from '../../models/ops/tfjsOps';
import type { Ops } from '../../models/ops/ops';
import { loadTfjs, type Tfjs } from '../../runtime/loadTfjs';
import type { Runtime } from '../../runtime/runtime';

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

/** An adapter without modules: the base alone. */
export const EMPTY_ADAPTER: Adapter = {
  config: { ...PLAIN_LORA, target_modules: [], base_model_name_or_path: null, raw: {} },
  modules: [],
  trained: [],
};
