import path from 'node:path';
import type { BatchPiece } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import { labelPieces } from '../../data/examples/labelPieces';
import type { AnswerExample, Example, Sequence } from '../../data/examples/example';
import { NO_LABEL } from '../../shared/task';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';

const inputPiece = (text: string): BatchPiece => ({ text, labelled: false });
const labelPiece = (text: string): BatchPiece => ({ text, labelled: true });

/**
 * An example as text, split into pieces that are either labels or input. `tokenizer`: null for
 * images; `labels`: null for causal_lm and embedding.
 */
export function batchPieces(
  example: Example,
  task: string,
  tokenizer: Tokenizer | null,
  labels: LabelSet | null,
): readonly BatchPiece[] {
  switch (example.kind) {
    case 'tokens': {
      if (task === 'causal_lm') return sequencePieces(example, tokenizer!);
      return [...example.input_ids].flatMap((id, i) => [
        inputPiece(`${i === 0 ? '' : ' '}${tokenizer!.decode([id])}`),
        ...(example.labels[i] === NO_LABEL
          ? []
          : [labelPiece(`[${labels!.names[example.labels[i]!]!}]`)]),
      ]);
    }
    case 'answer':
      return answerPieces(example, tokenizer!);
    case 'packed':
      return example.parts.flatMap((part) => batchPieces(part, task, tokenizer, labels));
    case 'text':
      return [
        inputPiece(`${tokenizer!.decode([...example.input_ids])} → `),
        labelPiece(targetText([...example.target], labels!)),
      ];
    case 'pair':
      return [
        inputPiece(`${tokenizer!.decode([...example.anchor])} ↔ `),
        labelPiece(tokenizer!.decode([...example.positive])),
      ];
    case 'ranking':
      return example.texts.flatMap(({ input_ids }, i) => [
        inputPiece(`${i === 0 ? '' : '\n'}${tokenizer!.decode([...input_ids])} → `),
        labelPiece(String(example.scores[i]!)),
      ]);
    case 'preference':
      return [
        ...sequencePieces(example.chosen, tokenizer!),
        inputPiece(' ✗ '),
        ...sequencePieces(example.rejected, tokenizer!).filter(({ labelled }) => labelled),
      ];
    case 'unpaired':
      return [
        inputPiece(example.desirable ? '✓ ' : '✗ '),
        ...sequencePieces(example.answer, tokenizer!),
      ];
    case 'captioned':
      return [
        inputPiece(`${shortName(example.file)} ↔ `),
        labelPiece(tokenizer!.decode([...example.input_ids])),
      ];
    case 'image':
    case 'features': {
      const input =
        example.kind === 'image' ? shortName(example.file) : featuresText(example.values);
      return [inputPiece(`${input} → `), labelPiece(targetText([...example.target], labels!))];
    }
  }
}

const answerPieces = (example: AnswerExample, tokenizer: Tokenizer): BatchPiece[] => [
  inputPiece(`${tokenizer.decode([...example.source])} → `),
  ...sequencePieces(example, tokenizer).filter(({ labelled }) => labelled),
];

const MOST_FEATURES_SHOWN = 20;

const featuresText = (values: Float32Array): string =>
  [
    ...Array.from(values.subarray(0, MOST_FEATURES_SHOWN), (value) =>
      String(+value.toPrecision(4)),
    ),
    ...(values.length > MOST_FEATURES_SHOWN ? ['…'] : []),
  ].join(', ');

/** A file with its folder. */
const shortName = (file: string): string =>
  path.join(path.basename(path.dirname(file)), path.basename(file));

const sequencePieces = (sequence: Sequence, tokenizer: Tokenizer): BatchPiece[] =>
  labelPieces(sequence, tokenizer).map(({ text, labelled }) => ({ text, labelled }));

function targetText(target: readonly number[], { problem_type, names }: LabelSet): string {
  switch (problem_type) {
    case 'regression':
      return target.join(', ');
    case 'single_label_classification':
      return names[target[0]!]!;
    case 'multi_label_classification':
      return names.filter((_, i) => target[i] === 1).join(', ') || '–';
  }
}
