import type { BaseModel } from '../formats/types';
import type { Adapter } from '../lora/types';
import { loadCausalLM } from '../models/causalLM';
import { RawOps, type TfBinding } from '../models/ops/raw';
import { tfjsOps } from '../models/ops/tfjs';
import type { Ops } from '../models/ops/types';
import type { CausalLM } from '../models/types';
import { loadTfjs, type Tfjs } from '../runtime/loadTfjs';
import type { Runtime } from '../runtime/types';

/** The table of ops on a runtime. Loads libtensorflow into this thread (0.3 s). */
export async function opsFor(runtime: Runtime, dist: string): Promise<Ops> {
  const tf: Tfjs = await loadTfjs(runtime, dist);
  return runtime.kind === 'tensorflow' ? new RawOps((tf.backend() as unknown as { binding: TfBinding }).binding) : tfjsOps(tf);
}

export const EMPTY_ADAPTER: Adapter = {
  config: {
    r: 1, lora_alpha: 1, lora_dropout: 0, target_modules: [], use_rslora: false, base_model_name_or_path: null, layers_to_transform: null, layers_pattern: null,
    rank_pattern: {}, alpha_pattern: {}, exclude_modules: null, raw: {},
  },
  modules: [],
};

export async function loadModel(base: BaseModel, adapter: Adapter | null, ops: Ops, onProgress?: (fraction: number) => void, lora_dropout = 0): Promise<CausalLM> {
  return loadCausalLM(base, adapter ?? EMPTY_ADAPTER, { ops, lora_dropout, ...(onProgress && { onProgress }) });
}
