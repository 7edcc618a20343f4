import type { Comparison, ComparisonResult } from '../../models/model';
import type { ComparedScores } from '../../shared/metrics/lines';

/** Sums and their number of terms. */
class Mean {
  private sum = 0;
  private count = 0;

  add(value: number): void {
    this.sum += value;
    this.count++;
  }

  /** Undefined without a term. */
  get value(): number | undefined {
    return this.count === 0 ? undefined : this.sum / this.count;
  }
}

/** The metrics of compared answers over the batches of a step or of an evaluation, as TRL's. */
export class ComparisonTotals {
  private readonly rewards = { chosen: new Mean(), rejected: new Mean() };
  private readonly logps = { chosen: new Mean(), rejected: new Mean() };
  private readonly accuracy = new Mean();
  private readonly kl = new Mean();

  add(comparison: Comparison, { rewards, logps }: ComparisonResult): void {
    const pairs = rewards.length / 2;
    const sideOf = (i: number) => {
      const isChosen = comparison.kind === 'unpaired' ? comparison.desirable[i] : i < pairs;
      return isChosen === true ? 'chosen' : 'rejected';
    };
    rewards.forEach((reward, i) => {
      this.rewards[sideOf(i)].add(reward);
      if (comparison.objective.method !== 'reward') this.logps[sideOf(i)].add(logps[i]!);
    });
    this.addKl(comparison, rewards);
    if (comparison.kind === 'unpaired') return;
    for (let i = 0; i < pairs; i++) this.accuracy.add(rewards[i]! > rewards[pairs + i]! ? 1 : 0);
  }

  /** What was compared so far; without what no row has. */
  scores(): ComparedScores {
    const chosen = this.rewards.chosen.value;
    const rejected = this.rewards.rejected.value;
    const scores = {
      rewards_chosen: chosen,
      rewards_rejected: rejected,
      reward_margin: chosen === undefined || rejected === undefined ? undefined : chosen - rejected,
      reward_accuracy: this.accuracy.value,
      logps_chosen: this.logps.chosen.value,
      logps_rejected: this.logps.rejected.value,
      kl: this.kl.value,
    };
    return Object.fromEntries(Object.entries(scores).filter(([, value]) => value !== undefined));
  }

  /**
   * kto: TRL's estimate with mismatched answers. dpo: the mean logarithm of the ratio of the model
   * to the reference, over the answers of the rows.
   */
  private addKl(comparison: Comparison, rewards: Float64Array): void {
    if (comparison.kind === 'unpaired') this.kl.add(comparison.kl);
    else if (comparison.objective.method === 'dpo')
      for (const reward of rewards) this.kl.add(reward / comparison.objective.beta);
  }
}
