import type { Adapter, TargetableModule } from '../../lora/adapter';
import { patternPath, targetsParameters } from '../../lora/experts';
import { unmatchedKeys } from '../../lora/patterns';
import { matchTargets } from '../../lora/targets';
import type { Problem } from '../../shared/errors';

/**
 * Warnings of the entries of rank_pattern, alpha_pattern and target_modules in a finished adapter's
 * config that match none of its modules: what its author meant by them was not trained.
 */
export function unmatchedEntries(adapter: Adapter, file: string): Problem[] {
  const { config, modules } = adapter;
  const paths = modules.map((m) => (targetsParameters(adapter) ? patternPath(m) : m.path));
  const targets = modules.map(({ path }): TargetableModule => ({ ...ANY, path }));
  const listed = Array.isArray(config.target_modules) ? config.target_modules.map(String) : [];
  const isUnmatched = (name: string) =>
    matchTargets(targets, { target_modules: [name] }).matched.length === 0;
  const found = [
    ...listed.filter(isUnmatched).map((entry) => ['target_modules', entry] as const),
    ...(['rank_pattern', 'alpha_pattern'] as const).flatMap((key) =>
      unmatchedKeys(config[key], paths, key).map((entry) => [key, entry] as const),
    ),
  ];
  return found.map(([key, entry]) => ({
    severity: 'warning',
    message: `${key}: ${JSON.stringify(entry)} matches no module in the weights file.`,
    place: { file, key },
  }));
}

/** Matching goes by the path alone. */
const ANY = { kind: 'linear', in_features: 1, out_features: 1, is_output: false } as const;
