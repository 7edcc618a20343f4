import type { LabelSet } from '../../data/tasks/labelSet';
import type { PreparedData } from '../../data/dataset/prepare';
import type { TokensExample } from '../../data/examples/example';
import type { SampleRow } from '../../data/examples/sampleRows';
import { dotProduct } from '../../lora/linalg/vectors';
import { NO_LABEL } from '../../shared/task';
import type { Model } from '../../models/model';
import { argmaxOfRow } from './scores';

/** A prediction: as it is shown, and without its probabilities, as `expectedText` writes labels. */
export interface Prediction {
  readonly text: string;
  readonly plain: string;
}

/**
 * The prediction for a row as text: labels, tagged words, the cosine of a pair, the logit of an
 * image with its text, or the outputs for documents. For models without a language-model head.
 */
export async function predictionText(
  model: Model,
  { example, words }: SampleRow,
  labels: LabelSet | null,
  collate: PreparedData['collate'],
): Promise<Prediction> {
  const batch = await collate([example]);
  const outputs = await model.logits(batch);
  if (example.kind === 'ranking') return same(numbersText(outputs));
  if (example.kind === 'captioned') return same(`logit ${numbersText(outputs)}`);
  if (!labels) return same(pairText(outputs));
  if (example.kind !== 'tokens')
    return { text: labelText(outputs, labels), plain: labelText(outputs, labels, false) };
  const { names } = labels;
  const tags = labelledPositions(example).map((at) => argmaxOfRow(outputs, at, names.length));
  return same(taggedText(words, tags, names));
}

const same = (text: string): Prediction => ({ text, plain: text });

const numbersText = (numbers: Float32Array): string =>
  Array.from(numbers, (number) => number.toPrecision(4)).join(', ');

/** What the labels of a row say, as predictions are written; null for pairs, which have none. */
export function expectedText(
  { example, words }: SampleRow,
  labels: LabelSet | null,
): string | null {
  if (example.kind === 'ranking') return numbersText(example.scores);
  if (!labels) return null;
  const { names, problem_type } = labels;
  if (example.kind === 'tokens') {
    const tags = labelledPositions(example).map((at) => example.labels[at]!);
    return taggedText(words, tags, names);
  }
  if (example.kind !== 'text' && example.kind !== 'image') return null;
  const { target } = example;
  if (problem_type === 'single_label_classification') return names[target[0]!] ?? null;
  const outputs = Float32Array.from(target, (value) =>
    problem_type === 'regression' ? value : value - 0.5,
  );
  return labelText(outputs, labels, false);
}

/** The first token of each word has the word's label. */
const labelledPositions = ({ labels }: TokensExample): number[] =>
  [...labels.keys()].filter((at) => labels[at] !== NO_LABEL);

const taggedText = (words: readonly string[], tags: readonly number[], names: readonly string[]) =>
  tags.map((tag, i) => taggedWord(words[i]!, names[tag]!)).join(' ');

/** The cosine of two embeddings of length 1 in one array. */
function pairText(embeddings: Float32Array): string {
  const half = embeddings.length / 2;
  const cosine = dotProduct(embeddings.subarray(0, half), embeddings.subarray(half));
  return `cosine ${cosine.toFixed(3)}`;
}

const taggedWord = (word: string, tag: string) => (tag === 'O' ? word : `${word}[${tag}]`);

/**
 * One prediction as text: the likeliest label, "billing (97%)"; each label above 50%; or the
 * numbers of a regression. `outputs`: logits. `shares`: whether probabilities are written.
 */
export function labelText(
  outputs: Float32Array,
  { problem_type, names }: LabelSet,
  shares = true,
): string {
  const withShare = (name: string, p: number) =>
    shares ? `${name} (${Math.round(100 * p)}%)` : name;
  switch (problem_type) {
    case 'single_label_classification': {
      const best = argmaxOfRow(outputs, 0, names.length);
      const p = 1 / outputs.reduce((sum, z) => sum + Math.exp(z - outputs[best]!), 0);
      return withShare(names[best]!, p);
    }
    case 'multi_label_classification': {
      const predicted = names.flatMap((name, i) =>
        outputs[i]! > 0 ? [withShare(name, sigmoid(outputs[i]!))] : [],
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
