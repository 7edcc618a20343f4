import path from 'node:path';
import type { BatchPiece } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import { labelPieces } from '../../data/examples/labelPieces';
import type { Example } from '../../data/examples/example';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';

const given = (text: string): BatchPiece => ({ text, labelled: false });
const learnt = (text: string): BatchPiece => ({ text, labelled: true });

/** An example in words, in pieces that are learnt or only given. */
export function batchPieces(
  example: Example,
  task: string,
  tokenizer: Tokenizer | null,
  labels: LabelSet | null,
): readonly BatchPiece[] {
  switch (example.kind) {
    case 'tokens': {
      if (task === 'causal_lm')
        return labelPieces(example, tokenizer!).map(({ text, labelled }) => ({ text, labelled }));
      return [...example.input_ids].flatMap((id, i) => [
        given(`${i === 0 ? '' : ' '}${tokenizer!.decode([id])}`),
        ...(example.labels[i] === -100 ? [] : [learnt(`[${labels!.names[example.labels[i]!]!}]`)]),
      ]);
    }
    case 'packed':
      return example.parts.flatMap((part) => batchPieces(part, task, tokenizer, labels));
    case 'text':
      return [
        given(`${tokenizer!.decode([...example.input_ids])} → `),
        learnt(targetWords([...example.target], labels!)),
      ];
    case 'pair':
      return [
        given(`${tokenizer!.decode([...example.anchor])} ↔ `),
        learnt(tokenizer!.decode([...example.positive])),
      ];
    case 'image':
      return [
        given(
          `${path.join(path.basename(path.dirname(example.file)), path.basename(example.file))} → `,
        ),
        learnt(targetWords([...example.target], labels!)),
      ];
  }
}

function targetWords(target: readonly number[], { problem_type, names }: LabelSet): string {
  if (problem_type === 'regression') return target.join(', ');
  return (
    (problem_type === 'single_label_classification'
      ? [names[target[0]!]!]
      : names.filter((_, i) => target[i] === 1)
    ).join(', ') || '–'
  );
}
