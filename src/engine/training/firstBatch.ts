import { linesOf } from '../../data/examples/example';
import type { Example } from '../../data/examples/example';
import type { BatchLine, BatchPiece } from '../../shared/metrics/lines';
import { batchPieces } from '../tasks/batchPieces';
import type { PreparedData } from '../../data/dataset/prepare';
import type { PreparedTraining } from './prepare';

const MAX_ROWS = 8;
const MAX_PIECES_PER_ROW = 400;
const MAX_PIECE_LENGTH = 2_000;

/** The metrics line that shows which parts of the first batch are trained on. */
export function firstBatchLine(
  batch: readonly Example[],
  task: string,
  {
    tokenizer,
    data,
  }: Pick<PreparedTraining, 'tokenizer'> & { readonly data: Pick<PreparedData, 'labels'> },
): BatchLine {
  const rows = batch.slice(0, MAX_ROWS).map((example) => ({
    line: linesOf(example)[0]!,
    pieces: batchPieces(example, task, tokenizer, data.labels)
      .slice(0, MAX_PIECES_PER_ROW)
      .map(shortened),
  }));
  return { kind: 'batch', step: 0, rows };
}

function shortened(piece: BatchPiece): BatchPiece {
  if (piece.text.length <= MAX_PIECE_LENGTH) return piece;
  return { ...piece, text: `${piece.text.slice(0, MAX_PIECE_LENGTH)}…` };
}
