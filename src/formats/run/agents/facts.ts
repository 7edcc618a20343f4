import type { ComparisonData } from '../../../shared/pages/compare/protocol';
import type { RunSummary } from '../summary';
import { mostDifferent } from './answers';

// The same as the answers, as data for programs.

/** A run. */
export const runFacts = (run: RunSummary) => ({
  id: run.id,
  name: run.name,
  state: run.state,
  folder: run.dir,
  method: run.method,
  r: run.r,
  step: run.step,
  total_steps: run.totalSteps,
  loss: run.lastLoss,
  validation_loss: run.validationLoss,
  target: run.remote?.record.target.name ?? null,
  adapter: run.adapter,
  model: run.model,
  tags: run.notes.tags,
  note: run.notes.note,
  problem: run.problem,
});

/** A comparison of two adapters. */
export const comparisonFacts = (comparison: ComparisonData) => ({
  equal: comparison.equal,
  total: comparison.total,
  settings: comparison.config,
  only_a: comparison.only_a.length,
  only_b: comparison.only_b.length,
  modules: mostDifferent(comparison).map((m) => ({
    path: m.path,
    norm_a: m.a.norm,
    norm_b: m.b.norm,
    norm_of_difference: m.norm_of_difference,
    cosine: m.cosine,
  })),
});
