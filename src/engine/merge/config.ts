import { textConfig } from '../../formats/architecture/readSpec';
import { transformersClassOf } from '../../formats/architecture/transformersClass';
import type { HeadLabels } from '../../formats/peft/task';
import type { BaseModel } from '../../formats/baseModel';
import type { MergeDtype } from './form';
import type { MergePlan } from './plan';

type Config = Readonly<Record<string, unknown>>;

/** config.json of the merged model: the base's, with what the merge has changed. */
export function mergedConfig(
  base: BaseModel,
  plan: MergePlan,
  dtype: MergeDtype,
  labels: HeadLabels | null,
): Config {
  const { config, spec } = base;
  const change: Record<string, unknown> = {
    ...(plan.tie !== null && { tie_word_embeddings: plan.tie }),
    ...(base.replaced.size > 0 && { vocab_size: spec.vocab_size }),
    ...((plan.renamed || labels) && headOf(base, labels)),
    ...dtypeOf(config, base, dtype),
  };
  const inner = textConfig(config);
  if (inner === config || (config['text_config'] ?? null) === null)
    return {
      ...(base.format === 'gguf' && {
        architectures: [transformersClassOf(spec)],
      }),
      ...config,
      ...change,
    };
  const { tie_word_embeddings, vocab_size, ...outer } = change;
  const within = {
    ...(tie_word_embeddings !== undefined && { tie_word_embeddings }),
    ...(vocab_size !== undefined && { vocab_size }),
  };
  return {
    ...config,
    ...within,
    ...outer,
    text_config: { ...(config['text_config'] as Config), ...within },
  };
}

function headOf({ spec }: BaseModel, labels: HeadLabels | null): Config {
  const { head } = spec;
  if (head.kind !== 'labels') return {};
  const names =
    labels?.names ?? Array.from({ length: head.output.out_features }, (_, i) => `LABEL_${i}`);
  return {
    architectures: [transformersClassOf(spec)],
    id2label: Object.fromEntries(names.entries()),
    label2id: Object.fromEntries(names.map((name, i) => [name, i])),
    ...(labels && spec.task === 'seq_cls' && { problem_type: labels.problem_type }),
  };
}

/** Under the name that the config has for it. */
function dtypeOf(config: Config, base: BaseModel, dtype: MergeDtype): Config {
  const now = dtype === 'keep' ? (base.format === 'gguf' ? 'float16' : null) : dtype;
  if (now === null) return {};
  return 'torch_dtype' in config ? { torch_dtype: now } : { dtype: now };
}
