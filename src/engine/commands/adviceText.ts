import type { RecipeAdvice } from '../../shared/advice/recipeAdvice';
import { valueText } from '../../shared/sweep/valueText';
import { describeScore } from '../../shared/tune/tunedRecipe';
import { countOf } from '../../shared/values';

/** Advice as sentences. */
export function describeAdvice(advice: RecipeAdvice): string {
  switch (advice.kind) {
    case 'low rate':
      return `learning_rate ${valueText(advice.rate)} suits full fine-tuning: the best rates for LoRA are about ten times as high. Try ${valueText(advice.suggested)}.`;
    case 'high rate':
      return `learning_rate ${valueText(advice.rate)} suits LoRA: full fine-tuning needs about a tenth. Try ${valueText(advice.suggested)}.`;
    case 'attention only':
      return 'Only attention is adapted: "all-linear" learns more, even with the same number of parameters.';
    case 'rank':
      return `With ${countOf(advice.rows, 'row')}, r = ${advice.suggested} is a usual start, not ${advice.r}.`;
    case 'own runs':
      return describeOwn(advice);
  }
}

function describeOwn(advice: Extract<RecipeAdvice, { kind: 'own runs' }>): string {
  const { runs, rates, rate, r, metric, score, isOtherData } = advice;
  const data = isOtherData ? 'this base and other data' : 'this base and data';
  return `Of ${countOf(runs, 'run')} here on ${data} with ${rates} learning rates, the best (${describeScore(metric, score)}) had ${valueText(rate)} at r = ${r}.`;
}
