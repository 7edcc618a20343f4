import type { LabelSet } from '../../data/tasks/labelSet';
import type { PreparedData } from '../../data/dataset/prepare';
import type { SampleRow } from '../../data/examples/sampleRows';
import { dotProduct } from '../../lora/linalg/vectors';
import { NO_LABEL } from '../../shared/task';
import type { Model } from '../../models/model';
import { argmaxOfRow } from './scores';

/**
 * The prediction for a row as text: labels, tagged words, or the cosine of a pair. For models
 * without a language-model head.
 */
export async function predictionText(
  model: Model,
  { example, words }: SampleRow,
  labels: LabelSet | null,
  collate: PreparedData['collate'],
): Promise<string> {
  const batch = await collate([example]);
  const outputs = await model.logits(batch);
  if (!labels) return pairText(outputs);
  if (example.kind !== 'tokens') return labelText(outputs, labels);
  const { names } = labels;
  // the first token of each word has the word's label
  const positions = [...example.labels.keys()].filter((i) => example.labels[i] !== NO_LABEL);
  return positions
    .map((position, i) => {
      const tag = argmaxOfRow(outputs, position, names.length);
      return taggedWord(words[i]!, names[tag]!);
    })
    .join(' ');
}

/** The cosine of two embeddings of length 1 in one array. */
function pairText(embeddings: Float32Array): string {
  const half = embeddings.length / 2;
  const cosine = dotProduct(embeddings.subarray(0, half), embeddings.subarray(half));
  return `cosine ${cosine.toFixed(3)}`;
}

const taggedWord = (word: string, tag: string) => (tag === 'O' ? word : `${word}[${tag}]`);

/**
 * One prediction as text: the likeliest label, "billing (97%)"; each label above 50%; or the
 * numbers of a regression. `outputs`: logits.
 */
export function labelText(outputs: Float32Array, { problem_type, names }: LabelSet): string {
  const percent = (p: number) => `${Math.round(100 * p)}%`;
  switch (problem_type) {
    case 'single_label_classification': {
      const best = argmaxOfRow(outputs, 0, names.length);
      const p = 1 / outputs.reduce((sum, z) => sum + Math.exp(z - outputs[best]!), 0);
      return `${names[best]!} (${percent(p)})`;
    }
    case 'multi_label_classification': {
      const predicted = names.flatMap((name, i) =>
        outputs[i]! > 0 ? [`${name} (${percent(sigmoid(outputs[i]!))})`] : [],
      );
      return predicted.length === 0 ? '–' : predicted.join(', ');
    }
    case 'regression':
      return names.length === 1
        ? outputs[0]!.toPrecision(4)
        : names.map((name, i) => `${name}: ${outputs[i]!.toPrecision(4)}`).join(', ');
  }
}

const sigmoid = (logit: number) => 1 / (1 + Math.exp(-logit));
