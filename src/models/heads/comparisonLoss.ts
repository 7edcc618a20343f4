import type { Objective } from '../../shared/objective';
import type { Comparison, ComparisonResult, PairObjective } from '../model';

/** The model's scores of sequences whose first half is preferred to the second half. */
export interface SequenceScores {
  /**
   * The sum of the log-probabilities of each sequence's answer, or for rewards the output [batch].
   */
  readonly sums: Float64Array;
  /** Tokens of each answer [batch]. */
  readonly counts: ArrayLike<number>;
  /** Cross-entropy of the tokens that an objective also learns, and their number. */
  readonly nll: { readonly sum: number; readonly count: number };
}

/** The sum of the losses of all pairs or rows, and its derivatives. */
export interface ComparisonLoss {
  readonly loss_sum: number;
  readonly result: ComparisonResult;
  /** By each of `sums`. */
  readonly slopes: Float64Array;
  /** By the sum of the cross-entropies. */
  readonly nll_slope: number;
}

/** A loss, and its slopes by the scores of the chosen and of the rejected answer. */
interface PairLoss {
  readonly loss: number;
  readonly chosen: number;
  readonly rejected: number;
}

/** Which tokens an objective learns by cross-entropy, too: none, of chosen answers, or all. */
export function learntTokens(objective: Objective): 'none' | 'answers' | 'all' {
  switch (objective.method) {
    case 'orpo':
      return 'all';
    case 'cpo':
    case 'simpo':
      return objective.cpo_alpha > 0 ? 'answers' : 'none';
    default:
      return 'none';
  }
}

/**
 * The loss of answers that are compared, by the formulas of TRL 1.16 (DPOTrainer, KTOTrainer,
 * ORPOTrainer, CPOTrainer, RewardTrainer), in f64. TRL's loss is `loss_sum` divided by the number
 * of pairs or rows.
 */
export function comparisonLoss(comparison: Comparison, scores: SequenceScores): ComparisonLoss {
  return comparison.kind === 'unpaired'
    ? unpairedLoss(comparison, scores)
    : pairsLoss(comparison, scores);
}

type Pairs = Extract<Comparison, { readonly kind: 'pairs' }>;

function pairsLoss(comparison: Pairs, { sums, counts, nll }: SequenceScores): ComparisonLoss {
  const { objective, reference, margins } = comparison;
  const pairs = sums.length / 2;
  const divisors = Float64Array.from(sums, (_, i) => (isAveraged(objective) ? counts[i]! : 1));
  const logps = sums.map((sum, i) => (takesLogRatios(objective) ? sum : sum / divisors[i]!));
  const scored = scoresOf(objective, sums, reference).map((score, i) => score / divisors[i]!);
  const losses = new Float64Array(pairs);
  const slopes = new Float64Array(sums.length);
  let loss_sum = 0;
  for (let i = 0; i < pairs; i++) {
    const own = pairLoss(objective, scored[i]!, scored[pairs + i]!, margins?.[i] ?? 0);
    losses[i] = own.loss;
    slopes[i] = own.chosen / divisors[i]!;
    slopes[pairs + i] = own.rejected / divisors[pairs + i]!;
    loss_sum += own.loss;
  }
  if (objective.method === 'reward') loss_sum += center(objective, sums, slopes);
  const weight = nllWeight(objective);
  const mean = nll.count > 0 ? nll.sum / nll.count : 0;
  return {
    loss_sum: loss_sum + pairs * weight * mean,
    slopes,
    nll_slope: weight === 0 || nll.count === 0 ? 0 : (pairs * weight) / nll.count,
    result: {
      losses,
      logps,
      rewards: rewardsOf(objective, scoresOf(objective, sums, reference), logps),
      nll: weight === 0 ? null : mean,
    },
  };
}

/** Whether the answers are measured by the mean of their log-probabilities. */
function isAveraged(objective: PairObjective): boolean {
  switch (objective.method) {
    case 'orpo':
    case 'simpo':
      return true;
    case 'dpo':
    case 'cpo':
      return objective.loss_type === 'ipo';
    case 'reward':
      return false;
  }
}

const takesLogRatios = ({ method }: PairObjective): boolean => method === 'dpo';

/** Of dpo, the logarithm of the ratio to the reference; else the sums themselves. */
function scoresOf(
  objective: PairObjective,
  sums: Float64Array,
  reference: Float64Array | null,
): Float64Array {
  return takesLogRatios(objective) ? sums.map((sum, i) => sum - reference![i]!) : sums;
}

/** beta times what is compared, which for dpo with ipo is not divided by the length; as in TRL. */
function rewardsOf(
  objective: PairObjective,
  scores: Float64Array,
  logps: Float64Array,
): Float64Array {
  if (objective.method === 'reward') return scores;
  const own = takesLogRatios(objective) ? scores : logps;
  return own.map((score) => objective.beta * score);
}

const nllWeight = (objective: PairObjective): number => {
  if (objective.method === 'orpo') return 1;
  return 'cpo_alpha' in objective ? objective.cpo_alpha : 0;
};

