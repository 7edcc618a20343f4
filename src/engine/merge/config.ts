import { textConfig } from '../../formats/architecture/readSpec';
import { transformersClassOf } from '../../formats/architecture/transformersClass';
import type { HeadLabels } from '../../formats/peft/task';
import type { BaseModel } from '../../formats/baseModel';
import { elementsOf, type DType } from '../../formats/tensorInfo';
import type { MergeDtype } from './form';
import type { MergePlan } from './plan';

type Config = Readonly<Record<string, unknown>>;

/** config.json of the merged model: the base's, with the changes of the merge. */
export function mergedConfig(
  base: BaseModel,
  plan: MergePlan,
  dtype: MergeDtype,
  labels: HeadLabels | null,
): Config {
  const { spec } = base;
  const config = withoutOrigin(base.config);
  const hasNewHead = plan.renamed || labels !== null;
  const textChanges = {
    ...(plan.tie !== null && { tie_word_embeddings: plan.tie }),
    ...(base.replaced.size > 0 && { vocab_size: spec.vocab_size }),
  };
  const changes = {
    ...textChanges,
    ...(hasNewHead && headConfig(base, labels)),
    ...dtypeConfig(base, plan, dtype),
  };
  const hasTextConfig = textConfig(config) !== config && (config['text_config'] ?? null) !== null;
  if (hasTextConfig) {
    const text_config = { ...(config['text_config'] as Config), ...textChanges };
    return { ...config, ...changes, text_config };
  }
  const architectures =
    base.format === 'gguf' ? { architectures: [transformersClassOf(spec)] } : {};
  return { ...architectures, ...config, ...changes };
}

/** The name that the base was loaded by, which is often a path, and how it was quantized. */
const OF_ORIGIN: readonly string[] = ['_name_or_path', 'quantization_config'];
const withoutOrigin = (config: Config): Config =>
  Object.fromEntries(Object.entries(config).filter(([key]) => !OF_ORIGIN.includes(key)));

function headConfig({ spec }: BaseModel, labels: HeadLabels | null): Config {
  const { head, task } = spec;
  if (head.kind !== 'labels') {
    return {};
  }
  const names =
    labels?.names ?? Array.from({ length: head.output.out_features }, (_, i) => `LABEL_${i}`);
  return {
    architectures: [transformersClassOf(spec)],
    id2label: Object.fromEntries(names.entries()),
    label2id: Object.fromEntries(names.map((name, i) => [name, i])),
    ...(labels && task === 'seq_cls' && { problem_type: labels.problem_type }),
  };
}

/** The dtype of the weights, under the key that the config uses for it. */
function dtypeConfig({ config, format }: BaseModel, plan: MergePlan, dtype: MergeDtype): Config {
  if (dtype === 'keep' && format !== 'gguf') {
    return {};
  }
  const name = dtype === 'keep' ? dtypeOfMost(plan) : dtype;
  return 'torch_dtype' in config ? { torch_dtype: name } : { dtype: name };
}

const NAMES: ReadonlyMap<DType, string> = new Map([
  ['F32', 'float32'],
  ['BF16', 'bfloat16'],
]);

/** transformers loads all tensors in this type: that of most numbers, as norms may have another. */
function dtypeOfMost({ tensors }: MergePlan): string {
  const counts = new Map<DType, number>();
  for (const { dtype, shape } of tensors)
    counts.set(dtype, (counts.get(dtype) ?? 0) + elementsOf(shape));
  const [most] = [...counts].sort(([, a], [, b]) => b - a);
  return (most && NAMES.get(most[0])) ?? 'float16';
}
