import type { EvaluatedRow, Evaluation } from '../../src/shared/evaluation/result';

/** evaluation.json and rows.jsonl; `gitRows`: of the suite git. */
export declare function exampleEvaluation(gitRows?: number): {
  readonly evaluation: Evaluation;
  readonly rows: EvaluatedRow[];
};
