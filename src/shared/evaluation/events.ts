import type { EvaluatedCell, Evaluation, EvaluationColumn } from './result';

/**
 * What `lora evaluate --suite --json` prints, an object a line. Warnings are
 * {"kind": "warning", "message"}, as of every command.
 */
export type EvaluateEvent =
  /** The suites are read, and nothing is wrong with them. */
  | {
      readonly kind: 'started';
      readonly id: string;
      /** Where rows.jsonl and evaluation.json will be. */
      readonly folder: string;
      readonly columns: readonly EvaluationColumn[];
      readonly rows: number;
    }
  /** `fraction`: from 0 to 1, of the phase: "loading", "answering" or "judging". */
  | { readonly kind: 'progress'; readonly phase: string; readonly fraction: number }
  /** A row is answered, in any order. Judged rows get their score at the end. */
  | {
      readonly kind: 'row';
      readonly index: number;
      readonly column: number;
      readonly cell: EvaluatedCell;
    }
  /** The last one. */
  | {
      readonly kind: 'result';
      readonly folder: string;
      readonly evaluation: Evaluation;
      /** The reports that were asked for. */
      readonly reports: readonly string[];
    };
