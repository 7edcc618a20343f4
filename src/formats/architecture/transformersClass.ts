import type { ModelTask } from '../../shared/task';
import { FAMILIES, familyOf } from './families';
import type { Spec } from './spec';

const CLASS_ENDS: readonly (readonly [RegExp, ModelTask])[] = [
  [/For(?:CausalLM|ConditionalGeneration)$|LMHeadModel$/, 'causal_lm'],
  [/ForSequenceClassification$/, 'seq_cls'],
  [/ForTokenClassification$/, 'token_cls'],
  [/ForImageClassification$/, 'image_cls'],
];

/** The task that a class of transformers is for; undefined for a model without a head. */
export const taskOfClass = (name: string): ModelTask | undefined =>
  isEncoderDecoder(name) ? 'seq2seq_lm' : CLASS_ENDS.find(([pattern]) => pattern.test(name))?.[1];

/** Models for text and images, whose language model is used, have classes of the same end. */
const isEncoderDecoder = (name: string): boolean =>
  Object.values(FAMILIES).some(
    ({ tasks, transformersClass }) =>
      tasks.includes('seq2seq_lm') && name === `${transformersClass}ForConditionalGeneration`,
  );

/** The class of transformers that loads a model for its task: LlamaForCausalLM. */
export function transformersClassOf(spec: Pick<Spec, 'family' | 'task'>): string {
  const { transformersClass, taskClasses } = familyOf(spec);
  const own = taskClasses?.[spec.task];
  if (own !== undefined) return own;
  switch (spec.task) {
    case 'causal_lm':
      return `${transformersClass}ForCausalLM`;
    case 'seq_cls':
      return `${transformersClass}ForSequenceClassification`;
    case 'token_cls':
      return `${transformersClass}ForTokenClassification`;
    case 'image_cls':
      return `${transformersClass}ForImageClassification`;
    case 'seq2seq_lm':
      return `${transformersClass}ForConditionalGeneration`;
    case 'embedding':
    case 'contrastive':
      return `${transformersClass}Model`;
  }
}
