import type { LabelSet } from '../../data/tasks/labelSet';
import type { PreparedData } from '../../data/dataset/prepare';
import type { SampleRow } from '../../data/examples/sampleRows';
import { dotProduct } from '../../lora/linalg';
import type { Model } from '../../models/model';
import { argmaxOfRow } from './scores';

/** What a model with another head than a language model's says of a row, in words. */
export async function predictionText(
  model: Model,
  { example, words }: SampleRow,
  labels: LabelSet | null,
  collate: PreparedData['collate'],
): Promise<string> {
  const batch = await collate([example]);
  const outputs = await model.logits(batch);
  if (!labels)
    return `cosine ${dotProduct(outputs.subarray(0, outputs.length / 2), outputs.subarray(outputs.length / 2)).toFixed(3)}`;
  if (example.kind !== 'tokens') return labelText(outputs, labels);
  const starts = [...example.labels.keys()].filter((i) => example.labels[i] !== -100);
  return starts
    .map((at, i) => tagged(words[i]!, labels.names[argmaxOfRow(outputs, at, labels.names.length)]!))
    .join(' ');
}

const tagged = (word: string, tag: string) => (tag === 'O' ? word : `${word}[${tag}]`);

/** "billing (97 %)"; each label that holds; or the numbers. */
export function labelText(outputs: Float32Array, { problem_type, names }: LabelSet): string {
  const percent = (p: number) => `${Math.round(100 * p)} %`;
  switch (problem_type) {
    case 'single_label_classification': {
      const best = argmaxOfRow(outputs, 0, names.length);
      const p = 1 / outputs.reduce((sum, z) => sum + Math.exp(z - outputs[best]!), 0);
      return `${names[best]!} (${percent(p)})`;
    }
    case 'multi_label_classification': {
      const held = names.flatMap((name, i) =>
        outputs[i]! > 0 ? [`${name} (${percent(1 / (1 + Math.exp(-outputs[i]!)))})`] : [],
      );
      return held.length === 0 ? '–' : held.join(', ');
    }
    case 'regression':
      return names.length === 1
        ? outputs[0]!.toPrecision(4)
        : names.map((name, i) => `${name}: ${outputs[i]!.toPrecision(4)}`).join(', ');
  }
}