function pairLoss(
  objective: PairObjective,
  chosen: number,
  rejected: number,
  margin: number,
): PairLoss {
  switch (objective.method) {
    case 'dpo':
    case 'cpo': {
      const { loss, slope } = LOSS_TYPES[objective.loss_type](chosen - rejected, objective);
      return { loss, chosen: slope, rejected: -slope };
    }
    case 'simpo': {
      const { beta, simpo_gamma, label_smoothing } = objective;
      const x = beta * (chosen - rejected) - simpo_gamma;
      const { loss, slope } = smoothed(x, label_smoothing);
      return { loss, chosen: beta * slope, rejected: -beta * slope };
    }
    case 'orpo':
      return oddsLoss(objective.beta, chosen, rejected);
    case 'reward': {
      const x = chosen - rejected - margin;
      return { loss: -logSigmoid(x), chosen: -sigmoid(-x), rejected: sigmoid(-x) };
    }
  }
}

interface Curve {
  readonly loss: number;
  readonly slope: number;
}
interface PairSettings {
  readonly beta: number;
  readonly label_smoothing: number;
}

/** Of the difference d of the two scores: the loss, and its slope by d. */
const LOSS_TYPES: Readonly<
  Record<'sigmoid' | 'hinge' | 'ipo' | 'robust', (d: number, settings: PairSettings) => Curve>
> = {
  sigmoid: (d, { beta, label_smoothing }) => {
    const { loss, slope } = smoothed(beta * d, label_smoothing);
    return { loss, slope: beta * slope };
  },
  hinge: (d, { beta }) => ({
    loss: Math.max(0, 1 - beta * d),
    slope: beta * d < 1 ? -beta : 0,
  }),
  ipo: (d, { beta }) => {
    const gap = d - 1 / (2 * beta);
    return { loss: gap * gap, slope: 2 * gap };
  },
  robust: (d, { beta, label_smoothing: e }) => {
    const x = beta * d;
    const share = 1 - 2 * e;
    return {
      loss: (-(1 - e) * logSigmoid(x) + e * logSigmoid(-x)) / share,
      slope: (-beta * ((1 - e) * sigmoid(-x) + e * sigmoid(x))) / share,
    };
  },
};

/** -(1 - e) log σ(x) - e log σ(-x), and its slope. */
const smoothed = (x: number, e: number): Curve => ({
  loss: -(1 - e) * logSigmoid(x) - e * logSigmoid(-x),
  slope: -(1 - e) * sigmoid(-x) + e * sigmoid(x),
});

/**
 * ORPO (Hong et al. 2024): -β log σ of the logarithm of the odds ratio, of mean log-probabilities;
 * d log(p / (1 - p)) / d log p = 1 / (1 - p).
 */
function oddsLoss(beta: number, chosen: number, rejected: number): PairLoss {
  const x = chosen - rejected - (logOneMinusExp(chosen) - logOneMinusExp(rejected));
  const slope = -beta * sigmoid(-x);
  return {
    loss: -beta * logSigmoid(x),
    chosen: -slope / Math.expm1(chosen),
    rejected: slope / Math.expm1(rejected),
  };
}

/** Adds the slopes of the term that keeps rewards around 0. Returns the sum of the term. */
function center(
  { center_rewards_coefficient: weight }: Extract<Objective, { readonly method: 'reward' }>,
  rewards: Float64Array,
  slopes: Float64Array,
): number {
  if (weight === null) return 0;
  const pairs = rewards.length / 2;
  let sum = 0;
  for (let i = 0; i < pairs; i++) {
    const total = rewards[i]! + rewards[pairs + i]!;
    sum += weight * total * total;
    slopes[i]! += 2 * weight * total;
    slopes[pairs + i]! += 2 * weight * total;
  }
  return sum;
}

/** KTO (Ethayarajh et al. 2024). The estimate of the KL divergence has no gradient. */
function unpairedLoss(
  { objective, reference, desirable, kl }: Extract<Comparison, { readonly kind: 'unpaired' }>,
  { sums }: SequenceScores,
): ComparisonLoss {
  const { beta, desirable_weight, undesirable_weight } = objective;
  const losses = new Float64Array(sums.length);
  const slopes = new Float64Array(sums.length);
  const ratios = sums.map((sum, i) => sum - reference[i]!);
  ratios.forEach((ratio, i) => {
    const sign = desirable[i] === true ? 1 : -1;
    const weight = desirable[i] === true ? desirable_weight : undesirable_weight;
    const x = sign * beta * (ratio - kl);
    losses[i] = weight * sigmoid(-x);
    slopes[i] = -sign * weight * beta * sigmoid(x) * sigmoid(-x);
  });
  return {
    loss_sum: losses.reduce((sum, loss) => sum + loss, 0),
    slopes,
    nll_slope: 0,
    result: { losses, logps: sums, rewards: ratios.map((ratio) => beta * ratio), nll: null },
  };
}

/** 1 / (1 + exp(-x)), without overflow. */
const sigmoid = (x: number): number =>
  x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x));
/** log σ(x), without overflow. */
const logSigmoid = (x: number): number => Math.min(x, 0) - Math.log1p(Math.exp(-Math.abs(x)));
/** log(1 - exp(x)) for x < 0, without cancellation (Mächler 2012). */
const logOneMinusExp = (x: number): number =>
  x > -Math.LN2 ? Math.log(-Math.expm1(x)) : Math.log1p(-Math.exp(x));
