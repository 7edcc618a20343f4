import { fullMatch } from './targets';

/**
 * A module's value in rank_pattern or alpha_pattern, or `missing`. The keys are regular expressions
 * that must match the end of its path, `(.*\.)?(key)$` (PEFT's get_pattern_key); the first counts.
 *
 * @throws LoraError('recipe') for a key that is no regular expression.
 */
export function patternValue(
  pattern: Readonly<Record<string, number>>,
  path: string,
  missing: number,
): number {
  for (const [key, value] of Object.entries(pattern)) {
    if (fullMatch(`(?s)(.*\\.)?(${key})`, 'rank_pattern')(path)) return value;
  }
  return missing;
}
