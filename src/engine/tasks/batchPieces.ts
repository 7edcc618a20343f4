import path from 'node:path';
import type { BatchPiece } from '../../shared/metrics/lines';
import type { LabelSet } from '../../data/tasks/labelSet';
import { labelPieces } from '../../data/examples/labelPieces';
import type { Example } from '../../data/examples/example';
import { NO_LABEL } from '../../models/heads/loss';
import type { Tokenizer } from '../../data/tokenizer/tokenizer';

const input = (text: string): BatchPiece => ({ text, labelled: false });
const label = (text: string): BatchPiece => ({ text, labelled: true });

/** An example as text, in pieces that are either labels or input. `tokenizer`: null for images. */
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
        input(`${i === 0 ? '' : ' '}${tokenizer!.decode([id])}`),
        ...(example.labels[i] === NO_LABEL
          ? []
          : [label(`[${labels!.names[example.labels[i]!]!}]`)]),
      ]);
    }
    case 'packed':
      return example.parts.flatMap((part) => batchPieces(part, task, tokenizer, labels));
    case 'text':
      return [
        input(`${tokenizer!.decode([...example.input_ids])} → `),
        label(targetText([...example.target], labels!)),
      ];
    case 'pair':
      return [
        input(`${tokenizer!.decode([...example.anchor])} ↔ `),
        label(tokenizer!.decode([...example.positive])),
      ];
    case 'image': {
      const folder = path.basename(path.dirname(example.file));
      return [
        input(`${path.join(folder, path.basename(example.file))} → `),
        label(targetText([...example.target], labels!)),
      ];
    }
  }
}

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
